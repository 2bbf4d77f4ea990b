package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

func (b *Backend) Gemm(g gpu.Gemm) {
	b.stats.Launches++
	ref.Gemm(mat(g.A), mat(g.B), mat(g.C), g.TransA, g.TransB, g.Accumulate, optional(g.Bias), g.Act == gpu.ReLU)
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.stats.Launches++
	ref.ColSum(floats(dst), mat(src), accumulate)
}

func (b *Backend) Aggregate(a gpu.Aggregate) {
	b.stats.Launches++
	ref.Aggregate(csr(a.CSR), mat(a.H), mat(a.E), mat(a.Out), a.Accumulate)
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	b.stats.Launches++
	ref.EdgeGrad(csr(e.CSR), mat(e.DOut), mat(e.DE))
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	ref.EmbeddingSum(mat(out), mat(table), ints(idx), fields)
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	ref.EmbeddingSumGrad(mat(dtable), mat(dout), ints(idx), fields)
}

func (b *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	b.stats.Launches++
	ref.SegmentMax(mat(out), ints(arg), csr(c), mat(h))
}

func (b *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	ref.SegmentMaxGrad(mat(dh), mat(dout), ints(arg))
}

func (b *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	ref.SegmentMaxTangent(mat(tout), mat(th), ints(arg))
}

func gat(g gpu.GAT) ref.GAT[float64] {
	return ref.GAT[float64]{CSR: csr(g.CSR), Self: ints(g.Self), Heads: g.Heads, X: mat(g.X), E: mat(g.E), Att: mat(g.Att),
		Out: mat(g.Out), Alpha: mat(g.Alpha), Score: mat(g.Score)}
}

func (b *Backend) GAT(g gpu.GAT) { b.stats.Launches++; gat(g).Forward() }

func (b *Backend) GATGrad(g gpu.GATGrad) {
	b.stats.Launches++
	gat(g.GAT).Backward(mat(g.DOut), mat(g.DX), mat(g.DE), mat(g.DAtt))
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	b.stats.Launches++
	gat(g.GAT).Tangent(mat(g.TX), mat(g.TE), mat(g.TAtt), mat(g.TOut))
}

func bn(o gpu.BatchNorm) ref.BN[float64] {
	return ref.BN[float64]{X: mat(o.X), Y: mat(o.Y), Mult: optional(o.Mult), Total: o.Total, Gamma: floats(o.Gamma), Beta: floats(o.Beta),
		Mean: floats(o.Mean), Rstd: floats(o.Rstd), Eps: o.Eps, ReLU: o.Act == gpu.ReLU, Frozen: o.Frozen}
}

func (b *Backend) BatchNorm(o gpu.BatchNorm) { b.stats.Launches++; bn(o).Forward() }

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	b.stats.Launches++
	bn(o.BatchNorm).Backward(mat(o.DY), mat(o.DX), o.Accumulate, floats(o.DGamma), floats(o.DBeta))
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	b.stats.Launches++
	bn(o.BatchNorm).Tangent(mat(o.TX), mat(o.TY), floats(o.TGamma), floats(o.TBeta))
}

func (b *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	b.stats.Launches++
	ref.BatchNormRunning(floats(runMean), floats(runVar), floats(mean), floats(rstd), momentum, total, eps)
}

func (b *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	b.stats.Launches++
	ref.RstdOf(floats(rstd), floats(variance), eps)
}

func ln(o gpu.LayerNorm) ref.LN[float64] {
	return ref.LN[float64]{X: mat(o.X), Y: mat(o.Y), Gamma: floats(o.Gamma), Beta: floats(o.Beta), Mean: floats(o.Mean),
		Rstd: floats(o.Rstd), Eps: o.Eps, ReLU: o.Act == gpu.ReLU}
}

func (b *Backend) LayerNorm(o gpu.LayerNorm) { b.stats.Launches++; ln(o).Forward() }

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	b.stats.Launches++
	ln(o.LayerNorm).Backward(mat(o.DY), mat(o.DX), o.Accumulate, floats(o.DGamma), floats(o.DBeta))
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	b.stats.Launches++
	ln(o.LayerNorm).Tangent(mat(o.TX), mat(o.TY), floats(o.TGamma), floats(o.TBeta))
}

func (b *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	b.stats.Launches++
	ref.Activate(ref.Act(act), mat(y), mat(x))
}

func (b *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	ref.ActivateGrad(ref.Act(act), mat(dx), mat(dy), mat(y), accumulate)
}

func (b *Backend) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	b.stats.Launches++
	ref.Dropout(mat(y), mat(x), p, key.Seed, key.Step, key.Stream, accumulate)
}

func (b *Backend) AddScaled(y, x gpu.Mat, s float64) {
	b.stats.Launches++
	ref.AddScaled(mat(y), mat(x), s)
}

func (b *Backend) CopyMat(y, x gpu.Mat) { b.stats.Launches++; ref.CopyMat(mat(y), mat(x)) }

func (b *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	ref.RowDot(floats(out), mat(x), mat(y), scale, accumulate)
}

func (b *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	ref.RowScale(mat(dst), floats(s), mat(src), scale, accumulate)
}

func (b *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	b.stats.Launches++
	ref.RowNormalize(mat(y), mat(x), floats(norm), eps)
}

func (b *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	ref.RowNormalizeJac(mat(out), mat(in), mat(y), floats(norm), accumulate)
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	b.stats.Launches++
	ref.SoftmaxCE(mat(l.X), mat(l.DX), ints(l.Target), optional(l.Weight), l.Scale, floats(l.Loss))
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	b.stats.Launches++
	ref.ElementLoss(l.Kind == gpu.MSE, mat(l.X), mat(l.DX), floats(l.Target), optional(l.Weight), l.Scale, floats(l.Loss))
}

func (b *Backend) NTXent(l gpu.NTXent) {
	b.stats.Launches++
	ref.NTXent(mat(l.S), mat(l.DS), l.Scale, floats(l.Loss))
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	b.stats.Launches++
	ref.PairDistance(mat(l.A), mat(l.B), mat(l.DA), mat(l.DB), l.Eps, l.Scale, floats(l.Loss))
}

func (b *Backend) Fill(x gpu.Buffer, v float64) {
	b.stats.Launches++
	d := floats(x)
	for i := range d {
		d[i] = v
	}
}

func (b *Backend) Copy(dst, src gpu.Buffer) { b.stats.Launches++; copy(floats(dst), floats(src)) }

func (b *Backend) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	b.stats.Launches++
	ref.Scale(floats(x), scalar(c, s))
}

func (b *Backend) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	b.stats.Launches++
	ref.Axpy(floats(y), scalar(c, s), floats(x))
}

func (b *Backend) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	b.stats.Launches++
	ref.Perturb(floats(dst), floats(x), scalar(c, s), floats(d))
}

func (b *Backend) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	b.stats.Launches++
	ref.Mul(floats(dst), c, floats(x), floats(y))
}

// store writes or adds a scalar result.
func store(out gpu.Buffer, v float64, accumulate bool) {
	if accumulate {
		v += floats(out)[0]
	}
	floats(out)[0] = v
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	store(out, c*ref.Dot(floats(x), floats(y)), accumulate)
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	store(out, c*ref.DotMat(mat(x), mat(y)), accumulate)
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	b.stats.Launches++
	v := ref.Prox(floats(g), floats(w), floats(anchor), gamma)
	if !loss.IsNil() {
		store(loss, v, true)
	}
}

func (b *Backend) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	b.stats.Launches++
	floats(scale)[0] = ref.ClipScale(floats(norm2)[0], maxNorm)
}

func (b *Backend) Update(u gpu.Update) {
	b.stats.Launches++
	r := floats(u.Rates)
	ref.Update[float64]{Rule: ref.Rule(u.Rule), P: floats(u.P), G: floats(u.G), M: optional(u.M), V: optional(u.V), Jac: optional(u.Jac),
		LR: r[0], C1: r[1], C2: r[2], GradScale: scalar(1, u.GradScale), Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2,
		Eps: u.Eps, Dec: u.WeightDecay}.Step()
}

func (b *Backend) Softmax(out, x gpu.Buffer) { b.stats.Launches++; ref.Softmax(floats(out), floats(x)) }

func (b *Backend) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	b.stats.Launches++
	ref.SoftmaxGrad(floats(dx), floats(y), floats(dy))
}
