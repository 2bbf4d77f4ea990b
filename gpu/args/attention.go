package args

import (
	"tapweight/gpu"
	"tapweight/kernels/abi"
)

// Attention fills the arguments of gpu.Attention.
func Attention(o gpu.Attention) abi.AttentionArgs {
	const op = "attention"
	rows, keys, c := o.Q.Rows, o.K.Rows, o.Q.Cols
	if o.Heads <= 0 || c%o.Heads != 0 {
		refuse("%s: %d channels in %d heads", op, c, o.Heads)
	}
	if o.Longest > 1<<16 {
		refuse("%s: a sequence of %d keys, at most 65536 are possible", op, o.Longest)
	}
	return abi.AttentionArgs{Q: mat(o.Q), K: shaped(op, "K", o.K, keys, c), V: shaped(op, "V", o.V, keys, c), Out: shaped(op, "Out", o.Out, rows, c),
		LSE: shaped(op, "LSE", o.LSE, rows, o.Heads), QPtr: length(op, "QPtr", o.QPtr, o.Sequences+1), Ptr: length(op, "Ptr", o.Ptr, o.Sequences+1),
		Sequences: int64(o.Sequences), LongestQ: int64(o.LongestQ), Longest: int64(o.Longest), Heads: int64(o.Heads), Scale: o.Scale, P: o.DropP,
		Seed: o.Key.Seed, Step: o.Key.Step, Stream: o.Key.Stream}
}

// AttentionGrad fills the arguments of gpu.AttentionGrad.
func AttentionGrad(o gpu.AttentionGrad) abi.AttentionArgs {
	const op = "attention-grad"
	a, rows, keys, c := Attention(o.Attention), o.Q.Rows, o.K.Rows, o.Q.Cols
	a.DOut, a.DQ = shaped(op, "DOut", o.DOut, rows, c), shaped(op, "DQ", o.DQ, rows, c)
	a.DK, a.DV = shaped(op, "DK", o.DK, keys, c), shaped(op, "DV", o.DV, keys, c)
	return a
}

// AttentionTangent fills the arguments of gpu.AttentionTangent.
func AttentionTangent(o gpu.AttentionTangent) abi.AttentionArgs {
	const op = "attention-tangent"
	a, rows, keys, c := Attention(o.Attention), o.Q.Rows, o.K.Rows, o.Q.Cols
	a.TQ, a.TOut = shaped(op, "TQ", o.TQ, rows, c), shaped(op, "TOut", o.TOut, rows, c)
	a.TK, a.TV = shaped(op, "TK", o.TK, keys, c), shaped(op, "TV", o.TV, keys, c)
	return a
}
