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
