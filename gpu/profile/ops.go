package profile

import "tapweight/gpu"

func (p *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.ColSum(dst, src, accumulate) })
}

func (p *Backend) Aggregate(o gpu.Aggregate) {
	p.time("", func(d gpu.Backend) { d.Aggregate(o) })
}

func (p *Backend) EdgeGrad(e gpu.EdgeGrad) {
	p.time("", func(d gpu.Backend) { d.EdgeGrad(e) })
}

func (p *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	p.time("", func(d gpu.Backend) { d.EmbeddingSum(out, table, idx, fields) })
}

func (p *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	p.time("", func(d gpu.Backend) { d.EmbeddingSumGrad(dtable, dout, idx, fields) })
}

func (p *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	p.time("", func(d gpu.Backend) { d.SegmentMax(out, arg, c, h) })
}

func (p *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.SegmentMaxGrad(dh, dout, arg) })
}

func (p *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.SegmentMaxTangent(tout, th, arg) })
}

func (p *Backend) GAT(g gpu.GAT) {
	p.time("", func(d gpu.Backend) { d.GAT(g) })
}

func (p *Backend) GATGrad(g gpu.GATGrad) {
	p.time("", func(d gpu.Backend) { d.GATGrad(g) })
}

func (p *Backend) GATTangent(g gpu.GATTangent) {
	p.time("", func(d gpu.Backend) { d.GATTangent(g) })
}

func (p *Backend) BatchNorm(o gpu.BatchNorm) {
	p.time("", func(d gpu.Backend) { d.BatchNorm(o) })
}

func (p *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	p.time("", func(d gpu.Backend) { d.BatchNormGrad(o) })
}

func (p *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	p.time("", func(d gpu.Backend) { d.BatchNormTangent(o) })
}

func (p *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	p.time("", func(d gpu.Backend) { d.BatchNormRunning(runMean, runVar, mean, rstd, momentum, total, eps) })
}

func (p *Backend) LayerNorm(o gpu.LayerNorm) {
	p.time("", func(d gpu.Backend) { d.LayerNorm(o) })
}

func (p *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	p.time("", func(d gpu.Backend) { d.LayerNormGrad(o) })
}

func (p *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	p.time("", func(d gpu.Backend) { d.LayerNormTangent(o) })
}

func (p *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	p.time("", func(d gpu.Backend) { d.Activate(act, y, x) })
}

func (p *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.ActivateGrad(act, dx, dy, y, accumulate) })
}

func (p *Backend) Dropout(y, x gpu.Mat, rate float64, key gpu.Key, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.Dropout(y, x, rate, key, accumulate) })
}

func (p *Backend) AddScaled(y, x gpu.Mat, s float64) {
	p.time("", func(d gpu.Backend) { d.AddScaled(y, x, s) })
}

func (p *Backend) CopyMat(y, x gpu.Mat) {
	p.time("", func(d gpu.Backend) { d.CopyMat(y, x) })
}

func (p *Backend) ScaleMat(y, x gpu.Mat, c float64, s gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.ScaleMat(y, x, c, s) })
}

func (p *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.RowDot(out, x, y, scale, accumulate) })
}

func (p *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.RowScale(dst, s, src, scale, accumulate) })
}

func (p *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	p.time("", func(d gpu.Backend) { d.RowNormalize(y, x, norm, eps) })
}

func (p *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.RowNormalizeJac(out, in, y, norm, accumulate) })
}

func (p *Backend) Combine(dst, s gpu.Buffer, xs []gpu.Buffer, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.Combine(dst, s, xs, accumulate) })
}

func (p *Backend) Dots(out gpu.Buffer, c float64, xs []gpu.Buffer, y gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Dots(out, c, xs, y) })
}

func (p *Backend) Gram(out gpu.Buffer, xs []gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Gram(out, xs) })
}

func (p *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.DotMat(out, c, x, y, accumulate) })
}

func (p *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	p.time("", func(d gpu.Backend) { d.SoftmaxCE(l) })
}

func (p *Backend) ElementLoss(l gpu.ElementLoss) {
	p.time("", func(d gpu.Backend) { d.ElementLoss(l) })
}

func (p *Backend) NTXent(l gpu.NTXent) {
	p.time("", func(d gpu.Backend) { d.NTXent(l) })
}

func (p *Backend) PairDistance(l gpu.PairDistance) {
	p.time("", func(d gpu.Backend) { d.PairDistance(l) })
}

func (p *Backend) Fill(x gpu.Buffer, v float64) {
	p.time("", func(d gpu.Backend) { d.Fill(x, v) })
}

func (p *Backend) Copy(dst, src gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Copy(dst, src) })
}

func (p *Backend) Scale(x gpu.Buffer, c float64, s gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Scale(x, c, s) })
}

func (p *Backend) Axpy(y gpu.Buffer, c float64, s gpu.Buffer, x gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Axpy(y, c, s, x) })
}

func (p *Backend) Perturb(dst, x gpu.Buffer, c float64, s gpu.Buffer, direction gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Perturb(dst, x, c, s, direction) })
}

func (p *Backend) Mul(dst gpu.Buffer, c float64, x, y gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Mul(dst, c, x, y) })
}

func (p *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	p.time("", func(d gpu.Backend) { d.Dot(out, c, x, y, accumulate) })
}

func (p *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Prox(g, w, anchor, gamma, loss) })
}

func (p *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	p.time("", func(d gpu.Backend) { d.RstdOf(rstd, variance, eps) })
}

func (p *Backend) Update(u gpu.Update) {
	p.time("", func(d gpu.Backend) { d.Update(u) })
}

func (p *Backend) UpdateRows(u gpu.UpdateRows) {
	p.time("", func(d gpu.Backend) { d.UpdateRows(u) })
}

func (p *Backend) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	p.time("", func(d gpu.Backend) { d.ClipScale(scale, norm2, maxNorm) })
}

func (p *Backend) ClipCoef(out, scale, norm2, dot gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.ClipCoef(out, scale, norm2, dot) })
}

func (p *Backend) StepSize(out, norm2 gpu.Buffer, radius float64) {
	p.time("", func(d gpu.Backend) { d.StepSize(out, norm2, radius) })
}

func (p *Backend) Quotient(out, x, y gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Quotient(out, x, y) })
}

func (p *Backend) Softmax(out, x gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.Softmax(out, x) })
}

func (p *Backend) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	p.time("", func(d gpu.Backend) { d.SoftmaxGrad(dx, y, dy) })
}
