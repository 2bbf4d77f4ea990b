package profile

import "tapweight/gpu"

func (p *Backend) Attention(o gpu.Attention) {
	p.time("", func(d gpu.Backend) { d.Attention(o) })
}

func (p *Backend) AttentionGrad(o gpu.AttentionGrad) {
	p.time("", func(d gpu.Backend) { d.AttentionGrad(o) })
}

func (p *Backend) AttentionTangent(o gpu.AttentionTangent) {
	p.time("", func(d gpu.Backend) { d.AttentionTangent(o) })
}
