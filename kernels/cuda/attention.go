package cuda

import "tapweight/kernels/abi"

// The numbers of attention.cu.
const (
	attentionThreads = 128
	pairs            = 32
	pairPitch        = 36
)

// attentionKernels are the kernels of one operation: for heads of up to 32 and up to 64 channels, and for any.
type attentionKernels struct{ d32, d64, plain string }

var (
	attention        = attentionKernels{"tw_attention_d32_f32", "tw_attention_d64_f32", "tw_attention_plain_f32"}
	attentionGradQ   = attentionKernels{"tw_attention_grad_q_d32_f32", "tw_attention_grad_q_d64_f32", "tw_attention_grad_q_plain_f32"}
	attentionGradKV  = attentionKernels{"tw_attention_grad_kv_d32_f32", "tw_attention_grad_kv_d64_f32", "tw_attention_grad_kv_plain_f32"}
	attentionTangent = attentionKernels{"tw_attention_tangent_d32_f32", "tw_attention_tangent_d64_f32", "tw_attention_tangent_plain_f32"}
)

// attend launches one of the kernels, which holds so many sides of a tile of pairs in shared memory; wide says whether rows allow
// wide accesses.
func attend(q Queue, k attentionKernels, sides int, wide bool, a *abi.AttentionArgs, scratch uintptr) {
	d := a.Q.Cols / a.Heads
	if !wide || d%4 != 0 || d > 64 {
		launch(q, k.plain, blocks(a.Q.Rows*a.Heads, threads/32), linear(threads), 0, a, scratch)
		return
	}
	kernel, most := k.d32, 32
	if d > 32 {
		kernel, most = k.d64, 64
	}
	grid := blocks(a.Sequences*pieces(a.Longest, pairs)*a.Heads, 1)
	launch(q, kernel, grid, linear(attentionThreads), 4*pairs*(sides*(most+4)+pairPitch), a, scratch)
}

// Attention queues gpu.Attention.
func Attention(q Queue, a *abi.AttentionArgs) {
	if a.Q.Rows == 0 {
		return
	}
	attend(q, attention, 3, alignedRows(a.Q, a.K, a.V, a.Out), a, 0)
}

// AttentionGrad queues gpu.AttentionGrad: DQ, and then DK and DV.
func AttentionGrad(q Queue, a *abi.AttentionArgs) {
	if a.Q.Rows == 0 {
		return
	}
	scratch := reserve(q, 4*a.Q.Rows*a.Heads)
	wide := alignedRows(a.Q, a.K, a.V, a.Out, a.DOut, a.DQ, a.DK, a.DV)
	attend(q, attentionGradQ, 4, wide, a, scratch)
	attend(q, attentionGradKV, 4, wide, a, scratch)
}

// AttentionTangent queues gpu.AttentionTangent.
func AttentionTangent(q Queue, a *abi.AttentionArgs) {
	if a.Q.Rows == 0 {
		return
	}
	attend(q, attentionTangent, 4, alignedRows(a.Q, a.K, a.V, a.Out, a.TQ, a.TK, a.TV, a.TOut), a, 0)
}
