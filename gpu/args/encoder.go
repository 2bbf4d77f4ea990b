package args

import (
	"tapweight/gpu"
	"tapweight/kernels/abi"
)

// perhaps is shaped for an argument that may be absent.
func perhaps(op, name string, m gpu.Mat, rows, cols int) abi.Mat {
	if m.IsNil() {
		return abi.Mat{}
	}
	return shaped(op, name, m, rows, cols)
}

func gelu(op string, g gpu.GELU) abi.GELUArgs {
	return abi.GELUArgs{X: mat(g.X), Bias: optional(op, "Bias", g.Bias, g.X.Cols), Tanh: flag(g.Tanh)}
}

// GELU fills the arguments of gpu.GELU.
func GELU(g gpu.GELU) abi.GELUArgs {
	a := gelu("gelu", g)
	a.Y = shaped("gelu", "Y", g.Y, g.X.Rows, g.X.Cols)
	return a
}

// GELUGrad fills the arguments of gpu.GELUGrad.
func GELUGrad(g gpu.GELUGrad) abi.GELUArgs {
	const op = "gelu-grad"
	a, rows, cols := gelu(op, g.GELU), g.X.Rows, g.X.Cols
	a.DY, a.DX, a.Accumulate = shaped(op, "DY", g.DY, rows, cols), shaped(op, "DX", g.DX, rows, cols), flag(g.Accumulate)
	a.DBias = optional(op, "DBias", g.DBias, cols)
	return a
}

// GELUTangent fills the arguments of gpu.GELUTangent.
func GELUTangent(g gpu.GELUTangent) abi.GELUArgs {
	const op = "gelu-tangent"
	a, rows, cols := gelu(op, g.GELU), g.X.Rows, g.X.Cols
	a.TX, a.TY, a.TBias = perhaps(op, "TX", g.TX, rows, cols), shaped(op, "TY", g.TY, rows, cols), optional(op, "TBias", g.TBias, cols)
	return a
}

func addNorm(op string, n gpu.AddNorm) abi.AddNormArgs {
	if !(n.DropP >= 0 && n.DropP < 1) {
		refuse("%s: dropout of %g", op, n.DropP)
	}
	c := n.Z.Cols
	return abi.AddNormArgs{Z: mat(n.Z), Bias: optional(op, "Bias", n.Bias, c), P: n.DropP, Seed: n.Key.Seed, Step: n.Key.Step, Stream: n.Key.Stream,
		Gamma: length(op, "Gamma", n.Gamma, c), Beta: length(op, "Beta", n.Beta, c), Mean: length(op, "Mean", n.Mean, n.Z.Rows),
		Rstd: length(op, "Rstd", n.Rstd, n.Z.Rows), Eps: n.Eps}
}

// AddNorm fills the arguments of gpu.AddNorm.
func AddNorm(n gpu.AddNorm) abi.AddNormArgs {
	const op = "add-norm"
	a, rows, cols := addNorm(op, n), n.Z.Rows, n.Z.Cols
	a.X, a.R, a.Y = shaped(op, "X", n.X, rows, cols), perhaps(op, "R", n.R, rows, cols), shaped(op, "Y", n.Y, rows, cols)
	return a
}

// AddNormGrad fills the arguments of gpu.AddNormGrad.
func AddNormGrad(n gpu.AddNormGrad) abi.AddNormArgs {
	const op = "add-norm-grad"
	a, rows, cols := addNorm(op, n.AddNorm), n.Z.Rows, n.Z.Cols
	a.DY, a.DX, a.DR, a.Accumulate = shaped(op, "DY", n.DY, rows, cols), perhaps(op, "DX", n.DX, rows, cols), perhaps(op, "DR", n.DR, rows, cols), flag(n.Accumulate)
	a.DBias, a.DGamma, a.DBeta = optional(op, "DBias", n.DBias, cols), length(op, "DGamma", n.DGamma, cols), length(op, "DBeta", n.DBeta, cols)
	return a
}

// AddNormTangent fills the arguments of gpu.AddNormTangent.
func AddNormTangent(n gpu.AddNormTangent) abi.AddNormArgs {
	const op = "add-norm-tangent"
	a, rows, cols := addNorm(op, n.AddNorm), n.Z.Rows, n.Z.Cols
	a.TX, a.TR, a.TY = perhaps(op, "TX", n.TX, rows, cols), perhaps(op, "TR", n.TR, rows, cols), shaped(op, "TY", n.TY, rows, cols)
	a.TBias, a.TGamma, a.TBeta = optional(op, "TBias", n.TBias, cols), optional(op, "TGamma", n.TGamma, cols), optional(op, "TBeta", n.TBeta, cols)
	return a
}

func linearCE(op string, l gpu.LinearCE) abi.LinearCEArgs {
	return abi.LinearCEArgs{X: mat(l.X), W: shaped(op, "W", l.W, l.W.Rows, l.X.Cols), Bias: optional(op, "Bias", l.Bias, l.W.Rows),
		Target: length(op, "Target", l.Target, l.X.Rows), Scale: l.Scale, LSE: length(op, "LSE", l.LSE, l.X.Rows)}
}

// LinearCE fills the arguments of gpu.LinearCE.
func LinearCE(l gpu.LinearCE) abi.LinearCEArgs {
	a := linearCE("linear-ce", l)
	a.Loss = length("linear-ce", "Loss", l.Loss, 1)
	return a
}

// LinearCEGrad fills the arguments of gpu.LinearCEGrad.
func LinearCEGrad(l gpu.LinearCEGrad) abi.LinearCEArgs {
	const op = "linear-ce-grad"
	a := linearCE(op, l.LinearCE)
	a.Up, a.Accumulate = optional(op, "Up", l.Up, 1), flag(l.Accumulate)
	a.DX, a.DW = perhaps(op, "DX", l.DX, l.X.Rows, l.X.Cols), perhaps(op, "DW", l.DW, l.W.Rows, l.W.Cols)
	a.DBias = optional(op, "DBias", l.DBias, l.W.Rows)
	return a
}

// LinearCETangent fills the arguments of gpu.LinearCETangent.
func LinearCETangent(l gpu.LinearCETangent) abi.LinearCEArgs {
	const op = "linear-ce-tangent"
	a := linearCE(op, l.LinearCE)
	a.TX, a.TW = perhaps(op, "TX", l.TX, l.X.Rows, l.X.Cols), perhaps(op, "TW", l.TW, l.W.Rows, l.W.Cols)
	a.TBias, a.C, a.Out = optional(op, "TBias", l.TBias, l.W.Rows), l.C, length(op, "Out", l.Out, 1)
	return a
}

// ScatterRows fills the arguments of gpu.EncoderOps.ScatterRows.
func ScatterRows(dst gpu.Mat, row gpu.Buffer, c gpu.CSR, src gpu.Mat) abi.ScatterArgs {
	const op = "scatter-rows"
	return abi.ScatterArgs{Dst: mat(dst), Src: shaped(op, "src", src, c.Cols, dst.Cols), Row: length(op, "row", row, c.Rows), CSR: csr(op, c)}
}

// rows fills the arguments of an operation on rows of a table.
func rows(op string, x, y gpu.Rows) abi.RowsArgs {
	if x.M.Cols != y.M.Cols {
		refuse("%s: rows of %d and %d elements", op, x.M.Cols, y.M.Cols)
	}
	return abi.RowsArgs{X: mat(x.M), Y: mat(y.M), XRow: optional(op, "Row", x.Row, x.M.Rows), YRow: optional(op, "Row", y.Row, y.M.Rows),
		XFirst: int64(x.First), YFirst: int64(y.First)}
}

// AddRows fills the arguments of gpu.EncoderOps.AddRows.
func AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) abi.RowsArgs {
	a := rows("add-rows", src, dst)
	a.S = optional("add-rows", "s", s, 1)
	return a
}

// DotRows fills the arguments of gpu.EncoderOps.DotRows.
func DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) abi.RowsArgs {
	a := rows("dot-rows", x, y)
	a.V, a.C = length("dot-rows", "out", out, 1), c
	return a
}
