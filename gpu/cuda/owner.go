//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// owner is the goroutine that owns the device's primary context. It is locked to its thread and never unlocked: the driver
// keeps the current context per thread. Everything the backend asks of the driver is a job, done in the order given.
type owner struct {
	jobs chan job
	job  job    // under way
	name string // "cuda:0"
	dev  cu.Device

	ctx       bool // the primary context is held
	compute   cu.Stream
	copies    cu.Stream // uploads
	streams   int       // made, of the two
	modules   []cu.Module
	card      Card
	available int64           // bytes free once the device was open
	compiled  bool            // some kernels are PTX, which the driver compiled
	found     uint64          // kernels looked up
	memory    map[uintptr]int // device memory by address, bytes
	pinned    map[unsafe.Pointer]bool
	events    []cu.Event // all that were made
	marks     map[int]cu.Event
	flushed   [flushEvents]cu.Event // of the last flushes, by number
	seq       int64                 // the last flush
	uploaded  *slot                 // whose copy the compute stream does not wait for yet
	graphs    graphs
	blas      unsafe.Pointer // handle of cuBLAS, nil without
	captured  captured       // graph of the capture that ended last, until it is destroyed
	capturing bool           // the compute stream records launches for a graph
	recent    recent

	err error // what poisoned the device: every later job returns it
}

// flushEvents is how many flushes back an upload can wait for exactly; for an older one it waits for the oldest kept.
const flushEvents = 16

// job is work for the owner. It is passed by value and made of method values without captures, so that a warm loop allocates
// nothing.
type job struct {
	do   func(*owner, *job) error
	done chan error // receives the result, nil if nobody waits: then an error poisons the device
	last bool       // done also when the device is poisoned

	list     *list          // flush
	slot     *slot          // staging memory
	host     unsafe.Pointer // of a copy
	addr     uintptr        // device address
	bytes    int
	after    int64 // flush that an upload has to wait for, 0 for none
	from, to int   // marks
	time     *time.Duration
	result   any
}

func newOwner(ordinal int) *owner {
	o := &owner{jobs: make(chan job, 64), name: fmt.Sprintf("cuda:%d", ordinal), dev: cu.Device(ordinal), memory: map[uintptr]int{},
		pinned: map[unsafe.Pointer]bool{}, marks: map[int]cu.Event{}}
	go o.loop()
	return o
}

func (o *owner) loop() {
	runtime.LockOSThread()
	for o.job = range o.jobs { // a variable of the loop would be allocated for every job
		j := &o.job
		err := o.err
		if err == nil || j.last {
			if err = o.guard(j); err != nil && j.done == nil {
				o.err = err
			}
		} else if j.list != nil {
			j.list.free()
		}
		if j.done != nil {
			j.done <- err
		}
	}
}

// guard does a job; a panic is a broken invariant of ours and comes back as an error with the owner's stack.
func (o *owner) guard(j *job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("gpu/cuda: %s: panic: %v\n%s", o.name, p, debug.Stack())
			o.err = err
		}
	}()
	return j.do(o, j)
}

// open takes the primary context, which libraries in the process share, and makes the streams.
func (o *owner) open(*job) error {
	ctx, err := o.dev.RetainPrimaryCtx()
	if err != nil {
		return failed("cuDevicePrimaryCtxRetain", err)
	}
	o.ctx = true
	if err := cu.SetCurrentContext(ctx); err != nil {
		return failed("cuCtxSetCurrent", err)
	}
	for _, s := range []*cu.Stream{&o.compute, &o.copies} {
		if *s, err = cu.MakeStream(cu.NonBlocking); err != nil {
			return failed("cuStreamCreate", err)
		}
		o.streams++
	}
	for i := range o.flushed {
		if o.flushed[i], err = o.event(cu.DisableTiming); err != nil {
			return err
		}
	}
	return nil
}

// measure notes how much memory is free.
func (o *owner) measure(*job) (err error) {
	o.available, _, err = cu.MemInfo()
	return failed("cuMemGetInfo", err)
}

func (o *owner) event(flags cu.EventFlags) (cu.Event, error) {
	e, err := cu.MakeEvent(flags)
	if err == nil {
		o.events = append(o.events, e)
	}
	return e, failed("cuEventCreate", err)
}

// finish gives everything back, the last made first. It goes on where a call fails.
func (o *owner) finish(*job) error {
	var errs []error
	check := func(call string, err error) { errs = append(errs, failed(call, err)) }
	if o.capturing { // a fault kept the capture from its end
		errs = append(errs, o.endCapture(), o.destroyCaptured())
	}
	if o.streams == 2 {
		check("cuStreamSynchronize", o.copies.Synchronize())
		check("cuStreamSynchronize", o.compute.Synchronize())
	}
	errs = append(errs, o.graphs.close(), o.destroyBLAS())
	for p := range o.pinned {
		check("cuMemFreeHost", cu.MemFreeHost(p))
	}
	for addr := range o.memory {
		check("cuMemFree", cu.MemFree(cu.DevicePtr(addr)))
	}
	for _, m := range o.modules {
		check("cuModuleUnload", m.Unload())
	}
	for i := range o.events {
		check("cuEventDestroy", cu.DestroyEvent(&o.events[i]))
	}
	for _, s := range []*cu.Stream{&o.copies, &o.compute}[2-o.streams:] {
		check("cuStreamDestroy", s.Destroy())
	}
	if o.ctx {
		check("cuDevicePrimaryCtxRelease", o.dev.ReleasePrimaryCtx())
	}
	if o.err != nil {
		return nil // the device failed before, and what it is asked after that fails too
	}
	return errors.Join(errs...)
}

// alloc reserves j.bytes of device memory and leaves the address.
func (o *owner) alloc(j *job) error {
	p, err := cu.MemAlloc(int64(j.bytes))
	if err != nil {
		err = failed("cuMemAlloc", err)
		if free, total, e := cu.MemInfo(); e == nil {
			return during(err, o.name, "%d bytes asked for, %d of %d free", j.bytes, free, total)
		}
		return during(err, o.name, "%d bytes asked for", j.bytes)
	}
	o.memory[uintptr(p)] = j.bytes
	*j.result.(*uintptr) = uintptr(p)
	return nil
}

// release frees device memory once nothing that was queued can use it any more.
func (o *owner) release(j *job) error {
	if err := o.wait(j); err != nil {
		return err
	}
	delete(o.memory, j.addr)
	return during(failed("cuMemFree", cu.MemFree(cu.DevicePtr(j.addr))), o.name, "freeing %#x", j.addr)
}

// pin gives a slot page-locked memory of j.bytes.
func (o *owner) pin(j *job) error {
	if j.slot.mem != nil {
		if err := o.wait(j); err != nil {
			return err
		}
		delete(o.pinned, j.slot.mem)
		err := failed("cuMemFreeHost", cu.MemFreeHost(j.slot.mem))
		j.slot.mem, j.slot.bytes = nil, 0
		if err != nil {
			return err
		}
	}
	if !j.slot.made {
		e, err := o.event(cu.DisableTiming)
		if err != nil {
			return err
		}
		j.slot.event, j.slot.made = e, true
	}
	p, err := hostAlloc(j.bytes)
	if err != nil {
		return during(err, o.name, "%d bytes of page-locked memory", j.bytes)
	}
	o.pinned[p] = true
	j.slot.mem, j.slot.bytes = p, j.bytes
	return nil
}

// upload copies a slot to the device on the stream of copies, behind the flush that last used the destination.
func (o *owner) upload(j *job) error {
	if j.after > 0 {
		// Flush n's event is used again by n+flushEvents: whoever waits for an older flush waits for the oldest event kept.
		n := max(j.after, o.seq-flushEvents+1)
		if err := o.copies.Wait(o.flushed[n%flushEvents], 0); err != nil {
			return failed("cuStreamWaitEvent", err)
		}
	}
	if err := cu.MemcpyHtoDAsync(cu.DevicePtr(j.addr), j.slot.mem, int64(j.bytes), o.copies); err != nil {
		return during(failed("cuMemcpyHtoDAsync", err), o.name, "upload of %d bytes to %#x", j.bytes, j.addr)
	}
	if err := j.slot.event.Record(o.copies); err != nil {
		return failed("cuEventRecord", err)
	}
	o.uploaded = j.slot
	return nil
}

// await waits until the copy from a slot is done.
func (o *owner) await(j *job) error {
	return o.fault(failed("cuEventSynchronize", j.slot.event.Synchronize()))
}

// join lets the compute stream wait for the uploads so far. They are in order: the last one's event stands for all.
func (o *owner) join() error {
	if o.uploaded == nil {
		return nil
	}
	e := o.uploaded.event
	o.uploaded = nil
	return failed("cuStreamWaitEvent", o.compute.Wait(e, 0))
}

// download copies from the device into a slot and waits.
func (o *owner) download(j *job) error {
	if err := o.join(); err != nil {
		return err
	}
	if err := cu.MemcpyDtoHAsync(j.slot.mem, cu.DevicePtr(j.addr), int64(j.bytes), o.compute); err != nil {
		return o.fault(during(failed("cuMemcpyDtoHAsync", err), o.name, "download of %d bytes from %#x", j.bytes, j.addr))
	}
	if err := o.compute.Synchronize(); err != nil {
		return o.fault(during(failed("cuStreamSynchronize", err), o.name, "download of %d bytes", j.bytes))
	}
	return nil
}

// wait waits for everything queued on both streams.
func (o *owner) wait(*job) error {
	if err := o.join(); err != nil {
		return err
	}
	return o.fault(during(failed("cuStreamSynchronize", o.compute.Synchronize()), o.name, "waiting for the device"))
}

// fault poisons the device: what a wait reports is a fault of earlier, asynchronous work, after which no memory can be trusted.
func (o *owner) fault(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		e.Device, e.Recent = o.name, o.recent.String()
	}
	o.err = err
	return err
}

// mark records an event in a slot.
func (o *owner) mark(j *job) error {
	if err := o.join(); err != nil {
		return err
	}
	e, ok := o.marks[j.from]
	if !ok {
		var err error
		if e, err = o.event(cu.DefaultEvent); err != nil {
			return err
		}
		o.marks[j.from] = e
	}
	return failed("cuEventRecord", e.Record(o.compute))
}

// elapsed waits for two marks and leaves the time between them.
func (o *owner) elapsed(j *job) error {
	from, ok1 := o.marks[j.from]
	to, ok2 := o.marks[j.to]
	if !ok1 || !ok2 {
		panic(fmt.Sprintf("time between marks %d and %d, which were not both set", j.from, j.to))
	}
	for _, e := range []cu.Event{from, to} {
		if err := e.Synchronize(); err != nil {
			return o.fault(failed("cuEventSynchronize", err))
		}
	}
	ms, err := from.Elapsed(to)
	*j.time = time.Duration(ms * float64(time.Millisecond))
	return failed("cuEventElapsedTime", err)
}

// recent holds the kernels launched last, for the message of a fault.
type recent struct {
	names [8]string
	n     int
}

func (r *recent) add(k *kernel) {
	r.names[r.n%len(r.names)] = k.name
	r.n++
}

func (r *recent) String() string {
	var s []string
	for i := max(0, r.n-len(r.names)); i < r.n; i++ {
		s = append(s, r.names[i%len(r.names)])
	}
	return strings.Join(s, " ")
}
