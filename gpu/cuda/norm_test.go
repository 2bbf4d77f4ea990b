//go:build cuda

package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tapweight/gpu"
)

// TestGemmBatchNorm holds a product that takes the statistics of a batch normalisation on its way to the bits of the two apart, at
// sizes around tiles and parts, with a kernel less; and products that are not the normalisation's input to being left alone.
func TestGemmBatchNorm(t *testing.T) {
	b := open(t)
	rng := rand.New(rand.NewPCG(3, 4))
	kernels := func(n int64) int64 { return b.work.Kernels - n }
	for _, s := range [][3]int{{130, 70, 33}, {128, 64, 32}, {700, 300, 64}, {4500, 30, 16}} {
		rows, cols, k := s[0], s[1], s[2]
		x, w := matrix(t, b, rng, rows, k, false).Mat, matrix(t, b, rng, cols, k, false).Mat
		c, y := matrix(t, b, rng, rows, cols, false).Mat, matrix(t, b, rng, rows, cols, false).Mat
		bias, gamma, beta := vector(t, b, rng, cols), vector(t, b, rng, cols), vector(t, b, rng, cols)
		mean, rstd, mult := alloc(t, b, cols), alloc(t, b, cols), alloc(t, b, rows)
		weights, total := make([]float64, rows), 0.0
		for i := range weights {
			weights[i] = float64(rng.IntN(4)) // rows that count for nothing, too
			total += weights[i]
		}
		b.Upload(mult, weights)
		g := gpu.Gemm{A: x, B: w, TransB: true, C: c, Bias: bias}
		n := gpu.BatchNorm{X: c, Y: y, Mult: mult, Total: total, Gamma: gamma, Beta: beta, Mean: mean, Rstd: rstd, Eps: 1e-5}
		run := func(between func()) (all []float64, launched int64) {
			before := b.work.Kernels
			b.Gemm(g)
			between()
			b.BatchNorm(n)
			launched = kernels(before)
			for _, out := range []gpu.Buffer{c.Buf, y.Buf, mean, rstd} {
				all = append(all, download(t, b, out)...)
			}
			return all, launched
		}
		same := func(a, b []float64) bool {
			return slices.EqualFunc(a, b, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
		}
		apart, four := run(func() { b.Mark(0) }) // flushes
		fused, three := run(func() {})
		if four != 4 || three != 3 {
			t.Errorf("%v: %d kernels apart and %d together, want 4 and 3", s, four, three)
		}
		if !same(apart, fused) {
			t.Errorf("%v: the bits differ", s)
		}
		for what, between := range map[string]func(){
			"another operation": func() { b.Scale(beta, 1, gpu.Buffer{}) },
			"another product":   func() { b.Gemm(gpu.Gemm{A: x, B: w, TransB: true, C: matrix(t, b, rng, rows, cols, false).Mat}) },
		} {
			if other, five := run(between); five != 5 || !same(apart, other) {
				t.Errorf("%v: %s between: %d kernels, want 5, or other bits", s, what, five)
			}
		}
	}
}
