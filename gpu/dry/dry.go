// Package dry is a device that computes nothing and has no memory: it adds up what operations cost. A plan runs one
// iteration on it and knows, before anything is computed, the bytes of the arena and the flops and bytes of every operation.
//
// Every download gives zeros. Buffers have addresses that no memory backs; Slice and the arena work on them as on any device.
//
//	b := dry.Open(4)
//	b.Gemm(gpu.Gemm{...})
//	fmt.Println(b.Cost().Flops)
package dry

import (
	"fmt"
	"time"
	"unsafe"

	"tapweight/gpu"
	"tapweight/kernels/cuda"
	"tapweight/kernels/op"
)

// Backend is the dry device. It is not safe for concurrent use.
type Backend struct {
	float   op.Float
	next    uintptr           // address of the next allocation
	live    map[uintptr]int64 // bytes
	held    int64
	peak    int64
	stats   gpu.Stats
	total   op.Cost
	entries map[string]Entry
	log     []Operation
	scratch int  // bytes, the most that any operation asked for on gpu/cuda
	planned bool // the operation queued last has asked for its launches
}

// queue takes the launches that gpu/cuda would make and counts them.
type queue Backend

func (q *queue) Scratch(bytes int) uintptr {
	q.scratch = max(q.scratch, bytes)
	return 1 << 20
}

func (q *queue) Launch(string, cuda.Dim, cuda.Dim, int, unsafe.Pointer, int, uintptr) {
	if q.planned {
		q.log[len(q.log)-1].Launches++
	}
	q.planned = true
}

// CUDAScratchBytes returns the memory that gpu/cuda keeps beside the operands of the operations so far.
func (b *Backend) CUDAScratchBytes() int64 { return int64(cuda.ScratchSize(b.scratch)) }

// Operation is one operation that was queued.
type Operation struct {
	Name     string // of its method in package gpu
	Launches int    // of kernels on gpu/cuda; 1 where it never makes more
	op.Cost
}

var _ gpu.Backend = (*Backend)(nil)

// Entry is what one kind of operation cost so far.
type Entry struct {
	Launches int64
	op.Cost
}

// Open returns a device whose floats have 4 or 8 bytes.
func Open(floatBytes int) *Backend {
	if floatBytes != 4 && floatBytes != 8 {
		panic(fmt.Sprintf("gpu/dry: floats of %d bytes", floatBytes))
	}
	return &Backend{float: op.Float(floatBytes), next: 1 << 20, live: map[uintptr]int64{}, entries: map[string]Entry{}}
}

// Cost returns the sum over all operations since the device was opened or reset.
func (b *Backend) Cost() op.Cost { return b.total }

// ByOp returns the cost of each kind of operation, under the name of its method in package gpu.
func (b *Backend) ByOp() map[string]Entry {
	out := make(map[string]Entry, len(b.entries))
	for name, e := range b.entries {
		out[name] = e
	}
	return out
}

// Reset forgets the costs, so that the phases of an iteration can be told apart. Memory stays.
func (b *Backend) Reset() { b.total, b.entries, b.log = op.Cost{}, map[string]Entry{}, nil }

// Operations returns all operations since the device was opened or reset, in order.
func (b *Backend) Operations() []Operation { return b.log }

// PeakBytes returns the most bytes that were allocated at one time.
func (b *Backend) PeakBytes() int64 { return b.peak }

func (b *Backend) add(name string, c op.Cost) {
	b.stats.Launches++
	b.total = b.total.Plus(c)
	e := b.entries[name]
	e.Launches++
	e.Cost = e.Cost.Plus(c)
	b.entries[name] = e
	b.log = append(b.log, Operation{name, 1, c})
	b.planned = false
}

// Info describes the device.
func (b *Backend) Info() gpu.Info {
	return gpu.Info{Name: "dry", Device: "none: costs are added up", ISA: "none", Threads: 1, FloatBytes: int(b.float)}
}

// Alloc returns addresses that are distinct from all others.
func (b *Backend) Alloc(n, elem int) (gpu.Buffer, error) {
	if n < 0 || elem <= 0 || n > 1<<46/elem {
		return gpu.Buffer{}, fmt.Errorf("gpu/dry: %d elements of %d bytes: %w", n, elem, gpu.ErrOutOfMemory)
	}
	size := int64(n * elem)
	buf := gpu.MakeBuffer(b.next, n, elem)
	b.live[b.next] = size
	b.next += uintptr(size+128) &^ 63 // a gap, so that no two pieces are neighbours
	b.held += size
	b.peak = max(b.peak, b.held)
	return buf, nil
}

// Free gives back what Alloc returned.
func (b *Backend) Free(buf gpu.Buffer) {
	b.held -= b.live[buf.Addr()]
	delete(b.live, buf.Addr())
}

// Upload counts.
func (b *Backend) Upload(dst gpu.Buffer, src []float64) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/dry: upload of %d elements to %d", len(src), dst.Len()))
	}
	b.stats.Uploads++
	b.stats.UploadBytes += int64(b.float) * int64(len(src))
}

// UploadInts counts.
func (b *Backend) UploadInts(dst gpu.Buffer, src []int32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/dry: upload of %d integers to %d", len(src), dst.Len()))
	}
	b.stats.Uploads++
	b.stats.UploadBytes += 4 * int64(len(src))
}

// UploadBatch counts.
func (b *Backend) UploadBatch(ints gpu.Buffer, i []int32, floats gpu.Buffer, f []float64) {
	b.UploadInts(ints, i)
	b.Upload(floats, f)
	b.stats.Uploads--
}

// Download gives zeros.
func (b *Backend) Download(dst []float64, src gpu.Buffer) error {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("gpu/dry: download of %d elements to %d", src.Len(), len(dst)))
	}
	clear(dst)
	b.stats.Downloads++
	b.stats.DownloadBytes += int64(b.float) * int64(len(dst))
	return nil
}

// Sync counts.
func (b *Backend) Sync() error { b.stats.Syncs++; return nil }

// Mark does nothing.
func (b *Backend) Mark(int) {}

// Elapsed is always 0.
func (b *Backend) Elapsed(int, int) (time.Duration, error) { return 0, nil }

// Stats returns the counts so far.
func (b *Backend) Stats() gpu.Stats { return b.stats }

// Close has nothing to release.
func (b *Backend) Close() error { return nil }
