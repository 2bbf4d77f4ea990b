package cpu

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cpu"
)

func (b *Backend) GELU(o gpu.GELU) {
	a := args.GELU(o)
	kernels.GELU(&a)
	b.stats.Launches++
}

func (b *Backend) GELUGrad(o gpu.GELUGrad) {
	a := args.GELUGrad(o)
	kernels.GELUGrad(&a)
	b.stats.Launches++
}

func (b *Backend) GELUTangent(o gpu.GELUTangent) {
	a := args.GELUTangent(o)
	kernels.GELUTangent(&a)
	b.stats.Launches++
}

func (b *Backend) AddNorm(o gpu.AddNorm) {
	a := args.AddNorm(o)
	kernels.AddNorm(&a)
	b.stats.Launches++
}

func (b *Backend) AddNormGrad(o gpu.AddNormGrad) {
	a := args.AddNormGrad(o)
	kernels.AddNormGrad(&a)
	b.stats.Launches++
}

func (b *Backend) AddNormTangent(o gpu.AddNormTangent) {
	a := args.AddNormTangent(o)
	kernels.AddNormTangent(&a)
	b.stats.Launches++
}

func (b *Backend) LinearCE(o gpu.LinearCE) {
	a := args.LinearCE(o)
	kernels.LinearCE(&a)
	b.stats.Launches++
}

func (b *Backend) LinearCEGrad(o gpu.LinearCEGrad) {
	a := args.LinearCEGrad(o)
	kernels.LinearCEGrad(&a)
	b.stats.Launches++
}

func (b *Backend) LinearCETangent(o gpu.LinearCETangent) {
	a := args.LinearCETangent(o)
	kernels.LinearCETangent(&a)
	b.stats.Launches++
}

func (b *Backend) ScatterRows(dst gpu.Mat, row gpu.Buffer, c gpu.CSR, src gpu.Mat) {
	a := args.ScatterRows(dst, row, c, src)
	kernels.ScatterRows(&a)
	b.stats.Launches++
}

func (b *Backend) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	a := args.AddRows(dst, s, src)
	kernels.AddRows(&a)
	b.stats.Launches++
}

func (b *Backend) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	a := args.DotRows(out, c, x, y)
	kernels.DotRows(&a)
	b.stats.Launches++
}
