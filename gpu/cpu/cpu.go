// Package cpu is the default device: float32 on all cores, AVX-512 or AVX2 as the machine has it.
//
// Operations run at once on the calling goroutine's thread and its OpenMP team, so the engine drives the device from one
// locked OS thread. Memory comes from the system in huge pages where it gives them and is not seen by Go's collector.
package cpu

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tapweight/gpu"
	kernels "tapweight/kernels/cpu"
)

// Backend is the CPU device.
type Backend struct {
	info  gpu.Info
	stats gpu.Stats
	marks gpu.Marks
	mu    sync.Mutex
	live  map[uintptr][]byte
}

var _ gpu.Backend = (*Backend)(nil)

// Open returns the device with the given number of threads, 0 for all cores. TAPWEIGHT_ISA=avx2 keeps it from using AVX-512,
// so that either kind of machine can give the bits of the other; the choice holds for the process.
func Open(threads int) (*Backend, error) {
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	want := 0
	switch isa := os.Getenv("TAPWEIGHT_ISA"); isa {
	case "", "avx512":
	case "avx2":
		want = 1
	default:
		return nil, fmt.Errorf("TAPWEIGHT_ISA=%q is not one of avx2, avx512", isa)
	}
	isa := kernels.Init(want, threads)
	if isa == 0 {
		return nil, fmt.Errorf("gpu/cpu: %s has neither AVX2 with FMA nor AVX-512: %w", model(), gpu.ErrUnsupported)
	}
	name := map[int]string{1: "avx2", 2: "avx512"}[isa]
	return &Backend{info: gpu.Info{Name: "cpu", Device: model(), ISA: name, Threads: threads, FloatBytes: 4, Memory: memory()}, live: map[uintptr][]byte{}}, nil
}

// model returns the CPU's name.
func model() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// memory returns the bytes the system says are available.
func memory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kb int64
		if n, _ := fmt.Sscanf(s.Text(), "MemAvailable: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// Info describes the device.
func (b *Backend) Info() gpu.Info { return b.info }

// Alloc maps fresh memory.
func (b *Backend) Alloc(n, elem int) (gpu.Buffer, error) {
	size := max(n*elem, 1)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil || n < 0 {
		return gpu.Buffer{}, fmt.Errorf("gpu/cpu: %d bytes: %w (%v)", size, gpu.ErrOutOfMemory, err)
	}
	if size >= 2<<20 {
		// Advice only: without huge pages everything works, a little slower.
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	}
	addr := uintptr(unsafe.Pointer(&mem[0]))
	b.mu.Lock()
	b.live[addr] = mem
	b.mu.Unlock()
	return gpu.MakeBuffer(addr, n, elem), nil
}

// Free unmaps a buffer of Alloc.
func (b *Backend) Free(buf gpu.Buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if mem, ok := b.live[buf.Addr()]; ok {
		_ = unix.Munmap(mem) // cannot fail for a mapping of ours
		delete(b.live, buf.Addr())
	}
}

// at turns a device address into a pointer; the memory is not Go's.
func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// Upload rounds src to float32.
func (b *Backend) Upload(dst gpu.Buffer, src []float64) {
	need(len(src) == dst.Len(), "upload of %d elements to %d", len(src), dst.Len())
	for i, d := 0, floats(dst); i < len(src); i++ {
		d[i] = float32(src[i])
	}
	b.stats.Uploads++
	b.stats.UploadBytes += int64(4 * len(src))
}

// UploadInts copies integers in.
func (b *Backend) UploadInts(dst gpu.Buffer, src []int32) {
	need(len(src) == dst.Len() && dst.ElemBytes() == 4, "upload of %d integers to %d", len(src), dst.Len())
	if len(src) > 0 {
		copy(unsafe.Slice((*int32)(at(dst.Addr())), dst.Len()), src)
	}
	b.stats.Uploads++
	b.stats.UploadBytes += int64(4 * len(src))
}

// UploadBatch copies both in.
func (b *Backend) UploadBatch(ints gpu.Buffer, i []int32, floats gpu.Buffer, f []float64) {
	b.UploadInts(ints, i)
	b.Upload(floats, f)
	b.stats.Uploads--
}

// Download widens floats to float64.
func (b *Backend) Download(dst []float64, src gpu.Buffer) error {
	need(len(dst) == src.Len(), "download of %d elements to %d", src.Len(), len(dst))
	for i, v := range floats(src) {
		dst[i] = float64(v)
	}
	b.stats.Downloads++
	b.stats.DownloadBytes += int64(4 * len(dst))
	return nil
}

// Sync has nothing to wait for: operations are done when they return.
func (b *Backend) Sync() error { b.stats.Syncs++; return nil }

// Mark notes the time.
func (b *Backend) Mark(slot int) { b.marks.Set(slot) }

// Elapsed returns the time between two marks.
func (b *Backend) Elapsed(from, to int) (time.Duration, error) { return b.marks.Elapsed(from, to), nil }

// Stats returns the counts so far.
func (b *Backend) Stats() gpu.Stats { return b.stats }

// Close unmaps what is left.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for addr, mem := range b.live {
		_ = unix.Munmap(mem)
		delete(b.live, addr)
	}
	return nil
}

// Peak measures the GFLOP/s that all threads reach without touching memory; CopyRate the GB/s of a large copy.
func (b *Backend) Peak() float64 { return kernels.Peak() }

// CopyRate measures GB/s, read plus write, of a large copy.
func (b *Backend) CopyRate() float64 { return kernels.CopyRate() }

// need panics on a broken precondition: a bug of the caller.
func need(ok bool, format string, args ...any) {
	if !ok {
		panic("gpu/cpu: " + fmt.Sprintf(format, args...))
	}
}

func floats(b gpu.Buffer) []float32 {
	need(b.Len() == 0 || b.ElemBytes() == 4, "buffer of %d-byte elements", b.ElemBytes())
	if b.Len() == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(at(b.Addr())), b.Len())
}
