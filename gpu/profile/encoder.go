package profile

import "tapweight/gpu"

var _ gpu.EncoderOps = (*Backend)(nil)

// encode times an operation of transformer encoders.
func (p *Backend) encode(run func(gpu.EncoderOps)) {
	p.time("", func(d gpu.Backend) { run(d.(gpu.EncoderOps)) })
}

func (p *Backend) GELU(g gpu.GELU) { p.encode(func(d gpu.EncoderOps) { d.GELU(g) }) }

func (p *Backend) GELUGrad(g gpu.GELUGrad) { p.encode(func(d gpu.EncoderOps) { d.GELUGrad(g) }) }

func (p *Backend) GELUTangent(g gpu.GELUTangent) {
	p.encode(func(d gpu.EncoderOps) { d.GELUTangent(g) })
}

func (p *Backend) AddNorm(a gpu.AddNorm) { p.encode(func(d gpu.EncoderOps) { d.AddNorm(a) }) }

func (p *Backend) AddNormGrad(a gpu.AddNormGrad) {
	p.encode(func(d gpu.EncoderOps) { d.AddNormGrad(a) })
}

func (p *Backend) AddNormTangent(a gpu.AddNormTangent) {
	p.encode(func(d gpu.EncoderOps) { d.AddNormTangent(a) })
}

func (p *Backend) LinearCE(l gpu.LinearCE) { p.encode(func(d gpu.EncoderOps) { d.LinearCE(l) }) }

func (p *Backend) LinearCEGrad(l gpu.LinearCEGrad) {
	p.encode(func(d gpu.EncoderOps) { d.LinearCEGrad(l) })
}

func (p *Backend) LinearCETangent(l gpu.LinearCETangent) {
	p.encode(func(d gpu.EncoderOps) { d.LinearCETangent(l) })
}

func (p *Backend) ScatterRows(dst gpu.Mat, row gpu.Buffer, csr gpu.CSR, src gpu.Mat) {
	p.encode(func(d gpu.EncoderOps) { d.ScatterRows(dst, row, csr, src) })
}
