package dry

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	"tapweight/kernels/cuda"
)

// pairs is the number of pairs of a query and a key if one sequence has the most of both and the rest are alike; how many each has is
// in memory that a dry device lacks. It is the least that self-attention can have, and right where each sequence has one query.
func pairs(o gpu.Attention) int {
	most, n := o.LongestQ*o.Longest, o.Sequences-1
	if n <= 0 {
		return most
	}
	return most + (o.Q.Rows-o.LongestQ)*(o.K.Rows-o.Longest)/n
}

func (b *Backend) Attention(o gpu.Attention) {
	b.add("Attention", b.float.Attention(o.Q.Rows, o.K.Rows, o.Sequences, pairs(o), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
}

func (b *Backend) AttentionGrad(o gpu.AttentionGrad) {
	b.add("AttentionGrad", b.float.AttentionGrad(o.Q.Rows, o.K.Rows, o.Sequences, pairs(o.Attention), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
	a := args.AttentionGrad(o)
	cuda.AttentionGrad((*queue)(b), &a)
}

func (b *Backend) AttentionTangent(o gpu.AttentionTangent) {
	b.add("AttentionTangent", b.float.AttentionTangent(o.Q.Rows, o.K.Rows, o.Sequences, pairs(o.Attention), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
}
