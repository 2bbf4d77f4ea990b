//go:build cuda

package cuda

import (
	"fmt"
	"strings"
	"unsafe"

	"gorgonia.org/cu"

	"tapweight/kernels/abi"
)

// kernel is an entry point of a loaded module.
type kernel struct {
	name   string
	f      cu.Function
	id     uint64
	shared int // dynamic shared memory that it may use
}

// list holds launches in program order, on their way from the caller to the owner. A few of them go round.
type list struct {
	launches []launch
	kernels  []*kernel // of each launch
	params   []byte    // of all launches
	key      uint64    // of the sequence of kernels
	before   uint64    // the key without the last
	back     chan *list
}

// free empties the list and hands it back to the caller.
func (l *list) free() {
	l.launches, l.kernels, l.params, l.key = l.launches[:0], l.kernels[:0], l.params[:0], 0
	l.back <- l
}

// add appends a launch. args points to size bytes, a multiple of 8, behind which the kernel takes the scratch pointer.
func (l *list) add(k *kernel, grid, block [3]uint32, shared int, args unsafe.Pointer, size int, scratch uintptr) {
	for len(l.params)%16 != 0 {
		l.params = append(l.params, 0)
	}
	at := len(l.params)
	l.params = append(l.params, unsafe.Slice((*byte)(args), size)...)
	for i := range 8 {
		l.params = append(l.params, byte(scratch>>(8*i)))
	}
	l.launches = append(l.launches, newLaunch(k.f, grid, block, shared, at, size))
	l.kernels = append(l.kernels, k)
	l.before = l.key
	l.key = (l.key ^ k.id) * 0x100000001b3 // FNV-1a
}

// lastGemm returns the name and the arguments of the launch added last if it is a product, which stay valid until the next is added.
func (l *list) lastGemm() (name string, a *abi.GemmArgs) {
	if len(l.launches) == 0 {
		return "", nil
	}
	last := len(l.launches) - 1
	if name = l.kernels[last].name; !strings.HasPrefix(name, "tw_gemm_") {
		return name, nil
	}
	return name, (*abi.GemmArgs)(unsafe.Pointer(&l.params[l.launches[last].offset]))
}

// drop takes the launch added last out again, once.
func (l *list) drop() {
	last := len(l.launches) - 1
	l.params = l.params[:l.launches[last].offset]
	l.launches, l.kernels, l.key = l.launches[:last], l.kernels[:last], l.before
}

// words views the parameters as 8-byte words, among which are all pointers that the kernels are given.
func (l *list) words() []uint64 {
	if len(l.params) == 0 {
		return nil
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(&l.params[0])), len(l.params)/8)
}

// graphs are the executable graphs, by sequence of kernels. A sequence that comes twice is captured; when it comes again its
// graph takes the new parameters and is launched with one call.
type graphs struct {
	off  bool
	seen map[uint64]bool
	exec map[uint64]*graph
	now  int64
	work Work
}

type graph struct {
	e    graphExec
	used int64
}

// Most sequences of a run come in every iteration; those that do not are forgotten.
const (
	maxGraphs = 32
	maxSeen   = 1024
	minGraph  = 4 // launches that are worth a graph
)

// flush queues a list on the compute stream.
func (o *owner) flush(j *job) error {
	l := j.list
	defer l.free()
	if err := o.join(); err != nil {
		return err
	}
	for _, k := range l.kernels[max(0, len(l.kernels)-len(o.recent.names)):] {
		o.recent.add(k)
	}
	g := &o.graphs
	var err error
	switch {
	case g.off || len(l.launches) < minGraph:
		err = o.plain(l)
	case !g.seen[l.key]:
		if len(g.seen) == maxSeen {
			clear(g.seen)
		}
		g.seen[l.key] = true
		err = o.plain(l)
	default:
		err = o.replay(l)
	}
	if err != nil {
		return err
	}
	o.seq++
	return failed("cuEventRecord", o.flushed[o.seq%flushEvents].Record(o.compute))
}

// plain launches one by one.
func (o *owner) plain(l *list) error {
	at, err := submit(l.launches, l.params, o.compute, o.blas)
	if err != nil {
		x := l.launches[at]
		return during(err, o.name, "%s grid %v block %v shared %d", l.kernels[at].name, x.grid, x.block, x.shared)
	}
	return nil
}

// replay launches the list as a graph.
func (o *owner) replay(l *list) error {
	err := o.capture(l)
	if err == nil {
		err = o.launch(l.key)
	}
	if e := o.destroyCaptured(); err == nil {
		err = e
	}
	if err != nil {
		return during(err, o.name, "a graph of %d launches", len(l.launches))
	}
	return nil
}

// capture records the launches of a list as a graph.
func (o *owner) capture(l *list) error {
	if err := beginCapture(o.compute); err != nil {
		return err
	}
	o.capturing = true
	err := o.plain(l)
	end := o.endCapture() // also after an error, which would leave the stream capturing
	o.capturing = end != nil
	if err != nil {
		return err
	}
	return end
}

// launch gives the executable graph of a sequence the parameters of the captured one and launches it. Where there is none, or the
// two differ in more than parameters, it is made anew.
func (o *owner) launch(key uint64) error {
	g := &o.graphs
	g.now++
	x := g.exec[key]
	if x != nil {
		ok, err := update(x.e, o.captured)
		if err != nil {
			return err
		}
		if ok {
			g.work.Updated++
		} else {
			delete(g.exec, key)
			if err := destroyExec(x.e); err != nil {
				return err
			}
			x = nil
		}
	}
	if x == nil {
		if err := g.evict(); err != nil {
			return err
		}
		e, err := instantiate(o.captured)
		if err != nil {
			return err
		}
		x = &graph{e: e}
		g.exec[key] = x
		g.work.Instantiated++
	}
	x.used = g.now
	return launchGraph(x.e, o.compute)
}

// evict makes room for one more graph by destroying the one that was not used for longest.
func (g *graphs) evict() error {
	if len(g.exec) < maxGraphs {
		return nil
	}
	var oldest uint64
	used := g.now + 1
	for key, x := range g.exec {
		if x.used < used {
			oldest, used = key, x.used
		}
	}
	e := g.exec[oldest].e
	delete(g.exec, oldest)
	return destroyExec(e)
}

func (g *graphs) close() error {
	var first error
	for _, x := range g.exec {
		if err := destroyExec(x.e); err != nil && first == nil {
			first = err
		}
	}
	clear(g.exec)
	return first
}

// Work counts what reached the driver since the backend was opened.
type Work struct {
	Kernels      int64 // launches
	Flushes      int64 // lists of launches
	Updated      int64 // of them as graphs that took new parameters
	Instantiated int64 // of them as new graphs
	Waits        int64 // for the device
}

func (w Work) String() string {
	return fmt.Sprintf("%d kernels in %d flushes (%d graphs updated, %d instantiated), %d waits", w.Kernels, w.Flushes, w.Updated, w.Instantiated, w.Waits)
}
