package cuda

import "tapweight/kernels/abi"

// The numbers of attention.cu and attention_mma.cuh.
const (
	attentionThreads = 128
	pairs            = 32
	pairPitch        = 36
	mmaRows          = 64
	mmaColumns       = 32
)

// attentionKernels are the kernels of one operation: for heads of up to 32 and up to 64 channels, the same in bfloat16, and for any
// head.
type attentionKernels struct {
	tiled, bf16 [2]string
	plain       string
}

var (
	attention = attentionKernels{[2]string{"tw_attention_d32_f32", "tw_attention_d64_f32"},
		[2]string{"tw_attention_bf16_d32_f32", "tw_attention_bf16_d64_f32"}, "tw_attention_plain_f32"}
	attentionGradQ = attentionKernels{[2]string{"tw_attention_grad_q_d32_f32", "tw_attention_grad_q_d64_f32"},
		[2]string{"tw_attention_grad_q_bf16_d32_f32", "tw_attention_grad_q_bf16_d64_f32"}, "tw_attention_grad_q_plain_f32"}
	attentionGradKV = attentionKernels{[2]string{"tw_attention_grad_kv_d32_f32", "tw_attention_grad_kv_d64_f32"},
		[2]string{"tw_attention_grad_kv_bf16_d32_f32", "tw_attention_grad_kv_bf16_d64_f32"}, "tw_attention_grad_kv_plain_f32"}
	attentionTangent = attentionKernels{tiled: [2]string{"tw_attention_tangent_d32_f32", "tw_attention_tangent_d64_f32"}, plain: "tw_attention_tangent_plain_f32"}
)

// attend launches one of the kernels over rows, of which a sequence has at most longest: the queries, or the keys. In float32 it holds
// so many sides of a tile of pairs in shared memory; wide says whether rows allow wide accesses.
func attend(q Queue, math Math, k attentionKernels, rows, longest int64, sides int, wide bool, a *abi.AttentionArgs, scratch uintptr) {
	if rows == 0 {
		return
	}
	d := a.Q.Cols / a.Heads
	if !wide || d%4 != 0 || d > 64 {
		launch(q, k.plain, blocks(rows*a.Heads, threads/32), linear(threads), 0, a, scratch)
		return
	}
	wider, most := 0, 32
	if d > 32 {
		wider, most = 1, 64
	}
	kernel, tile, shared := k.tiled[wider], int64(pairs), 4*pairs*(sides*(most+4)+pairPitch)
	if math == BF16 {
		kernel, tile, shared = k.bf16[wider], mmaRows, 2*(4+2)*mmaColumns*most+4*2*mmaColumns
	}
	launch(q, kernel, blocks(a.Sequences*pieces(longest, tile)*a.Heads, 1), linear(attentionThreads), shared, a, scratch)
}

// Attention queues gpu.Attention in float32.
func Attention(q Queue, a *abi.AttentionArgs) { AttentionIn(q, Float32, a) }

// AttentionIn queues gpu.Attention in a math: in bfloat16 on tensor cores where heads have at most 64 channels and all rows are
// aligned, otherwise in float32.
func AttentionIn(q Queue, math Math, a *abi.AttentionArgs) {
	attend(q, math, attention, a.Q.Rows, a.LongestQ, 3, alignedRows(a.Q, a.K, a.V, a.Out), a, 0)
}

// AttentionGrad queues gpu.AttentionGrad in float32.
func AttentionGrad(q Queue, a *abi.AttentionArgs) { AttentionGradIn(q, Float32, a) }

// AttentionGradIn queues gpu.AttentionGrad in a math, as AttentionIn does: DQ, and then DK and DV.
func AttentionGradIn(q Queue, math Math, a *abi.AttentionArgs) {
	scratch := reserve(q, 4*a.Q.Rows*a.Heads)
	wide := alignedRows(a.Q, a.K, a.V, a.Out, a.DOut, a.DQ, a.DK, a.DV)
	attend(q, math, attentionGradQ, a.Q.Rows, a.LongestQ, 4, wide, a, scratch)
	attend(q, math, attentionGradKV, a.K.Rows, a.Longest, 4, wide, a, scratch)
}

// AttentionTangent queues gpu.AttentionTangent, which is always in float32.
func AttentionTangent(q Queue, a *abi.AttentionArgs) {
	attend(q, Float32, attentionTangent, a.Q.Rows, a.LongestQ, 4, alignedRows(a.Q, a.K, a.V, a.Out, a.TQ, a.TK, a.TV, a.TOut), a, 0)
}
