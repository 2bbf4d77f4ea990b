package cpu

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cpu"
)

func (b *Backend) Attention(o gpu.Attention) {
	a := args.Attention(o)
	kernels.Attention(&a)
	b.stats.Launches++
}

func (b *Backend) AttentionGrad(o gpu.AttentionGrad) {
	a := args.AttentionGrad(o)
	kernels.AttentionGrad(&a)
	b.stats.Launches++
}

func (b *Backend) AttentionTangent(o gpu.AttentionTangent) {
	a := args.AttentionTangent(o)
	kernels.AttentionTangent(&a)
	b.stats.Launches++
}
