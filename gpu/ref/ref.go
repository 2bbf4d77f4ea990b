// Package ref is the float64 oracle as a device: the whole engine runs on it, in tests and under `tapweight check`.
//
// It computes at once, one thread, plain loops of kernels/ref. Fresh memory holds NaN (floats) or an index that is out of
// every range (integers), so that reading what nobody wrote shows.
package ref

import (
	"fmt"
	"math"
	"sync"
	"unsafe"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// Backend is the float64 device.
type Backend struct {
	mu    sync.Mutex
	live  map[uintptr][]uint64 // keeps the memory of buffers reachable
	stats gpu.Stats
}

var _ gpu.Backend = (*Backend)(nil)

// Open returns a new device.
func Open() *Backend { return &Backend{live: map[uintptr][]uint64{}} }

// Info describes the device.
func (b *Backend) Info() gpu.Info {
	return gpu.Info{Name: "ref", Device: "float64 oracle", ISA: "float64", Threads: 1, FloatBytes: 8}
}

// Alloc returns poisoned memory.
func (b *Backend) Alloc(n, elem int) (gpu.Buffer, error) {
	if n < 0 || n > 1<<34 || elem != 4 && elem != 8 {
		return gpu.Buffer{}, fmt.Errorf("gpu/ref: %d elements of %d bytes: %w", n, elem, gpu.ErrOutOfMemory)
	}
	words := make([]uint64, n*elem/8+16)
	poison := math.Float64bits(math.NaN())
	if elem == 4 {
		poison = 0x7fffffff7fffffff
	}
	for i := range words {
		words[i] = poison
	}
	addr := (uintptr(unsafe.Pointer(&words[0])) + 63) &^ 63
	b.mu.Lock()
	b.live[addr] = words
	b.mu.Unlock()
	return gpu.MakeBuffer(addr, n, elem), nil
}

// Free releases a buffer of Alloc.
func (b *Backend) Free(buf gpu.Buffer) {
	b.mu.Lock()
	delete(b.live, buf.Addr())
	b.mu.Unlock()
}

// Upload copies floats in.
func (b *Backend) Upload(dst gpu.Buffer, src []float64) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/ref: upload of %d elements to %d", len(src), dst.Len()))
	}
	copy(floats(dst), src)
	b.stats.Uploads++
	b.stats.UploadBytes += int64(8 * len(src))
}

// UploadInts copies integers in.
func (b *Backend) UploadInts(dst gpu.Buffer, src []int32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/ref: upload of %d integers to %d", len(src), dst.Len()))
	}
	copy(ints(dst), src)
	b.stats.Uploads++
	b.stats.UploadBytes += int64(4 * len(src))
}

// Download copies floats out.
func (b *Backend) Download(dst []float64, src gpu.Buffer) error {
	copy(dst, floats(src))
	b.stats.Downloads++
	b.stats.DownloadBytes += int64(8 * len(dst))
	return nil
}

// Sync has nothing to wait for.
func (b *Backend) Sync() error { b.stats.Syncs++; return nil }

// Stats returns the counts so far.
func (b *Backend) Stats() gpu.Stats { return b.stats }

// Close forgets all memory.
func (b *Backend) Close() error {
	b.live = map[uintptr][]uint64{}
	return nil
}

// at turns a device address into a pointer. The memory is kept reachable by Backend.live.
func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

func floats(b gpu.Buffer) []float64 {
	if b.Len() == 0 {
		return []float64{}
	}
	if b.ElemBytes() != 8 {
		panic("gpu/ref: integers where floats belong")
	}
	return unsafe.Slice((*float64)(at(b.Addr())), b.Len())
}

// optional is floats with nil for an absent buffer.
func optional(b gpu.Buffer) []float64 {
	if b.IsNil() {
		return nil
	}
	return floats(b)
}

func ints(b gpu.Buffer) []int32 {
	if b.IsNil() {
		return nil
	}
	if b.Len() == 0 {
		return []int32{}
	}
	if b.ElemBytes() != 4 {
		panic("gpu/ref: floats where integers belong")
	}
	return unsafe.Slice((*int32)(at(b.Addr())), b.Len())
}

func mat(m gpu.Mat) ref.M[float64] {
	if m.IsNil() {
		return ref.M[float64]{}
	}
	return ref.M[float64]{D: floats(m.Buf), Rows: m.Rows, Cols: m.Cols, LD: m.LD}
}

func csr(c gpu.CSR) ref.CSR[float64] {
	return ref.CSR[float64]{Rows: c.Rows, RowPtr: ints(c.RowPtr), Col: ints(c.Col), Weight: optional(c.Weight), Code: ints(c.Code)}
}

// scalar returns c times the device scalar, if there is one.
func scalar(c float64, s gpu.Buffer) float64 {
	if s.IsNil() {
		return c
	}
	return c * floats(s)[0]
}
