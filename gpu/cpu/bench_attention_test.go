package cpu

import (
	"fmt"
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/kernels/op"
)

// BenchmarkAttention times attention over packed sequences of one length (0: lengths of sentences, 12.3 on average) in the shapes
// of MiniLM and BERT, and reports the fraction of the peak measured in the same run.
func BenchmarkAttention(b *testing.B) {
	d := open(b, 0)
	peak := d.Peak()
	sentences := []int{5, 6, 7, 7, 8, 8, 9, 9, 10, 10, 10, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 18, 19, 20, 22, 25}
	for _, s := range []struct {
		name                          string
		length, count, heads, channel int
		drop                          float64
	}{
		{"sentences", 0, 1, 12, 32, 0}, {"sentences-dropout", 0, 1, 12, 32, 0.1}, {"sentences", 0, 1, 12, 64, 0},
		{"32", 32, 32, 12, 32, 0}, {"60", 60, 32, 12, 32, 0}, {"60-dropout", 60, 32, 12, 32, 0.1}, {"60", 60, 32, 12, 64, 0},
		{"128", 128, 16, 12, 64, 0}, {"512", 512, 8, 12, 32, 0}, {"512-dropout", 512, 8, 12, 32, 0.1}, {"512", 512, 8, 12, 64, 0},
	} {
		lengths := sentences
		if s.length > 0 {
			lengths = nil
			for range s.count {
				lengths = append(lengths, s.length)
			}
		}
		ptr, pairs, longest := []int32{0}, 0, 0
		for _, n := range lengths {
			ptr = append(ptr, ptr[len(ptr)-1]+int32(n))
			pairs += n * n
			longest = max(longest, n)
		}
		rows, c := int(ptr[len(ptr)-1]), s.heads*s.channel
		buf, err := d.Alloc(len(ptr), 4)
		if err != nil {
			b.Fatal(err)
		}
		d.UploadInts(buf, ptr)
		qkv, dqkv, tqkv := matrix(b, d, rows, 3*c), matrix(b, d, rows, 3*c), matrix(b, d, rows, 3*c)
		third := func(m gpu.Mat, k int) gpu.Mat { return m.Columns(k*c, (k+1)*c) }
		o := gpu.Attention{Q: third(qkv, 0), K: third(qkv, 1), V: third(qkv, 2), Out: matrix(b, d, rows, c), LSE: matrix(b, d, rows, s.heads), Ptr: buf,
			Sequences: len(lengths), Longest: longest, Heads: s.heads, Scale: 1 / math.Sqrt(float64(s.channel)), DropP: s.drop}
		grad := gpu.AttentionGrad{Attention: o, DOut: matrix(b, d, rows, c), DQ: third(dqkv, 0), DK: third(dqkv, 1), DV: third(dqkv, 2)}
		tangent := gpu.AttentionTangent{Attention: o, TQ: third(tqkv, 0), TK: third(tqkv, 1), TV: third(tqkv, 2), TOut: matrix(b, d, rows, c)}
		for _, k := range []struct {
			name string
			run  func()
			cost op.Cost
		}{
			{"forward", func() { d.Attention(o) }, op.Float(4).Attention(rows, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
			{"gradient", func() { d.AttentionGrad(grad) }, op.Float(4).AttentionGrad(rows, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
			{"tangent", func() { d.AttentionTangent(tangent) }, op.Float(4).AttentionTangent(rows, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
		} {
			b.Run(fmt.Sprintf("%s_%dx%d/%s", s.name, s.heads, s.channel, k.name), func(b *testing.B) {
				for b.Loop() {
					k.run()
				}
				rate := float64(k.cost.Flops) * float64(b.N) / b.Elapsed().Seconds() / 1e9
				b.ReportMetric(rate, "GFLOP/s")
				b.ReportMetric(100*rate/peak, "%peak")
			})
		}
	}
}
