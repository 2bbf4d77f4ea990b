// Package ref is the float64 oracle as a device: the whole engine runs on it, in tests and under `tapweight check`.
//
// It computes at once, one thread, plain loops of kernels/ref. Fresh memory holds NaN (floats) or an index that is out of
// every range (integers), so that reading what nobody wrote shows.
package ref

import (
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// Device computes in T.
type Device[T ref.Real] struct {
	mu    sync.Mutex
	live  map[uintptr][]uint64 // keeps the memory of buffers reachable
	stats gpu.Stats
	marks gpu.Marks
}

// Backend is the float64 device.
type Backend = Device[float64]

var (
	_ gpu.Backend = (*Device[float64])(nil)
	_ gpu.Backend = (*Device[float32])(nil)
)

// Open returns a new device.
func Open() *Backend { return &Backend{live: map[uintptr][]uint64{}} }

// OpenNaive returns the same loops in float32. Their error against [Open] is the yardstick of the compliance suite.
func OpenNaive() *Device[float32] { return &Device[float32]{live: map[uintptr][]uint64{}} }

// size is the bytes of a T.
func size[T ref.Real]() int { return int(unsafe.Sizeof(T(0))) }

// Info describes the device.
func (b *Device[T]) Info() gpu.Info {
	if size[T]() == 4 {
		return gpu.Info{Name: "naive", Device: "plain float32 loops", ISA: "float32", Threads: 1, FloatBytes: 4}
	}
	return gpu.Info{Name: "ref", Device: "float64 oracle", ISA: "float64", Threads: 1, FloatBytes: 8}
}

// Alloc returns poisoned memory.
func (b *Device[T]) Alloc(n, elem int) (gpu.Buffer, error) {
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
func (b *Device[T]) Free(buf gpu.Buffer) {
	b.mu.Lock()
	delete(b.live, buf.Addr())
	b.mu.Unlock()
}

// Upload copies floats in.
func (b *Device[T]) Upload(dst gpu.Buffer, src []float64) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/ref: upload of %d elements to %d", len(src), dst.Len()))
	}
	for i, d := 0, floats[T](dst); i < len(src); i++ {
		d[i] = T(src[i])
	}
	b.stats.Uploads++
	b.stats.UploadBytes += int64(size[T]() * len(src))
}

// UploadInts copies integers in.
func (b *Device[T]) UploadInts(dst gpu.Buffer, src []int32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("gpu/ref: upload of %d integers to %d", len(src), dst.Len()))
	}
	copy(ints(dst), src)
	b.stats.Uploads++
	b.stats.UploadBytes += int64(4 * len(src))
}

// UploadBatch copies both in.
func (b *Device[T]) UploadBatch(ints gpu.Buffer, i []int32, floats gpu.Buffer, f []float64) {
	b.UploadInts(ints, i)
	b.Upload(floats, f)
	b.stats.Uploads--
}

// Download copies floats out.
func (b *Device[T]) Download(dst []float64, src gpu.Buffer) error {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("gpu/ref: download of %d elements to %d", src.Len(), len(dst)))
	}
	for i, v := range floats[T](src) {
		dst[i] = float64(v)
	}
	b.stats.Downloads++
	b.stats.DownloadBytes += int64(size[T]() * len(dst))
	return nil
}

// Sync has nothing to wait for.
func (b *Device[T]) Sync() error { b.stats.Syncs++; return nil }

// Mark notes the time.
func (b *Device[T]) Mark(slot int) { b.marks.Set(slot) }

// Elapsed returns the time between two marks.
func (b *Device[T]) Elapsed(from, to int) (time.Duration, error) {
	return b.marks.Elapsed(from, to), nil
}

// Stats returns the counts so far.
func (b *Device[T]) Stats() gpu.Stats { return b.stats }

// Close forgets all memory.
func (b *Device[T]) Close() error {
	b.live = map[uintptr][]uint64{}
	return nil
}

// at turns a device address into a pointer. The memory is kept reachable by Backend.live.
func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

func floats[T ref.Real](b gpu.Buffer) []T {
	if b.Len() == 0 {
		return []T{}
	}
	if b.ElemBytes() != size[T]() {
		panic("gpu/ref: integers where floats belong")
	}
	return unsafe.Slice((*T)(at(b.Addr())), b.Len())
}

// optional is floats with nil for an absent buffer.
func optional[T ref.Real](b gpu.Buffer) []T {
	if b.IsNil() {
		return nil
	}
	return floats[T](b)
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

func mat[T ref.Real](m gpu.Mat) ref.M[T] {
	if m.IsNil() {
		return ref.M[T]{}
	}
	return ref.M[T]{D: floats[T](m.Buf), Rows: m.Rows, Cols: m.Cols, LD: m.LD}
}

func csr[T ref.Real](c gpu.CSR) ref.CSR[T] {
	return ref.CSR[T]{Rows: c.Rows, RowPtr: ints(c.RowPtr), Col: ints(c.Col), Weight: optional[T](c.Weight), Code: ints(c.Code)}
}

// scalar returns c times the device scalar, if there is one.
func scalar[T ref.Real](c float64, s gpu.Buffer) T {
	if s.IsNil() {
		return T(c)
	}
	return T(c) * floats[T](s)[0]
}
