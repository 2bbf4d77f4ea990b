package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// checkAttention refuses what gpu.Attention does not allow. queries and keys are further matrices of a row each.
func checkAttention(op string, o gpu.Attention, queries, keys []gpu.Mat) {
	need(o.Heads > 0 && o.Q.Cols%o.Heads == 0, "%s: %d channels in %d heads", op, o.Q.Cols, o.Heads)
	need(o.Longest <= 1<<16, "%s: a sequence of %d keys, at most 65536 are possible", op, o.Longest)
	alike(op, o.Q, append(queries, o.Out)...)
	alike(op, o.K, append(keys, o.V)...)
	shaped(op, "K", o.K, o.K.Rows, o.Q.Cols)
	shaped(op, "LSE", o.LSE, o.Q.Rows, o.Heads)
	cut := func(name string, ptr gpu.Buffer, longest, rows int) []int32 {
		sized(op, name, ptr, o.Sequences+1)
		last := 0
		for s, p := range ints(ptr) {
			need(s == 0 && p == 0 || s > 0 && int(p) >= last && int(p) <= last+longest, "%s: %s[%d] is %d after %d, with at most %d rows of a sequence", op, name, s, p, last, longest)
			last = int(p)
		}
		need(last == rows, "%s: %s ends at %d, there are %d rows", op, name, last, rows)
		return ints(ptr)
	}
	q, k := cut("QPtr", o.QPtr, o.LongestQ, o.Q.Rows), cut("Ptr", o.Ptr, o.Longest, o.K.Rows)
	for s := range o.Sequences {
		need(q[s] == q[s+1] || k[s] < k[s+1], "%s: sequence %d has queries and no keys", op, s)
	}
}

func attention[T ref.Real](o gpu.Attention) ref.Attention[T] {
	return ref.Attention[T]{Q: mat[T](o.Q), K: mat[T](o.K), V: mat[T](o.V), Out: mat[T](o.Out), LSE: mat[T](o.LSE), QPtr: ints(o.QPtr), Ptr: ints(o.Ptr), Heads: o.Heads,
		Scale: T(o.Scale), DropP: o.DropP, Seed: o.Key.Seed, Step: o.Key.Step, Stream: o.Key.Stream}
}

func (b *Device[T]) Attention(o gpu.Attention) {
	b.stats.Launches++
	checkAttention("attention", o, nil, nil)
	attention[T](o).Forward()
}

func (b *Device[T]) AttentionGrad(o gpu.AttentionGrad) {
	b.stats.Launches++
	checkAttention("attention-grad", o.Attention, []gpu.Mat{o.DOut, o.DQ}, []gpu.Mat{o.DK, o.DV})
	attention[T](o.Attention).Backward(mat[T](o.DOut), mat[T](o.DQ), mat[T](o.DK), mat[T](o.DV))
}

func (b *Device[T]) AttentionTangent(o gpu.AttentionTangent) {
	b.stats.Launches++
	checkAttention("attention-tangent", o.Attention, []gpu.Mat{o.TQ, o.TOut}, []gpu.Mat{o.TK, o.TV})
	attention[T](o.Attention).Tangent(mat[T](o.TQ), mat[T](o.TK), mat[T](o.TV), mat[T](o.TOut))
}
