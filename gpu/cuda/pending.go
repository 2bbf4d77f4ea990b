//go:build cuda

package cuda

import "tapweight/gpu"

func (b *Backend) Gemm(g gpu.Gemm) {
	panic("gpu/cuda: Gemm has no kernel yet")
}

func (b *Backend) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	panic("gpu/cuda: ColSum has no kernel yet")
}
