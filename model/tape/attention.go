package tape

import (
	"math"
	"slices"

	"tapweight/gpu"
)

// Sequences says how packed streams of queries and of keys are cut: sequence s has the rows [QPtr[s], QPtr[s+1]) of the former and
// [Ptr[s], Ptr[s+1]) of the latter. In self-attention they are the same.
type Sequences struct {
	QPtr, Ptr         gpu.Buffer // (N+1) int32, from 0 to the number of rows
	N                 int
	LongestQ, Longest int // the largest numbers of rows of a sequence
}

// Columns are some columns of a variable, see [Var.Columns].
type Columns struct {
	x      *Var
	lo, hi int
}

// Columns returns the columns [lo,hi).
func (v *Var) Columns(lo, hi int) Columns { return Columns{v, lo, hi} }

func (c Columns) of(m gpu.Mat) gpu.Mat { return m.Columns(c.lo, c.hi) }

// Attention is multi-head attention within every sequence (Vaswani 2017): queries q (n,C), keys k and values v (T,C) give (n,C). Each
// variable that they are columns of consists of them. Scores are scaled by 1/sqrt(C/heads); p and key are the dropout of the
// probabilities.
func (t *Tape) Attention(q, k, v Columns, seq Sequences, heads int, p float64, key gpu.Key) *Var {
	in := []*Var{q.x}
	for _, x := range []*Var{k.x, v.x} {
		if !slices.Contains(in, x) {
			in = append(in, x)
		}
	}
	n, c := q.x.Value.Rows, q.hi-q.lo
	y := t.newVar(n, c, in...)
	lse := t.A.Mat(n, heads)
	op := gpu.Attention{Q: q.of(q.x.Value), K: k.of(k.x.Value), V: v.of(v.x.Value), Out: y.Value, LSE: lse, QPtr: seq.QPtr, Ptr: seq.Ptr, Sequences: seq.N,
		LongestQ: seq.LongestQ, Longest: seq.Longest, Heads: heads, Scale: 1 / math.Sqrt(float64(c/heads)), DropP: p, Key: key}
	t.B.Attention(op)
	return t.record(y, in, []gpu.Buffer{lse.Buf}, func() {
		grads := map[*Var]gpu.Mat{}
		var added []*Var // whose gradient is there already, or unwanted
		for _, x := range in {
			if x.needs {
				var acc bool
				if grads[x], acc = t.gradOf(x); !acc {
					continue
				}
			}
			grads[x] = t.A.Mat(x.Value.Rows, x.Value.Cols)
			added = append(added, x)
		}
		t.B.AttentionGrad(gpu.AttentionGrad{Attention: op, DOut: y.grad, DQ: q.of(grads[q.x]), DK: k.of(grads[k.x]), DV: v.of(grads[v.x])})
		for _, x := range added {
			if x.needs {
				dst, _ := t.gradOf(x)
				t.B.AddScaled(dst, grads[x], 1)
			}
			t.A.Free(grads[x].Buf)
		}
	}, func() {
		tangents := map[*Var]gpu.Mat{}
		for _, x := range in {
			tangents[x] = t.tangentOrZero(x)
		}
		t.B.AttentionTangent(gpu.AttentionTangent{Attention: op, TQ: q.of(tangents[q.x]), TK: k.of(tangents[k.x]), TV: v.of(tangents[v.x]), TOut: t.newTangent(y)})
	})
}
