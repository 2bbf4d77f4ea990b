package profile

import "tapweight/gpu"

var _ gpu.AttentionOps = (*Backend)(nil)

func (p *Backend) Attention(o gpu.Attention) {
	p.time("", func(d gpu.Backend) { d.(gpu.AttentionOps).Attention(o) })
}

func (p *Backend) AttentionGrad(o gpu.AttentionGrad) {
	p.time("", func(d gpu.Backend) { d.(gpu.AttentionOps).AttentionGrad(o) })
}

func (p *Backend) AttentionTangent(o gpu.AttentionTangent) {
	p.time("", func(d gpu.Backend) { d.(gpu.AttentionOps).AttentionTangent(o) })
}
