package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

func (b *Device[T]) Gemm(g gpu.Gemm) {
	b.stats.Launches++
	checkGemm(g)
	ref.Gemm(mat[T](g.A), mat[T](g.B), mat[T](g.C), g.TransA, g.TransB, g.Accumulate, optional[T](g.Bias), g.Act == gpu.ReLU)
}

func (b *Device[T]) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.stats.Launches++
	sized("colsum", "dst", dst, src.Cols)
	ref.ColSum(floats[T](dst), mat[T](src), accumulate)
}

func (b *Device[T]) Aggregate(a gpu.Aggregate) {
	b.stats.Launches++
	checkAggregate(a)
	ref.Aggregate(csr[T](a.CSR), mat[T](a.H), mat[T](a.E), mat[T](a.Out), a.Accumulate)
}

func (b *Device[T]) EdgeGrad(e gpu.EdgeGrad) {
	b.stats.Launches++
	checkCSR("edge-grad", e.CSR)
	shaped("edge-grad", "DOut", e.DOut, e.CSR.Rows, e.DE.Cols)
	sized("edge-grad", "Code", e.CSR.Code, e.CSR.NNZ)
	ref.EdgeGrad(csr[T](e.CSR), mat[T](e.DOut), mat[T](e.DE))
}

func (b *Device[T]) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	shaped("embedding", "table", table, table.Rows, out.Cols)
	sized("embedding", "idx", idx, out.Rows*fields)
	ref.EmbeddingSum(mat[T](out), mat[T](table), ints(idx), fields)
}

func (b *Device[T]) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	shaped("embedding-grad", "dtable", dtable, dtable.Rows, dout.Cols)
	sized("embedding-grad", "idx", idx, dout.Rows*fields)
	ref.EmbeddingSumGrad(mat[T](dtable), mat[T](dout), ints(idx), fields)
}

func (b *Device[T]) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	b.stats.Launches++
	checkCSR("segment-max", c)
	shaped("segment-max", "h", h, c.Cols, out.Cols)
	shaped("segment-max", "out", out, c.Rows, h.Cols)
	sized("segment-max", "arg", arg, out.Rows*out.Cols)
	ref.SegmentMax(mat[T](out), ints(arg), csr[T](c), mat[T](h))
}

func (b *Device[T]) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	shaped("segment-max-grad", "dh", dh, dh.Rows, dout.Cols)
	sized("segment-max-grad", "arg", arg, dout.Rows*dout.Cols)
	ref.SegmentMaxGrad(mat[T](dh), mat[T](dout), ints(arg))
}

func (b *Device[T]) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	shaped("segment-max-tangent", "th", th, th.Rows, tout.Cols)
	sized("segment-max-tangent", "arg", arg, tout.Rows*tout.Cols)
	ref.SegmentMaxTangent(mat[T](tout), mat[T](th), ints(arg))
}

func gat[T ref.Real](g gpu.GAT) ref.GAT[T] {
	return ref.GAT[T]{CSR: csr[T](g.CSR), Self: ints(g.Self), Heads: g.Heads, X: mat[T](g.X), E: mat[T](g.E), Att: mat[T](g.Att),
		Out: mat[T](g.Out), Alpha: mat[T](g.Alpha), Score: mat[T](g.Score)}
}

func (b *Device[T]) GAT(g gpu.GAT) {
	b.stats.Launches++
	checkGAT("gat", g)
	gat[T](g).Forward()
}

func (b *Device[T]) GATGrad(g gpu.GATGrad) {
	b.stats.Launches++
	checkGAT("gat-grad", g.GAT)
	alike("gat-grad", g.Out, g.DOut)
	alike("gat-grad", g.X, g.DX)
	alike("gat-grad", g.E, g.DE)
	alike("gat-grad", g.Att, g.DAtt)
	alike("gat-grad", g.Score, g.DScore)
	gat[T](g.GAT).Backward(mat[T](g.DOut), mat[T](g.DX), mat[T](g.DE), mat[T](g.DAtt))
}

func (b *Device[T]) GATTangent(g gpu.GATTangent) {
	b.stats.Launches++
	checkGAT("gat-tangent", g.GAT)
	alike("gat-tangent", g.X, g.TX)
	alike("gat-tangent", g.E, g.TE)
	alike("gat-tangent", g.Att, g.TAtt)
	alike("gat-tangent", g.Out, g.TOut)
	gat[T](g.GAT).Tangent(mat[T](g.TX), mat[T](g.TE), mat[T](g.TAtt), mat[T](g.TOut))
}

func bn[T ref.Real](o gpu.BatchNorm) ref.BN[T] {
	return ref.BN[T]{X: mat[T](o.X), Y: mat[T](o.Y), Mult: optional[T](o.Mult), Total: T(o.Total), Gamma: floats[T](o.Gamma), Beta: floats[T](o.Beta),
		Mean: floats[T](o.Mean), Rstd: floats[T](o.Rstd), Eps: T(o.Eps), ReLU: o.Act == gpu.ReLU, Frozen: o.Frozen}
}

func (b *Device[T]) BatchNorm(o gpu.BatchNorm) {
	b.stats.Launches++
	checkBatchNorm("batch-norm", o)
	bn[T](o).Forward()
}

func (b *Device[T]) BatchNormGrad(o gpu.BatchNormGrad) {
	b.stats.Launches++
	checkBatchNorm("batch-norm-grad", o.BatchNorm)
	checkNormGrad("batch-norm-grad", o.X, o.DY, o.DX, o.DGamma, o.DBeta)
	bn[T](o.BatchNorm).Backward(mat[T](o.DY), mat[T](o.DX), o.Accumulate, floats[T](o.DGamma), floats[T](o.DBeta))
}

func (b *Device[T]) BatchNormTangent(o gpu.BatchNormTangent) {
	b.stats.Launches++
	checkBatchNorm("batch-norm-tangent", o.BatchNorm)
	checkNormTangent("batch-norm-tangent", o.X, o.TX, o.TY, o.TGamma, o.TBeta)
	bn[T](o.BatchNorm).Tangent(mat[T](o.TX), mat[T](o.TY), floats[T](o.TGamma), floats[T](o.TBeta))
}

func (b *Device[T]) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	b.stats.Launches++
	equal("batch-norm-running", mean, runMean, runVar, rstd)
	ref.BatchNormRunning(floats[T](runMean), floats[T](runVar), floats[T](mean), floats[T](rstd), T(momentum), T(total), T(eps))
}

func (b *Device[T]) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	b.stats.Launches++
	equal("rstd", rstd, variance)
	ref.RstdOf(floats[T](rstd), floats[T](variance), T(eps))
}

func ln[T ref.Real](o gpu.LayerNorm) ref.LN[T] {
	return ref.LN[T]{X: mat[T](o.X), Y: mat[T](o.Y), Gamma: floats[T](o.Gamma), Beta: floats[T](o.Beta), Mean: floats[T](o.Mean),
		Rstd: floats[T](o.Rstd), Eps: T(o.Eps), ReLU: o.Act == gpu.ReLU}
}

func (b *Device[T]) LayerNorm(o gpu.LayerNorm) {
	b.stats.Launches++
	checkLayerNorm("layer-norm", o)
	ln[T](o).Forward()
}

func (b *Device[T]) LayerNormGrad(o gpu.LayerNormGrad) {
	b.stats.Launches++
	checkLayerNorm("layer-norm-grad", o.LayerNorm)
	checkNormGrad("layer-norm-grad", o.X, o.DY, o.DX, o.DGamma, o.DBeta)
	ln[T](o.LayerNorm).Backward(mat[T](o.DY), mat[T](o.DX), o.Accumulate, floats[T](o.DGamma), floats[T](o.DBeta))
}

func (b *Device[T]) LayerNormTangent(o gpu.LayerNormTangent) {
	b.stats.Launches++
	checkLayerNorm("layer-norm-tangent", o.LayerNorm)
	checkNormTangent("layer-norm-tangent", o.X, o.TX, o.TY, o.TGamma, o.TBeta)
	ln[T](o.LayerNorm).Tangent(mat[T](o.TX), mat[T](o.TY), floats[T](o.TGamma), floats[T](o.TBeta))
}

func (b *Device[T]) Activate(act gpu.Act, y, x gpu.Mat) {
	b.stats.Launches++
	alike("activate", x, y)
	ref.Activate(ref.Act(act), mat[T](y), mat[T](x))
}

func (b *Device[T]) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	alike("activate-grad", y, dx, dy)
	ref.ActivateGrad(ref.Act(act), mat[T](dx), mat[T](dy), mat[T](y), accumulate)
}

func (b *Device[T]) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	b.stats.Launches++
	alike("dropout", x, y)
	ref.Dropout(mat[T](y), mat[T](x), p, key.Seed, key.Step, key.Stream, accumulate)
}

func (b *Device[T]) AddScaled(y, x gpu.Mat, s float64) {
	b.stats.Launches++
	alike("add-scaled", x, y)
	ref.AddScaled(mat[T](y), mat[T](x), T(s))
}

func (b *Device[T]) CopyMat(y, x gpu.Mat) {
	b.stats.Launches++
	alike("copy", x, y)
	ref.CopyMat(mat[T](y), mat[T](x))
}

func (b *Device[T]) ScaleMat(y, x gpu.Mat, c float64, s gpu.Buffer) {
	b.stats.Launches++
	alike("scale", x, y)
	ref.ScaleMat(mat[T](y), mat[T](x), scalar[T](c, s))
}

func (b *Device[T]) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	alike("row-dot", x, y)
	sized("row-dot", "out", out, x.Rows)
	ref.RowDot(floats[T](out), mat[T](x), mat[T](y), T(scale), accumulate)
}

func (b *Device[T]) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	alike("row-scale", src, dst)
	sized("row-scale", "s", s, src.Rows)
	ref.RowScale(mat[T](dst), floats[T](s), mat[T](src), T(scale), accumulate)
}

func (b *Device[T]) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	b.stats.Launches++
	alike("row-normalize", x, y)
	sized("row-normalize", "norm", norm, x.Rows)
	ref.RowNormalize(mat[T](y), mat[T](x), floats[T](norm), T(eps))
}

func (b *Device[T]) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	alike("row-normalize-jac", in, out, y)
	sized("row-normalize-jac", "norm", norm, in.Rows)
	ref.RowNormalizeJac(mat[T](out), mat[T](in), mat[T](y), floats[T](norm), accumulate)
}

func (b *Device[T]) SoftmaxCE(l gpu.SoftmaxCE) {
	b.stats.Launches++
	alike("softmax-ce", l.X, l.DX)
	sized("softmax-ce", "Target", l.Target, l.X.Rows)
	maybe("softmax-ce", "Weight", l.Weight, l.X.Rows)
	sized("softmax-ce", "Loss", l.Loss, 1)
	ref.SoftmaxCE(mat[T](l.X), mat[T](l.DX), ints(l.Target), optional[T](l.Weight), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) ElementLoss(l gpu.ElementLoss) {
	b.stats.Launches++
	alike("element-loss", l.X, l.DX)
	sized("element-loss", "Target", l.Target, l.X.Rows*l.X.Cols)
	maybe("element-loss", "Weight", l.Weight, l.X.Rows*l.X.Cols)
	sized("element-loss", "Loss", l.Loss, 1)
	ref.ElementLoss(l.Kind == gpu.MSE, mat[T](l.X), mat[T](l.DX), floats[T](l.Target), optional[T](l.Weight), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) NTXent(l gpu.NTXent) {
	b.stats.Launches++
	need(l.S.Rows == l.S.Cols && l.S.Rows%2 == 0, "nt-xent: similarities are %d×%d", l.S.Rows, l.S.Cols)
	alike("nt-xent", l.S, l.DS)
	sized("nt-xent", "Loss", l.Loss, 1)
	ref.NTXent(mat[T](l.S), mat[T](l.DS), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) PairDistance(l gpu.PairDistance) {
	b.stats.Launches++
	alike("pair-distance", l.A, l.B, l.DA, l.DB)
	sized("pair-distance", "Loss", l.Loss, 1)
	ref.PairDistance(mat[T](l.A), mat[T](l.B), mat[T](l.DA), mat[T](l.DB), T(l.Eps), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) Fill(x gpu.Buffer, v float64) {
	b.stats.Launches++
	d := floats[T](x)
	for i := range d {
		d[i] = T(v)
	}
}

func (b *Device[T]) Copy(dst, src gpu.Buffer) {
	b.stats.Launches++
	equal("copy", dst, src)
	copy(floats[T](dst), floats[T](src))
}

func (b *Device[T]) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	b.stats.Launches++
	ref.Scale(floats[T](x), scalar[T](c, s))
}

func (b *Device[T]) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	b.stats.Launches++
	equal("axpy", y, x)
	ref.Axpy(floats[T](y), scalar[T](c, s), floats[T](x))
}

func (b *Device[T]) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	b.stats.Launches++
	equal("perturb", dst, x, d)
	ref.Perturb(floats[T](dst), floats[T](x), scalar[T](c, s), floats[T](d))
}

func (b *Device[T]) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	b.stats.Launches++
	equal("mul", dst, x, y)
	ref.Mul(floats[T](dst), T(c), floats[T](x), floats[T](y))
}

// store writes or adds a scalar result.
func store[T ref.Real](out gpu.Buffer, v T, accumulate bool) {
	if accumulate {
		v += floats[T](out)[0]
	}
	floats[T](out)[0] = v
}

func (b *Device[T]) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	equal("dot", x, y)
	sized("dot", "out", out, 1)
	store[T](out, T(c)*ref.Dot(floats[T](x), floats[T](y)), accumulate)
}

// many returns vectors as slices; they have n elements each.
func many[T ref.Real](op string, xs []gpu.Buffer, n int) [][]T {
	counted(op, len(xs))
	out := make([][]T, len(xs))
	for i, x := range xs {
		sized(op, "xs", x, n)
		out[i] = floats[T](x)
	}
	return out
}

func (b *Device[T]) Combine(dst, s gpu.Buffer, xs []gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	sized("combine", "s", s, len(xs))
	ref.Combine(floats[T](dst), floats[T](s), many[T]("combine", xs, dst.Len()), accumulate)
}

func (b *Device[T]) Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) {
	b.stats.Launches++
	sized("dots", "out", out, len(xs))
	for i, x := range many[T]("dots", xs, y.Len()) {
		floats[T](out)[i] += T(c) * ref.Dot(x, floats[T](y))
	}
}

func (b *Device[T]) Gram(out gpu.Buffer, xs []gpu.Buffer) {
	b.stats.Launches++
	k := len(xs)
	counted("gram", k)
	sized("gram", "out", out, k*k)
	vs := many[T]("gram", xs, xs[0].Len())
	for i := range k {
		for j := range k {
			floats[T](out)[i*k+j] = ref.Dot(vs[i], vs[j])
		}
	}
}

func (b *Device[T]) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	alike("dot-mat", x, y)
	sized("dot-mat", "out", out, 1)
	store[T](out, T(c)*ref.DotMat(mat[T](x), mat[T](y)), accumulate)
}

func (b *Device[T]) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	b.stats.Launches++
	equal("prox", g, w, anchor)
	maybe("prox", "loss", loss, 1)
	v := ref.Prox(floats[T](g), floats[T](w), floats[T](anchor), T(gamma))
	if !loss.IsNil() {
		store[T](loss, v, true)
	}
}

func (b *Device[T]) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	b.stats.Launches++
	floats[T](scale)[0] = ref.ClipScale(floats[T](norm2)[0], T(maxNorm))
}

func (b *Device[T]) ClipCoef(out, scale, norm2, dot gpu.Buffer) {
	b.stats.Launches++
	floats[T](out)[0] = ref.ClipCoef(floats[T](scale)[0], floats[T](norm2)[0], floats[T](dot)[0])
}

func (b *Device[T]) StepSize(out, norm2 gpu.Buffer, radius float64) {
	b.stats.Launches++
	floats[T](out)[0], floats[T](out)[1] = ref.StepSize(floats[T](norm2)[0], T(radius))
}

func (b *Device[T]) Quotient(out, x, y gpu.Buffer) {
	b.stats.Launches++
	floats[T](out)[0] = ref.Quotient(floats[T](x)[0], floats[T](y)[0])
}

func (b *Device[T]) Update(u gpu.Update) {
	b.stats.Launches++
	checkUpdate(u)
	ref.Update[T]{
		Optimiser: ref.Optimiser[T]{Rule: ref.Rule(u.Rule), Momentum: T(u.Momentum), Beta1: T(u.Beta1), Beta2: T(u.Beta2), Eps: T(u.Eps), Dec: T(u.WeightDecay)},
		Rates:     ref.Rates[T]{LR: T(u.Rates[0]), C1: T(u.Rates[1]), C2: T(u.Rates[2])},
		P:         floats[T](u.P), G: floats[T](u.G), M: optional[T](u.M), V: optional[T](u.V), Jac: optional[T](u.Jac), GradScale: scalar[T](1, u.GradScale),
	}.Step()
}

func (b *Device[T]) UpdateRows(u gpu.UpdateRows) {
	b.stats.Launches++
	checkUpdateRows(u)
	ref.UpdateRows[T]{
		Optimiser: ref.Optimiser[T]{Rule: ref.Rule(u.Rule), Momentum: T(u.Momentum), Beta1: T(u.Beta1), Beta2: T(u.Beta2), Eps: T(u.Eps), Dec: T(u.WeightDecay)},
		P:         mat[T](u.P), G: mat[T](u.G), M: mat[T](u.M), V: mat[T](u.V), Row: ints(u.Row), All: u.Row.IsNil(), Last: ints(u.Last), Until: u.Until,
		Rates: floats[T](u.Rates), GradScale: scalar[T](1, u.GradScale),
	}.Step()
}

func (b *Device[T]) Softmax(out, x gpu.Buffer) {
	b.stats.Launches++
	equal("softmax", x, out)
	ref.Softmax(floats[T](out), floats[T](x))
}

func (b *Device[T]) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	b.stats.Launches++
	equal("softmax-grad", y, dx, dy)
	ref.SoftmaxGrad(floats[T](dx), floats[T](y), floats[T](dy))
}
