package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/kernels/op"
)

func random(tb testing.TB, b *Backend, rows, cols int, scale float64) gpu.Mat {
	m, rng := matrix(tb, b, rows, cols), rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	v := make([]float64, m.Buf.Len())
	for i := range v {
		v[i] = scale * rng.NormFloat64()
	}
	b.Upload(m.Buf, v)
	return m
}

func indices(tb testing.TB, b *Backend, n, below int) gpu.Buffer {
	tb.Helper()
	v, rng := make([]int32, n), rand.New(rand.NewPCG(uint64(n), uint64(below)))
	for i := range v {
		v[i] = int32(rng.IntN(below))
	}
	buf, err := b.Alloc(n, 4)
	if err != nil {
		tb.Fatal(err)
	}
	b.UploadInts(buf, v)
	return buf
}

// BenchmarkLinearCE times a masked-language-model head over BERT's vocabulary and reports the fraction of the peak measured in the
// same run that its products reach.
func BenchmarkLinearCE(b *testing.B) {
	const vocabulary = 30522
	d := open(b, 0)
	peak := d.Peak()
	for _, inner := range []int{384, 768} {
		w, dw, bias := random(b, d, vocabulary, inner, 0.02), matrix(b, d, vocabulary, inner), matrix(b, d, 1, vocabulary).Buf.Slice(0, vocabulary)
		for _, n := range []int{20, 60, 600} {
			x := random(b, d, n, inner, 1)
			sums := matrix(b, d, 2, n).Buf
			l := gpu.LinearCE{X: x, W: w, Bias: bias, Target: indices(b, d, n, vocabulary), Scale: 1, LSE: sums.Slice(0, n), Loss: sums.Slice(n, n+1)}
			g := gpu.LinearCEGrad{LinearCE: l, DX: matrix(b, d, n, inner), DW: dw, DBias: matrix(b, d, 1, vocabulary).Buf.Slice(0, vocabulary)}
			t := gpu.LinearCETangent{LinearCE: l, TX: x, TW: w, C: 1, Out: l.Loss}
			for _, c := range []struct {
				name     string
				products float64
				run      func()
			}{{"forward", 1, func() { d.LinearCE(l) }}, {"gradient", 3, func() { d.LinearCEGrad(g) }}, {"tangent", 3, func() { d.LinearCETangent(t) }}} {
				b.Run(fmt.Sprintf("%s_%dx%d", c.name, n, inner), func(b *testing.B) {
					for b.Loop() {
						c.run()
					}
					rate := c.products * 2 * float64(n) * vocabulary * float64(inner) * float64(b.N) / b.Elapsed().Seconds() / 1e9
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/peak, "%peak")
				})
			}
		}
	}
}

// BenchmarkEncoder times what lies between the products of an encoder, for 1 000 tokens of a MiniLM, and reports the fraction of
// the rate of a large copy measured in the same run.
func BenchmarkEncoder(b *testing.B) {
	const tokens, width, hidden, vocabulary = 1000, 384, 1536, 31036
	d, f := open(b, 0), op.Float(4)
	roof := d.CopyRate()
	vec := func(n int) gpu.Buffer { return matrix(b, d, 1, n).Buf.Slice(0, n) }
	x, y, bias := random(b, d, tokens, hidden, 1), matrix(b, d, tokens, hidden), vec(hidden)
	z, out := random(b, d, tokens, width, 1), matrix(b, d, tokens, width)
	norm := gpu.AddNorm{X: matrix(b, d, tokens, width), R: matrix(b, d, tokens, width), Z: z, Y: out, Bias: vec(width), DropP: 0.1, Gamma: vec(width), Beta: vec(width),
		Mean: vec(tokens), Rstd: vec(tokens), Eps: 1e-12}
	table, idx := matrix(b, d, vocabulary, width), indices(b, d, 3*tokens, vocabulary)
	run := func(name string, cost op.Cost, call func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				call()
			}
			rate := float64(cost.Bytes) * float64(b.N) / b.Elapsed().Seconds() / 1e9
			b.ReportMetric(rate, "GB/s")
			b.ReportMetric(100*rate/roof, "%copy")
		})
	}
	for _, tanh := range []bool{false, true} {
		g := gpu.GELU{X: x, Y: y, Bias: bias, Tanh: tanh}
		run(fmt.Sprintf("GELU/tanh=%v", tanh), f.GELU(tokens, hidden, true, tanh), func() { d.GELU(g) })
		run(fmt.Sprintf("GELUGrad/tanh=%v", tanh), f.GELUGrad(tokens, hidden, true, tanh, false, true),
			func() { d.GELUGrad(gpu.GELUGrad{GELU: g, DY: y, DX: y, DBias: bias}) })
	}
	for _, p := range []float64{0, 0.1} {
		norm.DropP = p
		run(fmt.Sprintf("AddNorm/p=%g", p), f.AddNorm(tokens, width, true, true, p > 0), func() { d.AddNorm(norm) })
		run(fmt.Sprintf("AddNormGrad/p=%g", p), f.AddNormGrad(tokens, width, true, true, false, true, p > 0), func() {
			d.AddNormGrad(gpu.AddNormGrad{AddNorm: norm, DY: out, DX: norm.X, DR: norm.R, DBias: norm.Bias, DGamma: norm.Gamma, DBeta: norm.Beta})
		})
	}
	run("Dropout", f.Dropout(tokens*width, false), func() { d.Dropout(out, z, 0.1, gpu.Key{}, false) })
	run("EmbeddingSum", f.EmbeddingSum(tokens, width, 3, vocabulary), func() { d.EmbeddingSum(out, table, idx, 3) })
}
