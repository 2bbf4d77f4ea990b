//go:build cuda

package cuda

import "tapweight/gpu"

func (b *Backend) Gemm(g gpu.Gemm) {
	panic("gpu/cuda: Gemm has no kernel yet")
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	panic("gpu/cuda: ColSum has no kernel yet")
}

func (b *Backend) Aggregate(o gpu.Aggregate) {
	panic("gpu/cuda: Aggregate has no kernel yet")
}

func (b *Backend) EdgeGrad(e gpu.EdgeGrad) {
	panic("gpu/cuda: EdgeGrad has no kernel yet")
}

func (b *Backend) EmbeddingSum(out, table gpu.Mat, idx gpu.Buffer, fields int) {
	panic("gpu/cuda: EmbeddingSum has no kernel yet")
}

func (b *Backend) EmbeddingSumGrad(dtable, dout gpu.Mat, idx gpu.Buffer, fields int) {
	panic("gpu/cuda: EmbeddingSumGrad has no kernel yet")
}

func (b *Backend) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	panic("gpu/cuda: SegmentMax has no kernel yet")
}

func (b *Backend) SegmentMaxGrad(dh, dout gpu.Mat, arg gpu.Buffer) {
	panic("gpu/cuda: SegmentMaxGrad has no kernel yet")
}

func (b *Backend) SegmentMaxTangent(tout, th gpu.Mat, arg gpu.Buffer) {
	panic("gpu/cuda: SegmentMaxTangent has no kernel yet")
}

func (b *Backend) GAT(g gpu.GAT) {
	panic("gpu/cuda: GAT has no kernel yet")
}

func (b *Backend) GATGrad(g gpu.GATGrad) {
	panic("gpu/cuda: GATGrad has no kernel yet")
}

func (b *Backend) GATTangent(g gpu.GATTangent) {
	panic("gpu/cuda: GATTangent has no kernel yet")
}

func (b *Backend) BatchNorm(o gpu.BatchNorm) {
	panic("gpu/cuda: BatchNorm has no kernel yet")
}

func (b *Backend) BatchNormGrad(o gpu.BatchNormGrad) {
	panic("gpu/cuda: BatchNormGrad has no kernel yet")
}

func (b *Backend) BatchNormTangent(o gpu.BatchNormTangent) {
	panic("gpu/cuda: BatchNormTangent has no kernel yet")
}

func (b *Backend) BatchNormRunning(runMean, runVar, mean, rstd gpu.Buffer, momentum, total, eps float64) {
	panic("gpu/cuda: BatchNormRunning has no kernel yet")
}

func (b *Backend) LayerNorm(o gpu.LayerNorm) {
	panic("gpu/cuda: LayerNorm has no kernel yet")
}

func (b *Backend) LayerNormGrad(o gpu.LayerNormGrad) {
	panic("gpu/cuda: LayerNormGrad has no kernel yet")
}

func (b *Backend) LayerNormTangent(o gpu.LayerNormTangent) {
	panic("gpu/cuda: LayerNormTangent has no kernel yet")
}

func (b *Backend) Activate(act gpu.Act, y, x gpu.Mat) {
	panic("gpu/cuda: Activate has no kernel yet")
}

func (b *Backend) ActivateGrad(act gpu.Act, dx, dy, y gpu.Mat, accumulate bool) {
	panic("gpu/cuda: ActivateGrad has no kernel yet")
}

func (b *Backend) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	panic("gpu/cuda: Dropout has no kernel yet")
}

func (b *Backend) AddScaled(y, x gpu.Mat, s float64) {
	panic("gpu/cuda: AddScaled has no kernel yet")
}

func (b *Backend) CopyMat(y, x gpu.Mat) {
	panic("gpu/cuda: CopyMat has no kernel yet")
}

func (b *Backend) RowDot(out gpu.Buffer, x, y gpu.Mat, scale float64, accumulate bool) {
	panic("gpu/cuda: RowDot has no kernel yet")
}

func (b *Backend) RowScale(dst gpu.Mat, s gpu.Buffer, src gpu.Mat, scale float64, accumulate bool) {
	panic("gpu/cuda: RowScale has no kernel yet")
}

func (b *Backend) RowNormalize(y, x gpu.Mat, norm gpu.Buffer, eps float64) {
	panic("gpu/cuda: RowNormalize has no kernel yet")
}

func (b *Backend) RowNormalizeJac(out, in, y gpu.Mat, norm gpu.Buffer, accumulate bool) {
	panic("gpu/cuda: RowNormalizeJac has no kernel yet")
}

func (b *Backend) DotMat(out gpu.Buffer, c float64, x, y gpu.Mat, accumulate bool) {
	panic("gpu/cuda: DotMat has no kernel yet")
}

func (b *Backend) SoftmaxCE(l gpu.SoftmaxCE) {
	panic("gpu/cuda: SoftmaxCE has no kernel yet")
}

func (b *Backend) ElementLoss(l gpu.ElementLoss) {
	panic("gpu/cuda: ElementLoss has no kernel yet")
}

func (b *Backend) NTXent(l gpu.NTXent) {
	panic("gpu/cuda: NTXent has no kernel yet")
}

func (b *Backend) PairDistance(l gpu.PairDistance) {
	panic("gpu/cuda: PairDistance has no kernel yet")
}

func (b *Backend) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	panic("gpu/cuda: Dot has no kernel yet")
}

func (b *Backend) Prox(g, w, anchor gpu.Buffer, gamma float64, loss gpu.Buffer) {
	panic("gpu/cuda: Prox has no kernel yet")
}

func (b *Backend) RstdOf(rstd, variance gpu.Buffer, eps float64) {
	panic("gpu/cuda: RstdOf has no kernel yet")
}

func (b *Backend) Update(u gpu.Update) {
	panic("gpu/cuda: Update has no kernel yet")
}

func (b *Backend) ClipScale(scale, norm2 gpu.Buffer, maxNorm float64) {
	panic("gpu/cuda: ClipScale has no kernel yet")
}

func (b *Backend) ClipCoef(out, scale, norm2, dot gpu.Buffer) {
	panic("gpu/cuda: ClipCoef has no kernel yet")
}

func (b *Backend) StepSize(out, norm2 gpu.Buffer, radius float64) {
	panic("gpu/cuda: StepSize has no kernel yet")
}

func (b *Backend) Quotient(out, x, y gpu.Buffer) {
	panic("gpu/cuda: Quotient has no kernel yet")
}

func (b *Backend) Softmax(out, x gpu.Buffer) {
	panic("gpu/cuda: Softmax has no kernel yet")
}

func (b *Backend) SoftmaxGrad(dx, y, dy gpu.Buffer) {
	panic("gpu/cuda: SoftmaxGrad has no kernel yet")
}
