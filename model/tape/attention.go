package tape

import (
	"math"

	"tapweight/gpu"
)

// Sequences says how a packed stream of rows is cut: sequence s has the rows [Ptr[s], Ptr[s+1]).
type Sequences struct {
	Ptr        gpu.Buffer // (N+1) int32, from 0 to the number of rows
	N, Longest int        // Longest: the largest number of rows of a sequence
}

// Attention is multi-head self-attention within every sequence (Vaswani 2017). qkv (T,3C) holds queries, keys and values side by
// side; the result is (T,C). Scores are scaled by 1/sqrt(C/heads); p and key are the dropout of the probabilities.
func (t *Tape) Attention(qkv *Var, seq Sequences, heads int, p float64, key gpu.Key) *Var {
	n, c := qkv.Value.Rows, qkv.Value.Cols/3
	y := t.newVar(n, c, qkv)
	lse := t.A.Mat(n, heads)
	third := func(m gpu.Mat, k int) gpu.Mat { return m.Columns(k*c, (k+1)*c) }
	op := gpu.Attention{Q: third(qkv.Value, 0), K: third(qkv.Value, 1), V: third(qkv.Value, 2), Out: y.Value, LSE: lse, Ptr: seq.Ptr, Sequences: seq.N,
		Longest: seq.Longest, Heads: heads, Scale: 1 / math.Sqrt(float64(c/heads)), DropP: p, Key: key}
	t.B.Attention(op)
	return t.record(y, []*Var{qkv}, []gpu.Buffer{lse.Buf}, func() {
		dst, acc := t.gradOf(qkv)
		d := dst
		if acc {
			d = t.A.Mat(n, 3*c)
		}
		t.B.AttentionGrad(gpu.AttentionGrad{Attention: op, DOut: y.grad, DQ: third(d, 0), DK: third(d, 1), DV: third(d, 2)})
		if acc {
			t.B.AddScaled(dst, d, 1)
			t.A.Free(d.Buf)
		}
	}, func() {
		d := t.tangentOf(qkv)
		t.B.AttentionTangent(gpu.AttentionTangent{Attention: op, TQ: third(d, 0), TK: third(d, 1), TV: third(d, 2), TOut: t.newTangent(y)})
	})
}
