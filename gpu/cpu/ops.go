package cpu

import (
	"math"

	"tapweight/gpu"
	kernels "tapweight/kernels/cpu"
)

func (b *Backend) Gemm(g gpu.Gemm) {
	b.stats.Launches++
	m, k := g.A.Rows, g.A.Cols
	if g.TransA {
		m, k = k, m
	}
	kb, n := g.B.Rows, g.B.Cols
	if g.TransB {
		kb, n = n, kb
	}
	need(k == kb && (!g.Accumulate || g.Bias.IsNil() && g.Act == gpu.Identity), "gemm: (%d,%d)·(%d,%d), accumulate %v", m, k, kb, n, g.Accumulate)
	kernels.Gemm(&kernels.GemmArgs{A: mat(g.A), B: mat(g.B), C: shaped("gemm", "C", g.C, m, n), TransA: flag(g.TransA), TransB: flag(g.TransB),
		Accumulate: flag(g.Accumulate), ReLU: flag(g.Act == gpu.ReLU), Bias: optional("gemm", "Bias", g.Bias, n)})
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.stats.Launches++
	kernels.ColSum(&kernels.ColSumArgs{Dst: length("colsum", "dst", dst, src.Cols), Src: mat(src), Accumulate: flag(accumulate)})
}

func (b *Backend) Aggregate(a gpu.Aggregate) {
	b.stats.Launches++
	args := kernels.AggregateArgs{CSR: csr("aggregate", a.CSR), H: shaped("aggregate", "H", a.H, a.CSR.Cols, a.Out.Cols),
		Out: shaped("aggregate", "Out", a.Out, a.CSR.Rows, a.H.Cols), Accumulate: flag(a.Accumulate)}
	if !a.E.IsNil() {
		need(!a.CSR.Code.IsNil(), "aggregate: an edge table without codes")
		args.E = shaped("aggregate", "E", a.E, a.E.Rows, a.H.Cols)
	}
	kernels.Aggregate(&args)
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	b.stats.Launches++
	kernels.EdgeGrad(&kernels.EdgeGradArgs{CSR: csr("edge-grad", e.CSR), DOut: shaped("edge-grad", "DOut", e.DOut, e.CSR.Rows, e.DE.Cols), DE: mat(e.DE)})
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	kernels.Embedding(&kernels.EmbeddingArgs{Out: mat(out), Table: shaped("embedding", "table", table, table.Rows, out.Cols),
		Idx: length("embedding", "idx", idx, out.Rows*fields), Fields: int64(fields)})
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	kernels.EmbeddingGrad(&kernels.EmbeddingArgs{Out: mat(dout), Table: shaped("embedding-grad", "dtable", dtable, dtable.Rows, dout.Cols),
		Idx: length("embedding-grad", "idx", idx, dout.Rows*fields), Fields: int64(fields)})
}

func (b *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	b.stats.Launches++
	kernels.SegmentMax(&kernels.SegmentMaxArgs{Out: shaped("segment-max", "out", out, c.Rows, h.Cols), H: mat(h),
		Arg: length("segment-max", "arg", arg, c.Rows*h.Cols), CSR: csr("segment-max", c)})
}

func (b *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	kernels.SegmentMaxGrad(&kernels.SegmentMaxArgs{Out: mat(dout), H: mat(dh), Arg: length("segment-max-grad", "arg", arg, dout.Rows*dout.Cols)})
}

func (b *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	kernels.SegmentMaxTangent(&kernels.SegmentMaxArgs{Out: mat(tout), H: mat(th), Arg: length("segment-max-tangent", "arg", arg, tout.Rows*tout.Cols)})
}

func gat(g gpu.GAT) kernels.GATArgs {
	return kernels.GATArgs{CSR: csr("gat", g.CSR), Self: length("gat", "Self", g.Self, g.CSR.Rows), Heads: int64(g.Heads), X: mat(g.X), E: mat(g.E),
		Att: shaped("gat", "Att", g.Att, g.Heads, 2*g.X.Cols/g.Heads), Out: shaped("gat", "Out", g.Out, g.CSR.Rows, g.X.Cols),
		Alpha: shaped("gat", "Alpha", g.Alpha, g.CSR.NNZ, g.Heads), Score: shaped("gat", "Score", g.Score, g.CSR.NNZ, g.Heads)}
}

func (b *Backend) GAT(g gpu.GAT) {
	b.stats.Launches++
	a := gat(g)
	kernels.GAT(&a)
}

func (b *Backend) GATGrad(g gpu.GATGrad) {
	b.stats.Launches++
	a := gat(g.GAT)
	a.T, a.TSelf = csr("gat-grad", g.T), csr("gat-grad", g.TSelf)
	a.DOut = shaped("gat-grad", "DOut", g.DOut, g.Out.Rows, g.Out.Cols)
	a.DX, a.DE, a.DAtt = shaped("gat-grad", "DX", g.DX, g.X.Rows, g.X.Cols), shaped("gat-grad", "DE", g.DE, g.E.Rows, g.E.Cols), mat(g.DAtt)
	a.DScore = shaped("gat-grad", "DScore", g.DScore, g.CSR.NNZ, g.Heads)
	kernels.GATGrad(&a)
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	b.stats.Launches++
	a := gat(g.GAT)
	a.TX, a.TE, a.TAtt, a.TOut = mat(g.TX), mat(g.TE), mat(g.TAtt), mat(g.TOut)
	kernels.GATTangent(&a)
}

func batchNorm(o gpu.BatchNorm) kernels.NormArgs {
	const op = "batch-norm"
	c := o.X.Cols
	return kernels.NormArgs{X: mat(o.X), Y: shaped(op, "Y", o.Y, o.X.Rows, c), Mult: optional(op, "Mult", o.Mult, o.X.Rows), Total: o.Total,
		Gamma: length(op, "Gamma", o.Gamma, c), Beta: length(op, "Beta", o.Beta, c), Mean: length(op, "Mean", o.Mean, c),
		Rstd: length(op, "Rstd", o.Rstd, c), Eps: o.Eps, ReLU: flag(o.Act == gpu.ReLU), Frozen: flag(o.Frozen)}
}

func layerNorm(o gpu.LayerNorm) kernels.NormArgs {
	const op = "layer-norm"
	c := o.X.Cols
	return kernels.NormArgs{X: mat(o.X), Y: shaped(op, "Y", o.Y, o.X.Rows, c), Gamma: length(op, "Gamma", o.Gamma, c), Beta: length(op, "Beta", o.Beta, c),
		Mean: length(op, "Mean", o.Mean, o.X.Rows), Rstd: length(op, "Rstd", o.Rstd, o.X.Rows), Eps: o.Eps, ReLU: flag(o.Act == gpu.ReLU)}
}

func normGrad(a *kernels.NormArgs, dy, dx gpu.Mat, accumulate bool, dgamma, dbeta gpu.Buffer, rows, cols int) {
	const op = "norm-grad"
	a.DY, a.Accumulate = shaped(op, "DY", dy, rows, cols), flag(accumulate)
	if !dx.IsNil() {
		a.DX = shaped(op, "DX", dx, rows, cols)
	}
	a.DGamma, a.DBeta = length(op, "DGamma", dgamma, cols), length(op, "DBeta", dbeta, cols)
}

func normTangent(a *kernels.NormArgs, tx, ty gpu.Mat, tgamma, tbeta gpu.Buffer, rows, cols int) {
	const op = "norm-tangent"
	a.TX, a.TY = shaped(op, "TX", tx, rows, cols), shaped(op, "TY", ty, rows, cols)
	a.TGamma, a.TBeta = length(op, "TGamma", tgamma, cols), length(op, "TBeta", tbeta, cols)
}

func (b *Backend) BatchNorm(o gpu.BatchNorm) {
	b.stats.Launches++
	a := batchNorm(o)
	kernels.BatchNorm(&a)
}

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	b.stats.Launches++
	a := batchNorm(o.BatchNorm)
	normGrad(&a, o.DY, o.DX, o.Accumulate, o.DGamma, o.DBeta, o.X.Rows, o.X.Cols)
	kernels.BatchNormGrad(&a)
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	b.stats.Launches++
	a := batchNorm(o.BatchNorm)
	normTangent(&a, o.TX, o.TY, o.TGamma, o.TBeta, o.X.Rows, o.X.Cols)
	kernels.BatchNormTangent(&a)
}

func (b *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	b.stats.Launches++
	n := mean.Len()
	kernels.Running(&kernels.RunningArgs{RunMean: length("running", "mean", runMean, n), RunVar: length("running", "var", runVar, n), Mean: ptr(mean),
		Rstd: length("running", "rstd", rstd, n), N: int64(n), Momentum: momentum, Total: total, Eps: eps})
}

func (b *Backend) LayerNorm(o gpu.LayerNorm) {
	b.stats.Launches++
	a := layerNorm(o)
	kernels.LayerNorm(&a)
}

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	b.stats.Launches++
	a := layerNorm(o.LayerNorm)
	normGrad(&a, o.DY, o.DX, o.Accumulate, o.DGamma, o.DBeta, o.X.Rows, o.X.Cols)
	kernels.LayerNormGrad(&a)
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	b.stats.Launches++
	a := layerNorm(o.LayerNorm)
	normTangent(&a, o.TX, o.TY, o.TGamma, o.TBeta, o.X.Rows, o.X.Cols)
	kernels.LayerNormTangent(&a)
}

// element fills the arguments of an operation whose matrices all have x's shape.
func (b *Backend) element(op string, y, x gpu.Mat) kernels.ElementArgs {
	b.stats.Launches++
	return kernels.ElementArgs{Y: shaped(op, "y", y, x.Rows, x.Cols), X: mat(x)}
}

func (b *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	a := b.element("activate", y, x)
	a.Act = int32(act)
	kernels.Activate(&a)
}

func (b *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	a := b.element("activate-grad", dx, dy)
	a.Z, a.Act, a.Accumulate = shaped("activate-grad", "y", y, dy.Rows, dy.Cols), int32(act), flag(accumulate)
	kernels.ActivateGrad(&a)
}

func (b *Backend) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	a := b.element("dropout", y, x)
	a.P, a.Seed, a.Step, a.Stream, a.Accumulate = p, key.Seed, key.Step, key.Stream, flag(accumulate)
	kernels.Dropout(&a)
}

func (b *Backend) AddScaled(y, x gpu.Mat, s float64) {
	a := b.element("add-scaled", y, x)
	a.S = s
	kernels.AddScaled(&a)
}

func (b *Backend) CopyMat(y, x gpu.Mat) {
	a := b.element("copy", y, x)
	kernels.CopyMat(&a)
}

func (b *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	a := b.element("row-dot", y, x)
	a.Z, a.V, a.S, a.Accumulate = mat(y), length("row-dot", "out", out, x.Rows), scale, flag(accumulate)
	kernels.RowDot(&a)
}

func (b *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	a := b.element("row-scale", dst, src)
	a.V, a.S, a.Accumulate = length("row-scale", "s", s, src.Rows), scale, flag(accumulate)
	kernels.RowScale(&a)
}

func (b *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	a := b.element("row-normalize", y, x)
	a.V, a.S = length("row-normalize", "norm", norm, x.Rows), eps
	kernels.RowNormalize(&a)
}

func (b *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	a := b.element("row-normalize-jac", out, in)
	a.Z, a.V, a.Accumulate = shaped("row-normalize-jac", "y", y, in.Rows, in.Cols), length("row-normalize-jac", "norm", norm, in.Rows), flag(accumulate)
	kernels.RowNormalizeJac(&a)
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	a := b.element("dot-mat", y, x)
	a.Z, a.V, a.S, a.Accumulate = mat(y), length("dot-mat", "out", out, 1), c, flag(accumulate)
	kernels.DotMat(&a)
}

// loss fills the arguments that every loss has.
func (b *Backend) loss(op string, x, dx gpu.Mat, scale float64, loss gpu.Buffer) kernels.LossArgs {
	b.stats.Launches++
	return kernels.LossArgs{X: mat(x), DX: shaped(op, "gradient", dx, x.Rows, x.Cols), Scale: scale, Loss: length(op, "Loss", loss, 1)}
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	a := b.loss("softmax-ce", l.X, l.DX, l.Scale, l.Loss)
	a.Target, a.W = length("softmax-ce", "Target", l.Target, l.X.Rows), optional("softmax-ce", "Weight", l.Weight, l.X.Rows)
	kernels.SoftmaxCE(&a)
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	a := b.loss("element-loss", l.X, l.DX, l.Scale, l.Loss)
	n := l.X.Rows * l.X.Cols
	a.T, a.W, a.MSE = length("element-loss", "Target", l.Target, n), optional("element-loss", "Weight", l.Weight, n), flag(l.Kind == gpu.MSE)
	kernels.ElementLoss(&a)
}

func (b *Backend) NTXent(l gpu.NTXent) {
	need(l.S.Rows == l.S.Cols && l.S.Rows%2 == 0, "nt-xent: similarities are %d×%d", l.S.Rows, l.S.Cols)
	a := b.loss("nt-xent", l.S, l.DS, l.Scale, l.Loss)
	kernels.NTXent(&a)
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	a := b.loss("pair-distance", l.A, l.DA, l.Scale, l.Loss)
	a.B, a.DB, a.Eps = shaped("pair-distance", "B", l.B, l.A.Rows, l.A.Cols), shaped("pair-distance", "DB", l.DB, l.A.Rows, l.A.Cols), l.Eps
	kernels.PairDistance(&a)
}

// vector fills the arguments of an operation on vectors of n elements.
func (b *Backend) vector(y, x, z gpu.Buffer, n int, c float64) kernels.VectorArgs {
	b.stats.Launches++
	const op = "vector"
	return kernels.VectorArgs{Y: optional(op, "y", y, n), X: optional(op, "x", x, n), Z: optional(op, "z", z, n), N: int64(n), C: c}
}

var none gpu.Buffer

func (b *Backend) Fill(x gpu.Buffer, v float64) {
	a := b.vector(x, none, none, x.Len(), v)
	kernels.Fill(&a)
}

func (b *Backend) Copy(dst, src gpu.Buffer) {
	a := b.vector(dst, src, none, dst.Len(), 0)
	kernels.Copy(&a)
}

func (b *Backend) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	a := b.vector(x, none, none, x.Len(), c)
	a.S = ptr(s)
	kernels.Scale(&a)
}

func (b *Backend) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	a := b.vector(y, x, none, y.Len(), c)
	a.S = ptr(s)
	kernels.Axpy(&a)
}

func (b *Backend) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	a := b.vector(dst, x, d, dst.Len(), c)
	a.S = ptr(s)
	kernels.Perturb(&a)
}

func (b *Backend) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	a := b.vector(dst, x, y, dst.Len(), c)
	kernels.Mul(&a)
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	a := b.vector(none, x, y, x.Len(), c)
	a.V, a.Accumulate = length("dot", "out", out, 1), flag(accumulate)
	kernels.Dot(&a)
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	a := b.vector(g, w, anchor, g.Len(), gamma)
	a.V = optional("prox", "loss", loss, 1)
	kernels.Prox(&a)
}

func (b *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	a := b.vector(rstd, variance, none, rstd.Len(), eps)
	kernels.RstdOf(&a)
}

func (b *Backend) Update(u gpu.Update) {
	b.stats.Launches++
	const op = "update"
	n := u.P.Len()
	kernels.Update(&kernels.UpdateArgs{Rule: int32(u.Rule), N: int64(n), P: ptr(u.P), G: length(op, "G", u.G, n), M: optional(op, "M", u.M, n),
		V: optional(op, "V", u.V, n), Jac: optional(op, "Jac", u.Jac, n), Rates: length(op, "Rates", u.Rates, 3), Scale: optional(op, "GradScale", u.GradScale, 1),
		Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, Dec: u.WeightDecay})
}

// The vectors of weights have a handful of elements: plain Go.

func (b *Backend) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	b.stats.Launches++
	s := 1.0
	if norm := math.Sqrt(float64(floats(norm2)[0])); norm > maxNorm {
		s = maxNorm / norm
	}
	floats(scale)[0] = float32(s)
}

func (b *Backend) Softmax(out, x gpu.Buffer) {
	b.stats.Launches++
	need(out.Len() == x.Len(), "softmax: %d and %d elements", out.Len(), x.Len())
	src, dst := floats(x), floats(out)
	top, sum := math.Inf(-1), 0.0
	for _, v := range src {
		top = max(top, float64(v))
	}
	for _, v := range src {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range src {
		dst[i] = float32(math.Exp(float64(v)-top) / sum)
	}
}

func (b *Backend) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	b.stats.Launches++
	need(dx.Len() == y.Len() && dy.Len() == y.Len(), "softmax-grad: %d, %d and %d elements", dx.Len(), y.Len(), dy.Len())
	d, p, g := floats(dx), floats(y), floats(dy)
	mean := 0.0
	for i := range p {
		mean += float64(p[i]) * float64(g[i])
	}
	for i := range p {
		d[i] = float32(float64(p[i]) * (float64(g[i]) - mean))
	}
}
