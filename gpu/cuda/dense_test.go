//go:build cuda

package cuda

import (
	"math"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cuda"
)

// TestMaths holds the tensor cores' ways of multiplying to the bounds that follow from their numbers: each factor is off by a
// relative u, so a sum of products is off by at most (2u+u²) sum |a||b|, plus what float32 sums add. The compliance suite tests
// Float32 further; here each must also be further off than the next finer one may be, so that none stands in for another.
func TestMaths(t *testing.T) {
	b := open(t)
	// Of 3xTF32, what hi and lo leave out and the product of the two lows.
	unit := map[kernels.Math]float64{kernels.Float32: 0x1.8p-22, kernels.TF32: 0x1p-11, kernels.BF16: 0x1p-8}
	for _, shape := range [][3]int{{133, 68, 40}, {200, 37, 1000}, {257, 130, 64}} {
		for trans := range 3 {
			m, n, k := shape[0], shape[1], shape[2]
			ta, tb := trans == 1, trans == 2
			rng := rand.New(rand.NewPCG(uint64(m), uint64(trans)))
			x, y := matrix(t, b, rng, m, k, ta), matrix(t, b, rng, k, n, tb)
			c := gpu.MatOf(alloc(t, b, m*gpu.PadCols(n)), m, n, gpu.PadCols(n))
			worst := map[kernels.Math]float64{}
			for kind := kernels.Float32; kind <= kernels.BF16; kind++ {
				b.args.gemm = args.Gemm(gpu.Gemm{A: x.Mat, B: y.Mat, C: c, TransA: ta, TransB: tb})
				kernels.GemmIn(b.op(), kind, &b.args.gemm)
				got := make([]float64, c.Buf.Len())
				if err := b.Download(got, c.Buf); err != nil {
					t.Fatal(err)
				}
				for i := range m {
					for j := range n {
						var want, size float64
						for p := range k {
							want += x.at(i, p) * y.at(p, j)
							size += math.Abs(x.at(i, p) * y.at(p, j))
						}
						worst[kind] = max(worst[kind], math.Abs(got[i*c.LD+j]-want)/size)
					}
				}
				u := unit[kind]
				if bound := 2*u + u*u + float64(k)*0x1p-24; !(worst[kind] <= bound) {
					t.Errorf("%v, transposes %d, math %d: off by %.3g of the sum of magnitudes, want at most %.3g", shape, trans, kind, worst[kind], bound)
				}
			}
			if !(worst[kernels.BF16] > 4*worst[kernels.TF32] && worst[kernels.TF32] > 64*worst[kernels.Float32]) {
				t.Errorf("%v, transposes %d: errors are %v", shape, trans, worst)
			}
		}
	}
}

// operand is a matrix on the device that is read transposed or not, and its values.
type operand struct {
	gpu.Mat
	v          []float64
	transposed bool
}

func (o operand) at(i, j int) float64 {
	if o.transposed {
		i, j = j, i
	}
	return o.v[i*o.LD+j]
}

// matrix uploads standard normal numbers for a rows×cols operand, and NaN between its rows.
func matrix(t *testing.T, b *Backend, rng *rand.Rand, rows, cols int, transposed bool) operand {
	if transposed {
		rows, cols = cols, rows
	}
	ld := gpu.PadCols(cols) + gpu.RowAlign
	v := make([]float64, rows*ld)
	for i := range v {
		v[i] = math.NaN()
		if i%ld < cols {
			v[i] = float64(float32(rng.NormFloat64()))
		}
	}
	buf := alloc(t, b, len(v))
	b.Upload(buf, v)
	return operand{gpu.MatOf(buf, rows, cols, ld), v, transposed}
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
