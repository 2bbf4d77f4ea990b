package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

func checkAttention(op string, o gpu.Attention, others ...gpu.Mat) {
	need(o.Heads > 0 && o.Q.Cols%o.Heads == 0, "%s: %d channels in %d heads", op, o.Q.Cols, o.Heads)
	need(o.Longest <= 1<<16, "%s: a sequence of %d rows, at most 65536 are possible", op, o.Longest)
	alike(op, o.Q, o.K, o.V, o.Out)
	alike(op, o.Q, others...)
	shaped(op, "LSE", o.LSE, o.Q.Rows, o.Heads)
	sized(op, "Ptr", o.Ptr, o.Sequences+1)
	last := 0
	for s, p := range ints(o.Ptr) {
		need(s == 0 && p == 0 || s > 0 && int(p) >= last && int(p) <= last+o.Longest, "%s: Ptr[%d] is %d after %d, with sequences of at most %d rows", op, s, p, last, o.Longest)
		last = int(p)
	}
	need(last == o.Q.Rows, "%s: the sequences have %d rows, Q has %d", op, last, o.Q.Rows)
}

func attention[T ref.Real](o gpu.Attention) ref.Attention[T] {
	return ref.Attention[T]{Q: mat[T](o.Q), K: mat[T](o.K), V: mat[T](o.V), Out: mat[T](o.Out), LSE: mat[T](o.LSE), Ptr: ints(o.Ptr), Heads: o.Heads,
		Scale: T(o.Scale), DropP: o.DropP, Seed: o.Key.Seed, Step: o.Key.Step, Stream: o.Key.Stream}
}

func (b *Device[T]) Attention(o gpu.Attention) {
	b.stats.Launches++
	checkAttention("attention", o)
	attention[T](o).Forward()
}

func (b *Device[T]) AttentionGrad(o gpu.AttentionGrad) {
	b.stats.Launches++
	checkAttention("attention-grad", o.Attention, o.DOut, o.DQ, o.DK, o.DV)
	attention[T](o.Attention).Backward(mat[T](o.DOut), mat[T](o.DQ), mat[T](o.DK), mat[T](o.DV))
}

func (b *Device[T]) AttentionTangent(o gpu.AttentionTangent) {
	b.stats.Launches++
	checkAttention("attention-tangent", o.Attention, o.TQ, o.TK, o.TV, o.TOut)
	attention[T](o.Attention).Tangent(mat[T](o.TQ), mat[T](o.TK), mat[T](o.TV), mat[T](o.TOut))
}
