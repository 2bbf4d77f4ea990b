package cpu

import (
	"fmt"
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/kernels/op"
)

// BenchmarkAttention times attention over packed sequences of one length (0: lengths of sentences, 12.3 on average) in the shapes
// of MiniLM and BERT, of all rows or, in "first", of the first of each, and reports the fraction of the peak measured in the same run.
func BenchmarkAttention(b *testing.B) {
	d := open(b, 0)
	peak := d.Peak()
	sentences := []int{5, 6, 7, 7, 8, 8, 9, 9, 10, 10, 10, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 18, 19, 20, 22, 25}
	for _, s := range []struct {
		name                          string
		length, count, heads, channel int
		drop                          float64
		first                         bool
	}{
		{"sentences", 0, 1, 12, 32, 0, false}, {"sentences-dropout", 0, 1, 12, 32, 0.1, false}, {"sentences-first", 0, 1, 12, 32, 0.1, true},
		{"sentences", 0, 1, 12, 64, 0, false}, {"32", 32, 32, 12, 32, 0, false}, {"60", 60, 32, 12, 32, 0, false}, {"60-dropout", 60, 32, 12, 32, 0.1, false},
		{"60-first", 60, 32, 12, 32, 0.1, true}, {"60", 60, 32, 12, 64, 0, false}, {"128", 128, 16, 12, 64, 0, false}, {"512", 512, 8, 12, 32, 0, false},
		{"512-dropout", 512, 8, 12, 32, 0.1, false}, {"512", 512, 8, 12, 64, 0, false},
	} {
		lengths := sentences
		if s.length > 0 {
			lengths = nil
			for range s.count {
				lengths = append(lengths, s.length)
			}
		}
		qptr, ptr, pairs, longestQ, longest := []int32{0}, []int32{0}, 0, 0, 0
		for i, n := range lengths {
			queries := n
			if s.first {
				queries = 1
			}
			qptr, ptr = append(qptr, qptr[i]+int32(queries)), append(ptr, ptr[i]+int32(n))
			pairs += queries * n
			longestQ, longest = max(longestQ, queries), max(longest, n)
		}
		rows, keys, c := int(qptr[len(lengths)]), int(ptr[len(lengths)]), s.heads*s.channel
		upload := func(v []int32) gpu.Buffer {
			buf, err := d.Alloc(len(v), 4)
			if err != nil {
				b.Fatal(err)
			}
			d.UploadInts(buf, v)
			return buf
		}
		// Queries, keys and values lie in the rows of one matrix, of which the first are queries.
		three := func() (q, k, v gpu.Mat) {
			m := matrix(b, d, keys, 3*c)
			return m.Slice(0, rows).Columns(0, c), m.Columns(c, 2*c), m.Columns(2*c, 3*c)
		}
		o := gpu.Attention{Out: matrix(b, d, rows, c), LSE: matrix(b, d, rows, s.heads), QPtr: upload(qptr), Ptr: upload(ptr),
			Sequences: len(lengths), LongestQ: longestQ, Longest: longest, Heads: s.heads, Scale: 1 / math.Sqrt(float64(s.channel)), DropP: s.drop}
		o.Q, o.K, o.V = three()
		grad := gpu.AttentionGrad{Attention: o, DOut: matrix(b, d, rows, c)}
		grad.DQ, grad.DK, grad.DV = three()
		tangent := gpu.AttentionTangent{Attention: o, TOut: matrix(b, d, rows, c)}
		tangent.TQ, tangent.TK, tangent.TV = three()
		for _, k := range []struct {
			name string
			run  func()
			cost op.Cost
		}{
			{"forward", func() { d.Attention(o) }, op.Float(4).Attention(rows, keys, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
			{"gradient", func() { d.AttentionGrad(grad) }, op.Float(4).AttentionGrad(rows, keys, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
			{"tangent", func() { d.AttentionTangent(tangent) }, op.Float(4).AttentionTangent(rows, keys, len(lengths), pairs, s.heads, s.channel, s.drop > 0)},
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
