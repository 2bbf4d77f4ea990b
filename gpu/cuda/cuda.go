//go:build cuda

// Package cuda is the NVIDIA device, behind the build tag cuda.
//
// Operations become launches in a list on the host. The list goes to the device at Sync, Download and Mark, where a sequence of
// kernels that comes again is replayed as a CUDA graph, so that an iteration costs a handful of driver calls. One goroutine,
// locked to its thread, owns the device's primary context and makes every call; the caller never waits for it but in Download,
// Sync and Elapsed, and where memory is reserved. Uploads go through page-locked memory on a stream of their own and wait only
// for work that uses their destination.
//
// A fault of the device poisons the backend and surfaces at the next wait, with the kernels launched last.
package cuda

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"gorgonia.org/cu"

	"tapweight/gpu"
	kernels "tapweight/kernels/cuda"
)

// Built says whether this program can drive NVIDIA GPUs.
const Built = true

// minDriver is the CUDA version that a driver must support: cubins of CUDA 12 run on every driver of CUDA 12.
const minDriver = 12000

// Backend is one NVIDIA device. It is driven by one goroutine.
type Backend struct {
	info    gpu.Info
	stats   gpu.Stats
	work    Work
	own     *owner
	done    chan error
	closed  bool
	list    *list
	lists   chan *list
	kernels map[string]*kernel
	blocks  map[uintptr]int // allocations, bytes
	targets []*target
	seq     int64 // flushes handed to the owner
	slots   [stageSlots]slot
	slot    int // the next
	down    slot
	scratch gpu.Buffer
	failed  bool // fail was called: nothing is queued any more
	args    arguments
	blas    *kernel // stands for a product by cuBLAS in a list, nil without
}

var _ gpu.Backend = (*Backend)(nil)

// lists that go round: one is filled, others are on their way.
const lists = 4

// Open returns device number ordinal. TAPWEIGHT_CUDA_GRAPHS=0 launches kernels one by one.
func Open(ordinal int) (*Backend, error) {
	text, bound := library()
	if !bound {
		return nil, unavailable(text)
	}
	v, err := driverVersion()
	if err != nil {
		return nil, err
	}
	if v < minDriver {
		return nil, unavailable(fmt.Sprintf("the driver %s supports CUDA %d.%d, %d.%d or newer is needed", text, v/1000, v%1000/10, minDriver/1000, minDriver%1000/10))
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, failed("cuDeviceGetCount", err)
	}
	if ordinal < 0 || ordinal >= n {
		return nil, unavailable(fmt.Sprintf("there is no cuda:%d, the driver %s has %d", ordinal, text, n))
	}
	b := &Backend{own: newOwner(ordinal), done: make(chan error, 1), lists: make(chan *list, lists), kernels: map[string]*kernel{}, blocks: map[uintptr]int{}}
	for range lists {
		(&list{back: b.lists}).free()
	}
	b.list = <-b.lists
	b.own.graphs = graphs{off: os.Getenv("TAPWEIGHT_CUDA_GRAPHS") == "0", seen: map[uint64]bool{}, exec: map[uint64]*graph{}}
	c, err := describe(ordinal)
	if err == nil {
		err = b.call(job{do: (*owner).open})
	}
	if err == nil {
		err = b.call(job{do: (*owner).loadModules, result: &c})
	}
	if _, _, why := openBLAS(); err == nil && why == "" {
		b.blas = &kernel{name: "cublasGemmEx", id: 1 << 32}
		err = b.call(job{do: (*owner).createBLAS})
	}
	if err == nil { // what the backend keeps for itself is taken
		err = b.call(job{do: (*owner).measure})
	}
	if err != nil {
		return nil, errors.Join(during(err, b.own.name, "opening"), b.Close())
	}
	isa := fmt.Sprintf("sm_%d%d", c.Major, c.Minor)
	if b.own.compiled {
		isa += " (kernels compiled by the driver)"
	}
	b.info = gpu.Info{Name: b.own.name, Device: c.Name, ISA: isa, Threads: c.Processors, FloatBytes: 4, Memory: b.own.available}
	return b, nil
}

// call has the owner do a job and waits for its result.
func (b *Backend) call(j job) error {
	if b.closed {
		return errClosed
	}
	j.done = b.done
	b.own.jobs <- j
	return <-b.done
}

// fail poisons the device.
func (b *Backend) fail(err error) {
	b.failed = true
	b.own.jobs <- job{do: (*owner).poison, result: err}
}

func (o *owner) poison(j *job) error { return j.result.(error) }

func (b *Backend) dead() bool { return b.failed || b.closed }

// Info describes the device.
func (b *Backend) Info() gpu.Info { return b.info }

// Stats returns the counts so far.
func (b *Backend) Stats() gpu.Stats { return b.stats }

// Work returns what reached the driver so far.
func (b *Backend) Work() (Work, error) {
	b.flush()
	w := b.work
	var graphs Work
	err := b.call(job{do: (*owner).count, result: &graphs})
	w.Updated, w.Instantiated = graphs.Updated, graphs.Instantiated
	return w, err
}

func (o *owner) count(j *job) error {
	*j.result.(*Work) = o.graphs.work
	return nil
}

// Alloc reserves device memory.
func (b *Backend) Alloc(n, elem int) (gpu.Buffer, error) {
	if n < 0 || n > (1<<62)/elem {
		return gpu.Buffer{}, fmt.Errorf("gpu/cuda: %s: %d elements of %d bytes: %w", b.own.name, n, elem, gpu.ErrOutOfMemory)
	}
	var addr uintptr
	size := max(n*elem, 1)
	if err := b.call(job{do: (*owner).alloc, bytes: size, result: &addr}); err != nil {
		return gpu.Buffer{}, err
	}
	b.blocks[addr] = size
	return gpu.MakeBuffer(addr, n, elem), nil
}

var errClosed = fmt.Errorf("gpu/cuda: the backend is closed: %w", gpu.ErrDevice)

// Free releases a buffer of Alloc once the work queued so far is done.
func (b *Backend) Free(buf gpu.Buffer) {
	if _, ok := b.blocks[buf.Addr()]; !ok || b.closed {
		return
	}
	b.flush()
	delete(b.blocks, buf.Addr())
	for i, t := range b.targets {
		if t.lo == buf.Addr() {
			b.targets = append(b.targets[:i], b.targets[i+1:]...)
			break
		}
	}
	b.own.jobs <- job{do: (*owner).release, addr: buf.Addr()}
}

// Scratch returns memory for one launch or the launches of one operation: they are in order, so all share it.
func (b *queue) Scratch(bytes int) uintptr {
	if b.scratch.Len() >= bytes {
		return b.scratch.Addr()
	}
	size := kernels.ScratchSize(bytes)
	old := b.scratch
	(*Backend)(b).Free(old) // what uses it is flushed first
	grown, err := (*Backend)(b).Alloc(size, 1)
	if err != nil {
		b.scratch = gpu.Buffer{}
		(*Backend)(b).fail(err)
		return 0
	}
	b.scratch = grown
	return grown.Addr()
}

// queue is the backend as the launches of package kernels/cuda see it.
type queue Backend

// Launch appends a launch to the list.
func (b *queue) Launch(name string, grid, block [3]uint32, shared int, args unsafe.Pointer, size int, scratch uintptr) {
	if b.failed || b.closed {
		return
	}
	k := b.kernels[name]
	if k == nil || k.shared < shared {
		if k = (*Backend)(b).resolve(name, shared); k == nil {
			return
		}
	}
	b.list.add(k, grid, block, shared, args, size, scratch)
	b.work.Kernels++
}

// flush hands the list to the owner.
func (b *Backend) flush() {
	if len(b.list.launches) == 0 || b.closed {
		return
	}
	b.seq++
	b.work.Flushes++
	for _, w := range b.list.words() {
		for _, t := range b.targets {
			if uintptr(w)-t.lo < t.hi-t.lo {
				t.used = b.seq
			}
		}
	}
	b.own.jobs <- job{do: (*owner).flush, list: b.list}
	b.list = <-b.lists
}

// Sync waits for queued work.
func (b *Backend) Sync() error {
	b.stats.Syncs++
	b.flush()
	b.work.Waits++
	return b.call(job{do: (*owner).wait})
}

// Mark records an event behind the work queued so far.
func (b *Backend) Mark(slot int) {
	if b.dead() {
		return
	}
	b.flush()
	b.own.jobs <- job{do: (*owner).mark, from: slot}
}

// Elapsed waits for two marks and returns the time between them.
func (b *Backend) Elapsed(from, to int) (d time.Duration, err error) {
	b.work.Waits++
	err = b.call(job{do: (*owner).elapsed, from: from, to: to, time: &d})
	return d, err
}

// Close gives everything back to the device.
func (b *Backend) Close() error {
	if b.closed {
		return nil
	}
	b.flush()
	b.closed = true
	b.own.jobs <- job{do: (*owner).finish, done: b.done, last: true}
	err := <-b.done
	close(b.own.jobs)
	return err
}

// refuse panics on a broken precondition, a bug of the caller. It is called behind the condition: its arguments would be allocated
// every time otherwise.
func refuse(format string, args ...any) { panic("gpu/cuda: " + fmt.Sprintf(format, args...)) }
