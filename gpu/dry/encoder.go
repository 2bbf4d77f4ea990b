package dry

import (
	"tapweight/gpu"
	"tapweight/gpu/args"
	"tapweight/kernels/cuda"
)

func (b *Backend) GELU(g gpu.GELU) {
	b.add("GELU", b.float.GELU(g.X.Rows, g.X.Cols, !g.Bias.IsNil(), g.Tanh))
	a := args.GELU(g)
	cuda.GELU((*queue)(b), &a)
}

func (b *Backend) GELUGrad(g gpu.GELUGrad) {
	b.add("GELUGrad", b.float.GELUGrad(g.X.Rows, g.X.Cols, !g.Bias.IsNil(), g.Tanh, g.Accumulate, !g.DBias.IsNil()))
	a := args.GELUGrad(g)
	cuda.GELUGrad((*queue)(b), &a)
}

func (b *Backend) GELUTangent(g gpu.GELUTangent) {
	b.add("GELUTangent", b.float.GELUTangent(g.X.Rows, g.X.Cols, !g.Bias.IsNil(), g.Tanh, !g.TX.IsNil(), !g.TBias.IsNil()))
	a := args.GELUTangent(g)
	cuda.GELUTangent((*queue)(b), &a)
}

func (b *Backend) AddNorm(a gpu.AddNorm) {
	b.add("AddNorm", b.float.AddNorm(a.Z.Rows, a.Z.Cols, !a.R.IsNil(), !a.Bias.IsNil(), a.DropP > 0))
	x := args.AddNorm(a)
	cuda.AddNorm((*queue)(b), &x)
}

func (b *Backend) AddNormGrad(a gpu.AddNormGrad) {
	b.add("AddNormGrad", b.float.AddNormGrad(a.Z.Rows, a.Z.Cols, !a.DX.IsNil(), !a.DR.IsNil(), a.Accumulate, !a.DBias.IsNil(), a.DropP > 0))
	x := args.AddNormGrad(a)
	cuda.AddNormGrad((*queue)(b), &x)
}

func (b *Backend) AddNormTangent(a gpu.AddNormTangent) {
	b.add("AddNormTangent", b.float.AddNormTangent(a.Z.Rows, a.Z.Cols, !a.TX.IsNil(), !a.TR.IsNil(), !a.TBias.IsNil(), a.DropP > 0))
	x := args.AddNormTangent(a)
	cuda.AddNormTangent((*queue)(b), &x)
}

func (b *Backend) LinearCE(l gpu.LinearCE) {
	b.add("LinearCE", b.float.LinearCE(l.X.Rows, l.W.Rows, l.X.Cols, !l.Bias.IsNil()))
	a := args.LinearCE(l)
	cuda.LinearCE((*queue)(b), &a)
}

func (b *Backend) LinearCEGrad(l gpu.LinearCEGrad) {
	b.add("LinearCEGrad", b.float.LinearCEGrad(l.X.Rows, l.W.Rows, l.X.Cols, !l.Bias.IsNil(), !l.DX.IsNil(), l.Accumulate, !l.DW.IsNil(), !l.DBias.IsNil()))
	a := args.LinearCEGrad(l)
	cuda.LinearCEGrad((*queue)(b), &a)
}

func (b *Backend) LinearCETangent(l gpu.LinearCETangent) {
	b.add("LinearCETangent", b.float.LinearCETangent(l.X.Rows, l.W.Rows, l.X.Cols, !l.Bias.IsNil(), !l.TX.IsNil(), !l.TW.IsNil(), !l.TBias.IsNil()))
	a := args.LinearCETangent(l)
	cuda.LinearCETangent((*queue)(b), &a)
}

func (b *Backend) ScatterRows(dst gpu.Mat, row gpu.Buffer, c gpu.CSR, src gpu.Mat) {
	b.add("ScatterRows", b.float.ScatterRows(c.Rows, c.NNZ, dst.Cols, !c.Weight.IsNil()))
	a := args.ScatterRows(dst, row, c, src)
	cuda.ScatterRows((*queue)(b), &a)
}

func (b *Backend) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	b.add("AddRows", b.float.AddRows(min(dst.M.Rows, src.M.Rows), dst.M.Cols))
	a := args.AddRows(dst, s, src)
	cuda.AddRows((*queue)(b), &a)
}

func (b *Backend) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	b.add("DotRows", b.float.DotRows(min(x.M.Rows, y.M.Rows), x.M.Cols))
	a := args.DotRows(out, c, x, y)
	cuda.DotRows((*queue)(b), &a)
}
