package ref

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

func (b *Device[T]) Gemm(g gpu.Gemm) {
	b.stats.Launches++
	ref.Gemm(mat[T](g.A), mat[T](g.B), mat[T](g.C), g.TransA, g.TransB, g.Accumulate, optional[T](g.Bias), g.Act == gpu.ReLU)
}

func (b *Device[T]) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	b.stats.Launches++
	ref.ColSum(floats[T](dst), mat[T](src), accumulate)
}

func (b *Device[T]) Aggregate(a gpu.Aggregate) {
	b.stats.Launches++
	ref.Aggregate(csr[T](a.CSR), mat[T](a.H), mat[T](a.E), mat[T](a.Out), a.Accumulate)
}

func (b *Device[T]) EdgeGrad(e gpu.EdgeGrad) {
	b.stats.Launches++
	ref.EdgeGrad(csr[T](e.CSR), mat[T](e.DOut), mat[T](e.DE))
}

func (b *Device[T]) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	ref.EmbeddingSum(mat[T](out), mat[T](table), ints(idx), fields)
}

func (b *Device[T]) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	b.stats.Launches++
	ref.EmbeddingSumGrad(mat[T](dtable), mat[T](dout), ints(idx), fields)
}

func (b *Device[T]) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	b.stats.Launches++
	ref.SegmentMax(mat[T](out), ints(arg), csr[T](c), mat[T](h))
}

func (b *Device[T]) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	ref.SegmentMaxGrad(mat[T](dh), mat[T](dout), ints(arg))
}

func (b *Device[T]) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	b.stats.Launches++
	ref.SegmentMaxTangent(mat[T](tout), mat[T](th), ints(arg))
}

func gat[T ref.Real](g gpu.GAT) ref.GAT[T] {
	return ref.GAT[T]{CSR: csr[T](g.CSR), Self: ints(g.Self), Heads: g.Heads, X: mat[T](g.X), E: mat[T](g.E), Att: mat[T](g.Att),
		Out: mat[T](g.Out), Alpha: mat[T](g.Alpha), Score: mat[T](g.Score)}
}

func (b *Device[T]) GAT(g gpu.GAT) { b.stats.Launches++; gat[T](g).Forward() }

func (b *Device[T]) GATGrad(g gpu.GATGrad) {
	b.stats.Launches++
	gat[T](g.GAT).Backward(mat[T](g.DOut), mat[T](g.DX), mat[T](g.DE), mat[T](g.DAtt))
}

func (b *Device[T]) GATTangent(g gpu.GATTangent) {
	b.stats.Launches++
	gat[T](g.GAT).Tangent(mat[T](g.TX), mat[T](g.TE), mat[T](g.TAtt), mat[T](g.TOut))
}

func bn[T ref.Real](o gpu.BatchNorm) ref.BN[T] {
	return ref.BN[T]{X: mat[T](o.X), Y: mat[T](o.Y), Mult: optional[T](o.Mult), Total: T(o.Total), Gamma: floats[T](o.Gamma), Beta: floats[T](o.Beta),
		Mean: floats[T](o.Mean), Rstd: floats[T](o.Rstd), Eps: T(o.Eps), ReLU: o.Act == gpu.ReLU, Frozen: o.Frozen}
}

func (b *Device[T]) BatchNorm(o gpu.BatchNorm) { b.stats.Launches++; bn[T](o).Forward() }

func (b *Device[T]) BatchNormGrad(o gpu.BatchNormGrad) {
	b.stats.Launches++
	bn[T](o.BatchNorm).Backward(mat[T](o.DY), mat[T](o.DX), o.Accumulate, floats[T](o.DGamma), floats[T](o.DBeta))
}

func (b *Device[T]) BatchNormTangent(o gpu.BatchNormTangent) {
	b.stats.Launches++
	bn[T](o.BatchNorm).Tangent(mat[T](o.TX), mat[T](o.TY), floats[T](o.TGamma), floats[T](o.TBeta))
}

func (b *Device[T]) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	b.stats.Launches++
	ref.BatchNormRunning(floats[T](runMean), floats[T](runVar), floats[T](mean), floats[T](rstd), T(momentum), T(total), T(eps))
}

func (b *Device[T]) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	b.stats.Launches++
	ref.RstdOf(floats[T](rstd), floats[T](variance), T(eps))
}

func ln[T ref.Real](o gpu.LayerNorm) ref.LN[T] {
	return ref.LN[T]{X: mat[T](o.X), Y: mat[T](o.Y), Gamma: floats[T](o.Gamma), Beta: floats[T](o.Beta), Mean: floats[T](o.Mean),
		Rstd: floats[T](o.Rstd), Eps: T(o.Eps), ReLU: o.Act == gpu.ReLU}
}

func (b *Device[T]) LayerNorm(o gpu.LayerNorm) { b.stats.Launches++; ln[T](o).Forward() }

func (b *Device[T]) LayerNormGrad(o gpu.LayerNormGrad) {
	b.stats.Launches++
	ln[T](o.LayerNorm).Backward(mat[T](o.DY), mat[T](o.DX), o.Accumulate, floats[T](o.DGamma), floats[T](o.DBeta))
}

func (b *Device[T]) LayerNormTangent(o gpu.LayerNormTangent) {
	b.stats.Launches++
	ln[T](o.LayerNorm).Tangent(mat[T](o.TX), mat[T](o.TY), floats[T](o.TGamma), floats[T](o.TBeta))
}

func (b *Device[T]) Activate(act gpu.Act, y, x gpu.Mat) {
	b.stats.Launches++
	ref.Activate(ref.Act(act), mat[T](y), mat[T](x))
}

func (b *Device[T]) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	ref.ActivateGrad(ref.Act(act), mat[T](dx), mat[T](dy), mat[T](y), accumulate)
}

func (b *Device[T]) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	b.stats.Launches++
	ref.Dropout(mat[T](y), mat[T](x), p, key.Seed, key.Step, key.Stream, accumulate)
}

func (b *Device[T]) AddScaled(y, x gpu.Mat, s float64) {
	b.stats.Launches++
	ref.AddScaled(mat[T](y), mat[T](x), T(s))
}

func (b *Device[T]) CopyMat(y, x gpu.Mat) { b.stats.Launches++; ref.CopyMat(mat[T](y), mat[T](x)) }

func (b *Device[T]) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	ref.RowDot(floats[T](out), mat[T](x), mat[T](y), T(scale), accumulate)
}

func (b *Device[T]) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	b.stats.Launches++
	ref.RowScale(mat[T](dst), floats[T](s), mat[T](src), T(scale), accumulate)
}

func (b *Device[T]) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	b.stats.Launches++
	ref.RowNormalize(mat[T](y), mat[T](x), floats[T](norm), T(eps))
}

func (b *Device[T]) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	b.stats.Launches++
	ref.RowNormalizeJac(mat[T](out), mat[T](in), mat[T](y), floats[T](norm), accumulate)
}

func (b *Device[T]) SoftmaxCE(l gpu.SoftmaxCE) {
	b.stats.Launches++
	ref.SoftmaxCE(mat[T](l.X), mat[T](l.DX), ints(l.Target), optional[T](l.Weight), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) ElementLoss(l gpu.ElementLoss) {
	b.stats.Launches++
	ref.ElementLoss(l.Kind == gpu.MSE, mat[T](l.X), mat[T](l.DX), floats[T](l.Target), optional[T](l.Weight), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) NTXent(l gpu.NTXent) {
	b.stats.Launches++
	ref.NTXent(mat[T](l.S), mat[T](l.DS), T(l.Scale), floats[T](l.Loss))
}

func (b *Device[T]) PairDistance(l gpu.PairDistance) {
	b.stats.Launches++
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
	copy(floats[T](dst), floats[T](src))
}

func (b *Device[T]) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	b.stats.Launches++
	ref.Scale(floats[T](x), scalar[T](c, s))
}

func (b *Device[T]) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	b.stats.Launches++
	ref.Axpy(floats[T](y), scalar[T](c, s), floats[T](x))
}

func (b *Device[T]) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	b.stats.Launches++
	ref.Perturb(floats[T](dst), floats[T](x), scalar[T](c, s), floats[T](d))
}

func (b *Device[T]) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	b.stats.Launches++
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
	store[T](out, T(c)*ref.Dot(floats[T](x), floats[T](y)), accumulate)
}

func (b *Device[T]) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	b.stats.Launches++
	store[T](out, T(c)*ref.DotMat(mat[T](x), mat[T](y)), accumulate)
}

func (b *Device[T]) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	b.stats.Launches++
	v := ref.Prox(floats[T](g), floats[T](w), floats[T](anchor), T(gamma))
	if !loss.IsNil() {
		store[T](loss, v, true)
	}
}

func (b *Device[T]) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	b.stats.Launches++
	floats[T](scale)[0] = ref.ClipScale(floats[T](norm2)[0], T(maxNorm))
}

func (b *Device[T]) Update(u gpu.Update) {
	b.stats.Launches++
	r := floats[T](u.Rates)
	ref.Update[T]{Rule: ref.Rule(u.Rule), P: floats[T](u.P), G: floats[T](u.G), M: optional[T](u.M), V: optional[T](u.V), Jac: optional[T](u.Jac),
		LR: r[0], C1: r[1], C2: r[2], GradScale: scalar[T](1, u.GradScale), Momentum: T(u.Momentum), Beta1: T(u.Beta1), Beta2: T(u.Beta2),
		Eps: T(u.Eps), Dec: T(u.WeightDecay)}.Step()
}

func (b *Device[T]) Softmax(out, x gpu.Buffer) {
	b.stats.Launches++
	ref.Softmax(floats[T](out), floats[T](x))
}

func (b *Device[T]) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	b.stats.Launches++
	ref.SoftmaxGrad(floats[T](dx), floats[T](y), floats[T](dy))
}
