//go:build cuda

package cuda

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cuda"
)

// narrow is a queue whose grids are one block along x, whatever was asked for.
type narrow struct{ *queue }

func (q narrow) Launch(kernel string, grid, block kernels.Dim, shared int, a unsafe.Pointer, size int, scratch uintptr) {
	grid[0] = 1
	q.queue.Launch(kernel, grid, block, shared, a, size, scratch)
}

// TestAnyGrid holds kernels to the same bits on one block as on the grid they are launched with: which element goes into which sum
// depends on shapes alone, and nothing past the end of a grid is left out.
func TestAnyGrid(t *testing.T) {
	b := open(t)
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, cols = 700, 41 // more than a tile, a chunk and a part of everything
	x, y := matrix(t, b, rng, rows, cols, false).Mat, matrix(t, b, rng, rows, cols, false).Mat
	flat, other := vector(t, b, rng, 20011), vector(t, b, rng, 20011)
	short, scalar := alloc(t, b, rows), alloc(t, b, 1)
	square := alloc(t, b, rows*gpu.PadCols(rows))
	into := func(rows, cols int) gpu.Mat { return gpu.MatOf(square, rows, cols, gpu.PadCols(cols)) }
	target := alloc(t, b, rows)
	b.UploadInts(target, make([]int32, rows))
	b.Fill(scalar, 0)
	for name, op := range map[string]struct {
		out gpu.Buffer
		run func(q kernels.Queue)
	}{
		"Axpy": {flat, func(q kernels.Queue) {
			a := args.Axpy(flat, 0.5, gpu.Buffer{}, other)
			kernels.Axpy(q, &a)
		}},
		"Dot": {scalar, func(q kernels.Queue) {
			a := args.Dot(scalar, 1, flat, other, false)
			kernels.Dot(q, &a)
		}},
		"Activate": {square, func(q kernels.Queue) {
			a := args.Activate(gpu.Tanh, into(rows, cols), x)
			kernels.Activate(q, &a)
		}},
		"RowDot": {short, func(q kernels.Queue) {
			a := args.RowDot(short, x, y, 1, false)
			kernels.RowDot(q, &a)
		}},
		"SoftmaxCE": {square, func(q kernels.Queue) {
			a := args.SoftmaxCE(gpu.SoftmaxCE{X: x, DX: into(rows, cols), Target: target, Scale: 1, Loss: scalar})
			kernels.SoftmaxCE(q, &a)
		}},
		"ColSum": {short.Slice(0, cols), func(q kernels.Queue) {
			a := args.ColSum(short.Slice(0, cols), x, false)
			kernels.ColSum(q, &a)
		}},
		"Gemm": {square, func(q kernels.Queue) {
			a := args.Gemm(gpu.Gemm{A: x, B: y, TransB: true, C: into(rows, rows)})
			kernels.Gemm(q, &a)
		}},
		"Gemm in panels": {square, func(q kernels.Queue) {
			a := args.Gemm(gpu.Gemm{A: x, B: y, TransA: true, C: into(cols, cols)})
			kernels.Gemm(q, &a)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := download(t, b, op.out)
			run := func(q kernels.Queue) []float64 {
				b.Upload(op.out, before)
				op.run(q)
				return download(t, b, op.out)
			}
			wide, one := run(b.op()), run(narrow{b.op()})
			for i := range wide {
				if wide[i] != one[i] && (wide[i] == wide[i] || one[i] == one[i]) {
					t.Fatalf("element %d is %v on a grid, %v on one block", i, wide[i], one[i])
				}
			}
		})
	}
}

func vector(t *testing.T, b *Backend, rng *rand.Rand, n int) gpu.Buffer {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	buf := alloc(t, b, n)
	b.Upload(buf, v)
	return buf
}
