package cpu

import (
	"math"

	"tapweight/gpu"
	"tapweight/gpu/args"
	kernels "tapweight/kernels/cpu"
)

func (b *Backend) Gemm(g gpu.Gemm) {
	a := args.Gemm(g)
	kernels.Gemm(&a)
	b.stats.Launches++
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	a := args.ColSum(dst, src, accumulate)
	kernels.ColSum(&a)
	b.stats.Launches++
}

func (b *Backend) Aggregate(o gpu.Aggregate) {
	a := args.Aggregate(o)
	kernels.Aggregate(&a)
	b.stats.Launches++
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	a := args.EdgeGrad(e)
	kernels.EdgeGrad(&a)
	b.stats.Launches++
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	a := args.EmbeddingSum(out, table, idx, fields)
	kernels.Embedding(&a)
	b.stats.Launches++
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	a := args.EmbeddingSumGrad(dtable, dout, idx, fields)
	kernels.EmbeddingGrad(&a)
	b.stats.Launches++
}

func (b *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	a := args.SegmentMax(out, arg, c, h)
	kernels.SegmentMax(&a)
	b.stats.Launches++
}

func (b *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	a := args.SegmentMaxGrad(dh, dout, arg)
	kernels.SegmentMaxGrad(&a)
	b.stats.Launches++
}

func (b *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	a := args.SegmentMaxTangent(tout, th, arg)
	kernels.SegmentMaxTangent(&a)
	b.stats.Launches++
}

func (b *Backend) GAT(g gpu.GAT) {
	a := args.GAT(g)
	kernels.GAT(&a)
	b.stats.Launches++
}

func (b *Backend) GATGrad(g gpu.GATGrad) {
	a := args.GATGrad(g)
	kernels.GATGrad(&a)
	b.stats.Launches++
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	a := args.GATTangent(g)
	kernels.GATTangent(&a)
	b.stats.Launches++
}

func (b *Backend) BatchNorm(o gpu.BatchNorm) {
	a := args.BatchNorm(o)
	kernels.BatchNorm(&a)
	b.stats.Launches++
}

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	a := args.BatchNormGrad(o)
	kernels.BatchNormGrad(&a)
	b.stats.Launches++
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	a := args.BatchNormTangent(o)
	kernels.BatchNormTangent(&a)
	b.stats.Launches++
}

func (b *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	a := args.BatchNormRunning(runMean, runVar, mean, rstd, momentum, total, eps)
	kernels.Running(&a)
	b.stats.Launches++
}

func (b *Backend) LayerNorm(o gpu.LayerNorm) {
	a := args.LayerNorm(o)
	kernels.LayerNorm(&a)
	b.stats.Launches++
}

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	a := args.LayerNormGrad(o)
	kernels.LayerNormGrad(&a)
	b.stats.Launches++
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	a := args.LayerNormTangent(o)
	kernels.LayerNormTangent(&a)
	b.stats.Launches++
}

func (b *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	a := args.Activate(act, y, x)
	kernels.Activate(&a)
	b.stats.Launches++
}

func (b *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	a := args.ActivateGrad(act, dx, dy, y, accumulate)
	kernels.ActivateGrad(&a)
	b.stats.Launches++
}

func (b *Backend) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	a := args.Dropout(y, x, p, key, accumulate)
	kernels.Dropout(&a)
	b.stats.Launches++
}

func (b *Backend) AddScaled(y, x gpu.Mat, s float64) {
	a := args.AddScaled(y, x, s)
	kernels.AddScaled(&a)
	b.stats.Launches++
}

func (b *Backend) CopyMat(y, x gpu.Mat) {
	a := args.CopyMat(y, x)
	kernels.CopyMat(&a)
	b.stats.Launches++
}

func (b *Backend) ScaleMat(y, x gpu.Mat, c float64, s gpu.Buffer) {
	a := args.ScaleMat(y, x, c, s)
	kernels.ScaleMat(&a)
	b.stats.Launches++
}

func (b *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	a := args.RowDot(out, x, y, scale, accumulate)
	kernels.RowDot(&a)
	b.stats.Launches++
}

func (b *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	a := args.RowScale(dst, s, src, scale, accumulate)
	kernels.RowScale(&a)
	b.stats.Launches++
}

func (b *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	a := args.RowNormalize(y, x, norm, eps)
	kernels.RowNormalize(&a)
	b.stats.Launches++
}

func (b *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	a := args.RowNormalizeJac(out, in, y, norm, accumulate)
	kernels.RowNormalizeJac(&a)
	b.stats.Launches++
}

func (b *Backend) Combine(dst, s gpu.Buffer, xs []gpu.Buffer, accumulate bool) {
	a := args.Combine(dst, s, xs, accumulate)
	kernels.Combine(&a)
}

func (b *Backend) Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) {
	a := args.Dots(out, c, xs, y)
	kernels.Dots(&a)
}

func (b *Backend) Gram(out gpu.Buffer, xs []gpu.Buffer) {
	a := args.Gram(out, xs)
	kernels.Gram(&a)
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	a := args.DotMat(out, c, x, y, accumulate)
	kernels.DotMat(&a)
	b.stats.Launches++
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	a := args.SoftmaxCE(l)
	kernels.SoftmaxCE(&a)
	b.stats.Launches++
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	a := args.ElementLoss(l)
	kernels.ElementLoss(&a)
	b.stats.Launches++
}

func (b *Backend) NTXent(l gpu.NTXent) {
	a := args.NTXent(l)
	kernels.NTXent(&a)
	b.stats.Launches++
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	a := args.PairDistance(l)
	kernels.PairDistance(&a)
	b.stats.Launches++
}

func (b *Backend) Fill(x gpu.Buffer, v float64) {
	a := args.Fill(x, v)
	kernels.Fill(&a)
	b.stats.Launches++
}

func (b *Backend) Copy(dst, src gpu.Buffer) {
	a := args.Copy(dst, src)
	kernels.Copy(&a)
	b.stats.Launches++
}

func (b *Backend) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	a := args.Scale(x, c, s)
	kernels.Scale(&a)
	b.stats.Launches++
}

func (b *Backend) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	a := args.Axpy(y, c, s, x)
	kernels.Axpy(&a)
	b.stats.Launches++
}

func (b *Backend) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, d gpu.Buffer) {
	a := args.Perturb(dst, x, c, s, d)
	kernels.Perturb(&a)
	b.stats.Launches++
}

func (b *Backend) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	a := args.Mul(dst, c, x, y)
	kernels.Mul(&a)
	b.stats.Launches++
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	a := args.Dot(out, c, x, y, accumulate)
	kernels.Dot(&a)
	b.stats.Launches++
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	a := args.Prox(g, w, anchor, gamma, loss)
	kernels.Prox(&a)
	b.stats.Launches++
}

func (b *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	a := args.RstdOf(rstd, variance, eps)
	kernels.RstdOf(&a)
	b.stats.Launches++
}

func (b *Backend) Update(u gpu.Update) {
	a := args.Update(u)
	kernels.Update(&a)
	b.stats.Launches++
}

func (b *Backend) UpdateRows(u gpu.UpdateRows) {
	a := args.UpdateRows(u)
	kernels.UpdateRows(&a)
	b.stats.Launches++
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

func (b *Backend) ClipCoef(out, scale, norm2, dot gpu.Buffer) {
	b.stats.Launches++
	c := 0.0
	if s := float64(floats(scale)[0]); s < 1 {
		c = s * float64(floats(dot)[0]) / float64(floats(norm2)[0])
	}
	floats(out)[0] = float32(c)
}

func (b *Backend) StepSize(out, norm2 gpu.Buffer, radius float64) {
	b.stats.Launches++
	eps, inverse := 0.0, 0.0
	if n := float64(floats(norm2)[0]); n != 0 {
		eps = radius / math.Sqrt(n)
		inverse = 1 / (2 * eps)
	}
	floats(out)[0], floats(out)[1] = float32(eps), float32(inverse)
}

func (b *Backend) Quotient(out, x, y gpu.Buffer) {
	b.stats.Launches++
	q := 0.0
	if d := float64(floats(y)[0]); d != 0 {
		q = float64(floats(x)[0]) / d
	}
	floats(out)[0] = float32(q)
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
