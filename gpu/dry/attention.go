package dry

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	"tapweight/kernels/cuda"
)

// pairs is the least number of pairs of rows that the sequences can have, whose lengths are in memory that a dry device lacks:
// one is Longest, the rest are alike.
func pairs(o gpu.Attention) int {
	rest, n := o.Q.Rows-o.Longest, o.Sequences-1
	if n <= 0 || rest <= 0 {
		return o.Longest * o.Longest
	}
	return o.Longest*o.Longest + rest*rest/n
}

func (b *Backend) Attention(o gpu.Attention) {
	b.add("Attention", b.float.Attention(o.Q.Rows, o.Sequences, pairs(o), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
}

func (b *Backend) AttentionGrad(o gpu.AttentionGrad) {
	b.add("AttentionGrad", b.float.AttentionGrad(o.Q.Rows, o.Sequences, pairs(o.Attention), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
	a := args.AttentionGrad(o)
	cuda.AttentionGrad((*queue)(b), &a)
}

func (b *Backend) AttentionTangent(o gpu.AttentionTangent) {
	b.add("AttentionTangent", b.float.AttentionTangent(o.Q.Rows, o.Sequences, pairs(o.Attention), o.Heads, o.Q.Cols/o.Heads, o.DropP > 0))
}
