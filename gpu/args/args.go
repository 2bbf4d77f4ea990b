// Package args turns the operations of package gpu into the argument structs of the kernels, for every backend whose
// kernels take them. A shape that does not fit is a bug of the caller and panics with the operation, the argument and sizes.
package args

import (
	"fmt"

	"tapweight/gpu"
	"tapweight/kernels/abi"
)

// refuse panics. It is called behind the condition: its arguments would be allocated for every operation otherwise.
func refuse(format string, a ...any) { panic("gpu: " + fmt.Sprintf(format, a...)) }

func ptr(b gpu.Buffer) abi.Ptr { return b.Addr() }

// length checks that a buffer has n elements and returns its address.
func length(op, name string, b gpu.Buffer, n int) abi.Ptr {
	if b.Len() != n {
		refuse("%s: %s has %d elements, want %d", op, name, b.Len(), n)
	}
	return b.Addr()
}

// optional is length for an argument that may be absent.
func optional(op, name string, b gpu.Buffer, n int) abi.Ptr {
	if b.IsNil() {
		return 0
	}
	return length(op, name, b, n)
}

func mat(m gpu.Mat) abi.Mat {
	return abi.Mat{P: m.Buf.Addr(), Rows: int64(m.Rows), Cols: int64(m.Cols), LD: int64(m.LD)}
}

// shaped checks a matrix's shape and returns it.
func shaped(op, name string, m gpu.Mat, rows, cols int) abi.Mat {
	if m.Rows != rows || m.Cols != cols {
		refuse("%s: %s is %d×%d, want %d×%d", op, name, m.Rows, m.Cols, rows, cols)
	}
	return mat(m)
}

func csr(op string, c gpu.CSR) abi.CSR {
	return abi.CSR{Rows: int64(c.Rows), Cols: int64(c.Cols), NNZ: int64(c.NNZ), Ptr: length(op, "RowPtr", c.RowPtr, c.Rows+1),
		Col: length(op, "Col", c.Col, c.NNZ), Code: optional(op, "Code", c.Code, c.NNZ), W: optional(op, "Weight", c.Weight, c.NNZ)}
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// Gemm fills the arguments of gpu.Gemm.
func Gemm(g gpu.Gemm) abi.GemmArgs {
	m, k := g.A.Rows, g.A.Cols
	if g.TransA {
		m, k = k, m
	}
	kb, n := g.B.Rows, g.B.Cols
	if g.TransB {
		kb, n = n, kb
	}
	if k != kb || g.Accumulate && !(g.Bias.IsNil() && g.Act == gpu.Identity) {
		refuse("gemm: (%d,%d)·(%d,%d), accumulate %v", m, k, kb, n, g.Accumulate)
	}
	return abi.GemmArgs{A: mat(g.A), B: mat(g.B), C: shaped("gemm", "C", g.C, m, n), TransA: flag(g.TransA), TransB: flag(g.TransB),
		Accumulate: flag(g.Accumulate), ReLU: flag(g.Act == gpu.ReLU), Bias: optional("gemm", "Bias", g.Bias, n)}
}

// ColSum fills the arguments of gpu.ColSum.
func ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) abi.ColSumArgs {
	return abi.ColSumArgs{Dst: length("colsum", "dst", dst, src.Cols), Src: mat(src), Accumulate: flag(accumulate)}
}

// Aggregate fills the arguments of gpu.Aggregate.
func Aggregate(a gpu.Aggregate) abi.AggregateArgs {
	args := abi.AggregateArgs{CSR: csr("aggregate", a.CSR), H: shaped("aggregate", "H", a.H, a.CSR.Cols, a.Out.Cols),
		Out: shaped("aggregate", "Out", a.Out, a.CSR.Rows, a.H.Cols), Accumulate: flag(a.Accumulate)}
	if !a.E.IsNil() {
		if a.CSR.Code.IsNil() {
			refuse("aggregate: an edge table without codes")
		}
		args.E = shaped("aggregate", "E", a.E, a.E.Rows, a.H.Cols)
	}
	return args
}

// EdgeGrad fills the arguments of gpu.EdgeGrad.
func EdgeGrad(e gpu.EdgeGrad) abi.EdgeGradArgs {
	return abi.EdgeGradArgs{CSR: csr("edge-grad", e.CSR), DOut: shaped("edge-grad", "DOut", e.DOut, e.CSR.Rows, e.DE.Cols), DE: mat(e.DE)}
}

// EmbeddingSum fills the arguments of gpu.EmbeddingSum.
func EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) abi.EmbeddingArgs {
	return abi.EmbeddingArgs{Out: mat(out), Table: shaped("embedding", "table", table, table.Rows, out.Cols),
		Idx: length("embedding", "idx", idx, out.Rows*fields), Fields: int64(fields)}
}

// EmbeddingSumGrad fills the arguments of gpu.EmbeddingSumGrad.
func EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) abi.EmbeddingArgs {
	return abi.EmbeddingArgs{Out: mat(dout), Table: shaped("embedding-grad", "dtable", dtable, dtable.Rows, dout.Cols),
		Idx: length("embedding-grad", "idx", idx, dout.Rows*fields), Fields: int64(fields)}
}

// SegmentMax fills the arguments of gpu.SegmentMax.
func SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) abi.SegmentMaxArgs {
	return abi.SegmentMaxArgs{Out: shaped("segment-max", "out", out, c.Rows, h.Cols), H: mat(h),
		Arg: length("segment-max", "arg", arg, c.Rows*h.Cols), CSR: csr("segment-max", c)}
}

// SegmentMaxGrad fills the arguments of gpu.SegmentMaxGrad.
func SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) abi.SegmentMaxArgs {
	return abi.SegmentMaxArgs{Out: mat(dout), H: mat(dh), Arg: length("segment-max-grad", "arg", arg, dout.Rows*dout.Cols)}
}

// SegmentMaxTangent fills the arguments of gpu.SegmentMaxTangent.
func SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) abi.SegmentMaxArgs {
	return abi.SegmentMaxArgs{Out: mat(tout), H: mat(th), Arg: length("segment-max-tangent", "arg", arg, tout.Rows*tout.Cols)}
}

// GAT fills the arguments of gpu.GAT.
func GAT(g gpu.GAT) abi.GATArgs {
	return abi.GATArgs{CSR: csr("gat", g.CSR), Self: length("gat", "Self", g.Self, g.CSR.Rows), Heads: int64(g.Heads), X: mat(g.X), E: mat(g.E),
		Att: shaped("gat", "Att", g.Att, g.Heads, 2*g.X.Cols/g.Heads), Out: shaped("gat", "Out", g.Out, g.CSR.Rows, g.X.Cols),
		Alpha: shaped("gat", "Alpha", g.Alpha, g.CSR.NNZ, g.Heads), Score: shaped("gat", "Score", g.Score, g.CSR.NNZ, g.Heads)}
}

// GATGrad fills the arguments of gpu.GATGrad.
func GATGrad(g gpu.GATGrad) abi.GATArgs {
	a := GAT(g.GAT)
	a.T, a.TSelf = csr("gat-grad", g.T), csr("gat-grad", g.TSelf)
	a.DOut = shaped("gat-grad", "DOut", g.DOut, g.Out.Rows, g.Out.Cols)
	a.DX, a.DE, a.DAtt = shaped("gat-grad", "DX", g.DX, g.X.Rows, g.X.Cols), shaped("gat-grad", "DE", g.DE, g.E.Rows, g.E.Cols), mat(g.DAtt)
	a.DScore = shaped("gat-grad", "DScore", g.DScore, g.CSR.NNZ, g.Heads)
	return a
}

// GATTangent fills the arguments of gpu.GATTangent.
func GATTangent(g gpu.GATTangent) abi.GATArgs {
	a := GAT(g.GAT)
	a.TX, a.TE, a.TAtt, a.TOut = mat(g.TX), mat(g.TE), mat(g.TAtt), mat(g.TOut)
	return a
}

// BatchNorm fills the arguments of gpu.BatchNorm.
func BatchNorm(o gpu.BatchNorm) abi.NormArgs {
	const op = "batch-norm"
	c := o.X.Cols
	return abi.NormArgs{X: mat(o.X), Y: shaped(op, "Y", o.Y, o.X.Rows, c), Mult: optional(op, "Mult", o.Mult, o.X.Rows), Total: o.Total,
		Gamma: length(op, "Gamma", o.Gamma, c), Beta: length(op, "Beta", o.Beta, c), Mean: length(op, "Mean", o.Mean, c),
		Rstd: length(op, "Rstd", o.Rstd, c), Eps: o.Eps, ReLU: flag(o.Act == gpu.ReLU), Frozen: flag(o.Frozen)}
}

// LayerNorm fills the arguments of gpu.LayerNorm.
func LayerNorm(o gpu.LayerNorm) abi.NormArgs {
	const op = "layer-norm"
	c := o.X.Cols
	return abi.NormArgs{X: mat(o.X), Y: shaped(op, "Y", o.Y, o.X.Rows, c), Gamma: length(op, "Gamma", o.Gamma, c), Beta: length(op, "Beta", o.Beta, c),
		Mean: length(op, "Mean", o.Mean, o.X.Rows), Rstd: length(op, "Rstd", o.Rstd, o.X.Rows), Eps: o.Eps, ReLU: flag(o.Act == gpu.ReLU)}
}

func normGrad(a *abi.NormArgs, dy, dx gpu.Mat, accumulate bool, dgamma, dbeta gpu.Buffer, rows, cols int) {
	const op = "norm-grad"
	a.DY, a.Accumulate = shaped(op, "DY", dy, rows, cols), flag(accumulate)
	if !dx.IsNil() {
		a.DX = shaped(op, "DX", dx, rows, cols)
	}
	a.DGamma, a.DBeta = length(op, "DGamma", dgamma, cols), length(op, "DBeta", dbeta, cols)
}

func normTangent(a *abi.NormArgs, tx, ty gpu.Mat, tgamma, tbeta gpu.Buffer, rows, cols int) {
	const op = "norm-tangent"
	a.TX, a.TY = shaped(op, "TX", tx, rows, cols), shaped(op, "TY", ty, rows, cols)
	a.TGamma, a.TBeta = length(op, "TGamma", tgamma, cols), length(op, "TBeta", tbeta, cols)
}

// BatchNormGrad fills the arguments of gpu.BatchNormGrad.
func BatchNormGrad(o gpu.BatchNormGrad) abi.NormArgs {
	a := BatchNorm(o.BatchNorm)
	normGrad(&a, o.DY, o.DX, o.Accumulate, o.DGamma, o.DBeta, o.X.Rows, o.X.Cols)
	return a
}

// BatchNormTangent fills the arguments of gpu.BatchNormTangent.
func BatchNormTangent(o gpu.BatchNormTangent) abi.NormArgs {
	a := BatchNorm(o.BatchNorm)
	normTangent(&a, o.TX, o.TY, o.TGamma, o.TBeta, o.X.Rows, o.X.Cols)
	return a
}

// BatchNormRunning fills the arguments of gpu.BatchNormRunning.
func BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) abi.RunningArgs {
	n := mean.Len()
	return abi.RunningArgs{RunMean: length("running", "mean", runMean, n), RunVar: length("running", "var", runVar, n), Mean: ptr(mean),
		Rstd: length("running", "rstd", rstd, n), N: int64(n), Momentum: momentum, Total: total, Eps: eps}
}

// LayerNormGrad fills the arguments of gpu.LayerNormGrad.
func LayerNormGrad(o gpu.LayerNormGrad) abi.NormArgs {
	a := LayerNorm(o.LayerNorm)
	normGrad(&a, o.DY, o.DX, o.Accumulate, o.DGamma, o.DBeta, o.X.Rows, o.X.Cols)
	return a
}

// LayerNormTangent fills the arguments of gpu.LayerNormTangent.
func LayerNormTangent(o gpu.LayerNormTangent) abi.NormArgs {
	a := LayerNorm(o.LayerNorm)
	normTangent(&a, o.TX, o.TY, o.TGamma, o.TBeta, o.X.Rows, o.X.Cols)
	return a
}

// element fills the arguments of an operation whose matrices all have x's shape.
func element(op string, y, x gpu.Mat) abi.ElementArgs {
	return abi.ElementArgs{Y: shaped(op, "y", y, x.Rows, x.Cols), X: mat(x)}
}

// Activate fills the arguments of gpu.Activate.
func Activate(act gpu.Act, y, x gpu.Mat) abi.ElementArgs {
	a := element("activate", y, x)
	a.Act = int32(act)
	return a
}

// ActivateGrad fills the arguments of gpu.ActivateGrad.
func ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) abi.ElementArgs {
	a := element("activate-grad", dx, dy)
	a.Z, a.Act, a.Accumulate = shaped("activate-grad", "y", y, dy.Rows, dy.Cols), int32(act), flag(accumulate)
	return a
}

// Dropout fills the arguments of gpu.Dropout.
func Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) abi.ElementArgs {
	a := element("dropout", y, x)
	a.P, a.Seed, a.Step, a.Stream, a.Accumulate = p, key.Seed, key.Step, key.Stream, flag(accumulate)
	return a
}

// AddScaled fills the arguments of gpu.AddScaled.
func AddScaled(y, x gpu.Mat, s float64) abi.ElementArgs {
	a := element("add-scaled", y, x)
	a.S = s
	return a
}

// CopyMat fills the arguments of gpu.CopyMat.
func CopyMat(y, x gpu.Mat) abi.ElementArgs {
	a := element("copy", y, x)
	return a
}

// ScaleMat fills the arguments of gpu.ScaleMat.
func ScaleMat(y, x gpu.Mat, c float64, s gpu.Buffer) abi.ElementArgs {
	a := element("scale", y, x)
	a.S, a.V = c, optional("scale", "s", s, 1)
	return a
}

// RowDot fills the arguments of gpu.RowDot.
func RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) abi.ElementArgs {
	a := element("row-dot", y, x)
	a.Z, a.V, a.S, a.Accumulate = mat(y), length("row-dot", "out", out, x.Rows), scale, flag(accumulate)
	return a
}

// RowScale fills the arguments of gpu.RowScale.
func RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) abi.ElementArgs {
	a := element("row-scale", dst, src)
	a.V, a.S, a.Accumulate = length("row-scale", "s", s, src.Rows), scale, flag(accumulate)
	return a
}

// RowNormalize fills the arguments of gpu.RowNormalize.
func RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) abi.ElementArgs {
	a := element("row-normalize", y, x)
	a.V, a.S = length("row-normalize", "norm", norm, x.Rows), eps
	return a
}

// RowNormalizeJac fills the arguments of gpu.RowNormalizeJac.
func RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) abi.ElementArgs {
	a := element("row-normalize-jac", out, in)
	a.Z, a.V, a.Accumulate = shaped("row-normalize-jac", "y", y, in.Rows, in.Cols), length("row-normalize-jac", "norm", norm, in.Rows), flag(accumulate)
	return a
}

// DotMat fills the arguments of gpu.DotMat.
func DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) abi.ElementArgs {
	a := element("dot-mat", y, x)
	a.Z, a.V, a.S, a.Accumulate = mat(y), length("dot-mat", "out", out, 1), c, flag(accumulate)
	return a
}

// loss fills the arguments that every loss has.
func loss(op string, x, dx gpu.Mat, scale float64, loss gpu.Buffer) abi.LossArgs {
	return abi.LossArgs{X: mat(x), DX: shaped(op, "gradient", dx, x.Rows, x.Cols), Scale: scale, Loss: length(op, "Loss", loss, 1)}
}

// SoftmaxCE fills the arguments of gpu.SoftmaxCE.
func SoftmaxCE(l gpu.SoftmaxCE) abi.LossArgs {
	a := loss("softmax-ce", l.X, l.DX, l.Scale, l.Loss)
	a.Target, a.W = length("softmax-ce", "Target", l.Target, l.X.Rows), optional("softmax-ce", "Weight", l.Weight, l.X.Rows)
	return a
}

// ElementLoss fills the arguments of gpu.ElementLoss.
func ElementLoss(l gpu.ElementLoss) abi.LossArgs {
	a := loss("element-loss", l.X, l.DX, l.Scale, l.Loss)
	n := l.X.Rows * l.X.Cols
	a.T, a.W, a.MSE = length("element-loss", "Target", l.Target, n), optional("element-loss", "Weight", l.Weight, n), flag(l.Kind == gpu.MSE)
	return a
}

// NTXent fills the arguments of gpu.NTXent.
func NTXent(l gpu.NTXent) abi.LossArgs {
	if l.S.Rows != l.S.Cols || l.S.Rows%2 != 0 {
		refuse("nt-xent: similarities are %d×%d", l.S.Rows, l.S.Cols)
	}
	a := loss("nt-xent", l.S, l.DS, l.Scale, l.Loss)
	return a
}

// PairDistance fills the arguments of gpu.PairDistance.
func PairDistance(l gpu.PairDistance) abi.LossArgs {
	a := loss("pair-distance", l.A, l.DA, l.Scale, l.Loss)
	a.B, a.DB, a.Eps = shaped("pair-distance", "B", l.B, l.A.Rows, l.A.Cols), shaped("pair-distance", "DB", l.DB, l.A.Rows, l.A.Cols), l.Eps
	return a
}

// vector fills the arguments of an operation on vectors of n elements.
func vector(y, x, z gpu.Buffer, n int, c float64) abi.VectorArgs {
	const op = "vector"
	return abi.VectorArgs{Y: optional(op, "y", y, n), X: optional(op, "x", x, n), Z: optional(op, "z", z, n), N: int64(n), C: c}
}

var none gpu.Buffer

// Fill fills the arguments of gpu.Fill.
func Fill(x gpu.Buffer, v float64) abi.VectorArgs {
	a := vector(x, none, none, x.Len(), v)
	return a
}

// Copy fills the arguments of gpu.Copy.
func Copy(dst, src gpu.Buffer) abi.VectorArgs {
	a := vector(dst, src, none, dst.Len(), 0)
	return a
}

// Scale fills the arguments of gpu.Scale.
func Scale(x gpu.Buffer, c float64, s gpu.Buffer) abi.VectorArgs {
	a := vector(x, none, none, x.Len(), c)
	a.S = ptr(s)
	return a
}

// Axpy fills the arguments of gpu.Axpy.
func Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) abi.VectorArgs {
	a := vector(y, x, none, y.Len(), c)
	a.S = ptr(s)
	return a
}

// Perturb fills the arguments of gpu.Perturb.
func Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) abi.VectorArgs {
	a := vector(dst, x, d, dst.Len(), c)
	a.S = ptr(s)
	return a
}

// Mul fills the arguments of gpu.Mul.
func Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) abi.VectorArgs {
	a := vector(dst, x, y, dst.Len(), c)
	return a
}

// Dot fills the arguments of gpu.Dot.
func Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) abi.VectorArgs {
	a := vector(none, x, y, x.Len(), c)
	a.V, a.Accumulate = length("dot", "out", out, 1), flag(accumulate)
	return a
}

// vectors fills the arguments of an operation on several vectors of n elements.
func vectors(op string, xs []gpu.Buffer, n int) abi.VectorsArgs {
	a := abi.VectorsArgs{K: int32(len(xs)), N: int64(n)}
	if len(xs) == 0 || len(xs) > len(a.X) {
		refuse("%s: %d vectors, at least 1 and at most %d are possible", op, len(xs), len(a.X))
	}
	for i, x := range xs {
		a.X[i] = length(op, "xs", x, n)
	}
	return a
}

// Combine fills the arguments of gpu.Combine.
func Combine(dst, s gpu.Buffer, xs []gpu.Buffer, accumulate bool) abi.VectorsArgs {
	a := vectors("combine", xs, dst.Len())
	a.Y, a.S, a.Accumulate = ptr(dst), length("combine", "s", s, len(xs)), flag(accumulate)
	return a
}

// Dots fills the arguments of gpu.Dots.
func Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) abi.VectorsArgs {
	a := vectors("dots", xs, y.Len())
	a.V, a.Z, a.C = length("dots", "out", out, len(xs)), ptr(y), c
	return a
}

// Gram fills the arguments of gpu.Gram.
func Gram(out gpu.Buffer, xs []gpu.Buffer) abi.VectorsArgs {
	n := 0
	if len(xs) > 0 {
		n = xs[0].Len()
	}
	a := vectors("gram", xs, n)
	a.V = length("gram", "out", out, len(xs)*len(xs))
	return a
}

// Prox fills the arguments of gpu.Prox.
func Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) abi.VectorArgs {
	a := vector(g, w, anchor, g.Len(), gamma)
	a.V = optional("prox", "loss", loss, 1)
	return a
}

// RstdOf fills the arguments of gpu.RstdOf.
func RstdOf(rstd, variance gpu.Buffer, eps float64) abi.VectorArgs {
	a := vector(rstd, variance, none, rstd.Len(), eps)
	return a
}

// Update fills the arguments of gpu.Update.
func Update(u gpu.Update) abi.UpdateArgs {
	const op = "update"
	n := u.P.Len()
	return abi.UpdateArgs{Rule: int32(u.Rule), N: int64(n), P: ptr(u.P), G: length(op, "G", u.G, n), M: optional(op, "M", u.M, n),
		V: optional(op, "V", u.V, n), Jac: optional(op, "Jac", u.Jac, n), Scale: optional(op, "GradScale", u.GradScale, 1),
		LR: u.Rates[0], C1: u.Rates[1], C2: u.Rates[2], Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, Decay: u.WeightDecay}
}

// UpdateRows fills the arguments of gpu.UpdateRows.
func UpdateRows(u gpu.UpdateRows) abi.UpdateRowsArgs {
	const op = "update-rows"
	rows, cols := u.P.Rows, u.P.Cols
	a := abi.UpdateRowsArgs{P: mat(u.P), G: perhaps(op, "G", u.G, rows, cols), M: perhaps(op, "M", u.M, rows, cols), V: perhaps(op, "V", u.V, rows, cols),
		Row: ptr(u.Row), Last: length(op, "Last", u.Last, rows), Rates: ptr(u.Rates), Scale: optional(op, "GradScale", u.GradScale, 1),
		Rows: int64(rows), Rule: int32(u.Rule), Until: int32(u.Until),
		Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, Decay: u.WeightDecay}
	if !u.Row.IsNil() {
		a.Rows = int64(u.Row.Len())
	}
	if u.Rates.Len() < 3*u.Until {
		refuse("%s: %d numbers are the rates of fewer than %d steps", op, u.Rates.Len(), u.Until)
	}
	return a
}

// ClipScale fills the arguments of gpu.ClipScale.
func ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) abi.VectorArgs {
	return vector(scale, norm2, none, 1, maxNorm)
}

// ClipCoef fills the arguments of gpu.ClipCoef.
func ClipCoef(out, scale, norm2, dot gpu.Buffer) abi.VectorArgs {
	a := vector(out, norm2, dot, 1, 0)
	a.S = length("clip-coef", "scale", scale, 1)
	return a
}

// StepSize fills the arguments of gpu.StepSize.
func StepSize(out, norm2 gpu.Buffer, radius float64) abi.VectorArgs {
	return abi.VectorArgs{Y: length("step-size", "out", out, 2), X: length("step-size", "norm2", norm2, 1), N: 1, C: radius}
}

// Quotient fills the arguments of gpu.Quotient.
func Quotient(out, x, y gpu.Buffer) abi.VectorArgs { return vector(out, x, y, 1, 0) }

// Softmax fills the arguments of gpu.Softmax.
func Softmax(out, x gpu.Buffer) abi.VectorArgs { return vector(out, x, none, out.Len(), 0) }

// SoftmaxGrad fills the arguments of gpu.SoftmaxGrad.
func SoftmaxGrad(dx, y, dy gpu.Buffer) abi.VectorArgs { return vector(dx, y, dy, dx.Len(), 0) }
