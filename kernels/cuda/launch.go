// Package cuda holds the CUDA kernels, compiled, and knows how each operation of package gpu is launched: which kernels, with
// what grid and how much memory. It needs neither cgo nor a driver; package gpu/cuda hands it a [Queue] and runs what is put
// there.
//
//	device code     *.cu, one family of operations to a file; compiled by `make kernels`
//	how to launch   the Go file of the same name: one function per operation, which fills the queue
//
// A kernel has two parameters: the argument struct of its operation, by value, and a pointer to scratch memory or 0. Where
// variants exist, the choice is by shape and alignment alone, so that equal calls give equal bits.
package cuda

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"unsafe"

	"tapweight/kernels/abi"
)

// Dim is the size of a grid or of a block.
type Dim = [3]uint32

// Queue takes the launches of operations, in order.
type Queue interface {
	// Scratch returns the address of bytes bytes of device memory, aligned to 256, with anything in them. They stay valid for
	// the launches up to the next call of Scratch.
	Scratch(bytes int) uintptr
	// Launch queues a kernel with size bytes of arguments, which are copied, and shared bytes of dynamic shared memory.
	Launch(kernel string, grid, block Dim, shared int, args unsafe.Pointer, size int, scratch uintptr)
}

// ScratchSize returns how much memory is reserved where an operation asks for so many bytes: a power of two and at least 1 MiB, so
// that it is seldom reserved anew.
func ScratchSize(bytes int) int {
	size := 1 << 20
	for size < bytes {
		size *= 2
	}
	return size
}

// The numbers of common.cuh.
const (
	threads     = 256
	sumElements = 4096
	sumRows     = 32
	warpColumns = 768
	keepColumns = 12288
)

// maxBlocks bounds grids; kernels loop over what is left. It is several blocks for every multiprocessor of the largest card.
const maxBlocks = 4096

// blocks returns how many blocks cover n items of which each takes size, at least 1 and at most maxBlocks.
func blocks(n, size int64) Dim {
	return Dim{uint32(max(1, min(maxBlocks, (n+size-1)/size))), 1, 1}
}

// linear is a block of n threads in a row.
func linear(n uint32) Dim { return Dim{n, 1, 1} }

// cells returns grid and block of kernels that deal with every element of a rows×cols matrix in pieces of width (cells in
// common.cuh): threads lie along the columns as far as those go, and where a row has more than fit, each takes equally many.
func cells(rows, cols, width int64) (grid, block Dim) {
	pieces := max(1, (cols+width-1)/width)
	turns := (pieces + threads - 1) / threads
	x := (pieces + turns - 1) / turns
	y := threads / x
	return blocks(rows, y), Dim{uint32(x), uint32(y), 1}
}

// keep returns the bytes of shared memory that hold rows of a matrix of cols columns (Kept in common.cuh); 0 where rows are too long.
func keep(cols int64, rows int) int {
	if cols > keepColumns || rows > 1 && cols > warpColumns {
		return 0
	}
	return rows * (int(cols+3) / 4) * 16
}

// variants names the kernels of an operation for wide and for single accesses.
type variants struct{ v4, v1 string }

func named(op string) variants { return variants{"tw_" + op + "_v4_f32", "tw_" + op + "_v1_f32"} }

// pick returns the kernel for wide accesses and their width if all addresses allow them.
func (v variants) pick(wide bool) (kernel string, width int64) {
	if wide {
		return v.v4, 4
	}
	return v.v1, 1
}

// aligned says whether float4 access works at all addresses; 0 is an absent argument.
func aligned(p ...abi.Ptr) bool {
	for _, a := range p {
		if a%16 != 0 {
			return false
		}
	}
	return true
}

// alignedRows is aligned for every row of the matrices.
func alignedRows(m ...abi.Mat) bool {
	for _, a := range m {
		if a.P%16 != 0 || a.LD%4 != 0 {
			return false
		}
	}
	return true
}

// launch queues a kernel on the arguments a.
func launch[A any](q Queue, kernel string, grid, block Dim, shared int, a *A, scratch uintptr) {
	q.Launch(kernel, grid, block, shared, unsafe.Pointer(a), int(unsafe.Sizeof(*a)), scratch)
}

// vectors holds argument structs for sum, whose address the compiler cannot see to stay here.
var vectors = sync.Pool{New: func() any { return new(abi.VectorArgs) }}

// sum queues the end of a sum over a whole input: out[0] (+)= c times the sum of the float64 parts in scratch.
func sum(q Queue, out abi.Ptr, parts int64, c float64, accumulate int32, scratch uintptr) {
	a := vectors.Get().(*abi.VectorArgs)
	*a = abi.VectorArgs{V: out, N: parts, C: c, Accumulate: accumulate}
	launch(q, "tw_sum_f32", Dim{1, 1, 1}, linear(threads), 0, a, scratch)
	vectors.Put(a)
}

//go:embed ptx/*.ptx
var ptx embed.FS

//go:embed all:cubin
var cubin embed.FS

// Image is one compiled module, which holds the kernels of one family.
type Image struct {
	Name string // the family: "vec", "dense", ...
	Arch string // "sm_90", or "compute_80" for PTX, which the driver compiles
	Data []byte
}

// PTX returns all modules as PTX, which any card of capability 8.0 or more runs.
func PTX() []Image { return images(ptx, "ptx", "compute_80", ".ptx") }

// Images returns all modules for a card of a compute capability: cubins of the nearest architecture that it runs (same major
// number, minor number no higher) if they were built, otherwise PTX.
func Images(major, minor int) []Image {
	for m := minor; m >= 0; m-- {
		arch := fmt.Sprintf("sm_%d%d", major, m)
		if all := images(cubin, "cubin/"+arch, arch, ".cubin"); len(all) > 0 && len(all) == len(PTX()) {
			return all
		}
	}
	return PTX()
}

// images reads the modules of a folder; none where there is no such folder.
func images(files embed.FS, dir, arch, suffix string) []Image {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil
	}
	var all []Image
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			data, err := files.ReadFile(dir + "/" + e.Name())
			if err != nil {
				panic(err) // an embedded file that was just listed
			}
			all = append(all, Image{name, arch, data})
		}
	}
	return all
}
