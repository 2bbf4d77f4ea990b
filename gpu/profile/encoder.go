package profile

import "tapweight/gpu"

func (p *Backend) GELU(g gpu.GELU) { p.time("", func(d gpu.Backend) { d.GELU(g) }) }

func (p *Backend) GELUGrad(g gpu.GELUGrad) { p.time("", func(d gpu.Backend) { d.GELUGrad(g) }) }

func (p *Backend) GELUTangent(g gpu.GELUTangent) {
	p.time("", func(d gpu.Backend) { d.GELUTangent(g) })
}

func (p *Backend) AddNorm(a gpu.AddNorm) { p.time("", func(d gpu.Backend) { d.AddNorm(a) }) }

func (p *Backend) AddNormGrad(a gpu.AddNormGrad) {
	p.time("", func(d gpu.Backend) { d.AddNormGrad(a) })
}

func (p *Backend) AddNormTangent(a gpu.AddNormTangent) {
	p.time("", func(d gpu.Backend) { d.AddNormTangent(a) })
}

func (p *Backend) LinearCE(l gpu.LinearCE) { p.time("", func(d gpu.Backend) { d.LinearCE(l) }) }

func (p *Backend) LinearCEGrad(l gpu.LinearCEGrad) {
	p.time("", func(d gpu.Backend) { d.LinearCEGrad(l) })
}

func (p *Backend) LinearCETangent(l gpu.LinearCETangent) {
	p.time("", func(d gpu.Backend) { d.LinearCETangent(l) })
}

func (p *Backend) ScatterRows(dst gpu.Mat, row gpu.Buffer, csr gpu.CSR, src gpu.Mat) {
	p.time("", func(d gpu.Backend) { d.ScatterRows(dst, row, csr, src) })
}

func (p *Backend) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	p.time("", func(d gpu.Backend) { d.AddRows(dst, s, src) })
}

func (p *Backend) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	p.time("", func(d gpu.Backend) { d.DotRows(out, c, x, y) })
}
