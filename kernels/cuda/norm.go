package cuda

import "tapweight/kernels/abi"

// The numbers of lines.cuh and norm.cu: pieces of a row that a lane of a layer normalisation keeps, rows that a block of its gradient
// adds up.
const (
	kept     = 6
	lineRows = 32
)

var (
	batchStats       = named("batch_norm_stats")
	batchNorm        = named("batch_norm")
	batchGradSums    = named("batch_norm_grad_sums")
	normGradParts    = named("norm_grad_parts")
	batchGrad        = named("batch_norm_grad")
	batchTangentSums = named("batch_norm_tangent_sums")
	batchTangentPart = named("batch_norm_tangent_parts")
	batchTangent     = named("batch_norm_tangent")
	layerNorm        = named("layer_norm")
	layerGradSums    = named("layer_norm_grad_sums")
	layerGrad        = named("layer_norm_grad")
	layerTangent     = named("layer_norm_tangent")
)

// tiles returns the grid of kernels that walk over tiles of a matrix (columns.cuh).
func tiles(rows, cols, width int64) Dim {
	return Dim{uint32(min(pieces(rows, tileRows), maxBlocks)), uint32(min(pieces(cols, 32*width), maxBlocks)), 1}
}

// tiled launches such a kernel.
func tiled(q Queue, v variants, wide bool, a *abi.NormArgs, scratch uintptr) {
	kernel, width := v.pick(wide)
	launch(q, kernel, tiles(a.X.Rows, a.X.Cols, width), linear(threads), 0, a, scratch)
}

// summed launches a kernel that adds up n sums of every column.
func summed(q Queue, v variants, wide bool, n int64, a *abi.NormArgs, scratch uintptr) {
	kernel, width := v.pick(wide)
	launch(q, kernel, blocks(n*pieces(a.X.Cols, 32*width), 1), sumBlock, 0, a, scratch)
}

// columnSums reserves scratch for n sums of every column and of every tile of rows, and n totals.
func columnSums(q Queue, n int64, a *abi.NormArgs) uintptr {
	return q.Scratch(int(4 * n * (pieces(a.X.Rows, tileRows) + 1) * padded(a.X.Cols)))
}

// BatchNorm queues gpu.BatchNorm.
func BatchNorm(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	var scratch uintptr
	if a.Frozen == 0 {
		scratch = columnSums(q, 3, a)
		tiled(q, batchStats, alignedRows(a.X), a, scratch)
	}
	batchNormOf(q, a, scratch)
}

// batchNormOf queues what follows the moments of all tiles of rows, which are in scratch.
func batchNormOf(q Queue, a *abi.NormArgs, scratch uintptr) {
	if a.Frozen == 0 {
		launch(q, "tw_batch_norm_stats_parts_f32", blocks(a.X.Cols, 32), sumBlock, 0, a, scratch)
	}
	tiled(q, batchNorm, alignedRows(a.X, a.Y) && aligned(a.Mean, a.Rstd, a.Gamma, a.Beta), a, 0)
}

// BatchNormGrad queues gpu.BatchNormGrad.
func BatchNormGrad(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	scratch := columnSums(q, 2, a)
	wide := alignedRows(a.X, a.Y, a.DY, a.DX) && aligned(a.Mean, a.Rstd, a.Gamma, a.DGamma, a.DBeta)
	tiled(q, batchGradSums, wide, a, scratch)
	summed(q, normGradParts, wide, 2, a, scratch)
	if a.DX.P != 0 {
		tiled(q, batchGrad, wide, a, scratch)
	}
}

// BatchNormTangent queues gpu.BatchNormTangent.
func BatchNormTangent(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	wide := alignedRows(a.X, a.Y, a.TX, a.TY) && aligned(a.Mean, a.Rstd, a.Gamma, a.TGamma, a.TBeta)
	scratch := uintptr(0)
	if a.Frozen == 0 {
		scratch = columnSums(q, 2, a)
		tiled(q, batchTangentSums, wide, a, scratch)
		summed(q, batchTangentPart, wide, 2, a, scratch)
	}
	tiled(q, batchTangent, wide, a, scratch)
}

// Running queues gpu.BatchNormRunning.
func Running(q Queue, a *abi.RunningArgs) {
	if a.N > 0 {
		launch(q, "tw_running_f32", blocks(a.N, threads), linear(threads), 0, a, 0)
	}
}

// whole says whether the lanes of a warp keep a row of a layer normalisation.
func whole(a *abi.NormArgs) bool { return a.X.Cols%4 == 0 && a.X.Cols <= 128*kept }

// lines launches a kernel with a warp to each row.
func lines(q Queue, v variants, wide bool, a *abi.NormArgs) {
	kernel, _ := v.pick(wide && whole(a))
	launch(q, kernel, blocks(a.X.Rows, threads/32), linear(threads), 0, a, 0)
}

// LayerNorm queues gpu.LayerNorm.
func LayerNorm(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	lines(q, layerNorm, alignedRows(a.X, a.Y) && aligned(a.Gamma, a.Beta), a)
}

// LayerNormGrad queues gpu.LayerNormGrad, in one pass over rows that a warp keeps, otherwise with one for the sums over columns.
func LayerNormGrad(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	wide := alignedRows(a.X, a.Y, a.DY, a.DX) && aligned(a.Gamma, a.DGamma, a.DBeta)
	if wide && whole(a) && a.DX.P != 0 {
		parts := pieces(a.X.Rows, lineRows)
		scratch := q.Scratch(int(4 * 2 * parts * a.X.Cols))
		launch(q, layerGrad.v4, blocks(parts, 1), linear(threads), 0, a, scratch)
		launch(q, "tw_layer_norm_grad_parts_f32", blocks(2*pieces(a.X.Cols, 128), 1), sumBlock, 0, a, scratch)
		return
	}
	scratch := columnSums(q, 2, a)
	tiled(q, layerGradSums, wide, a, scratch)
	summed(q, normGradParts, wide, 2, a, scratch)
	if a.DX.P != 0 {
		launch(q, layerGrad.v1, blocks(a.X.Rows, threads/32), linear(threads), 0, a, 0)
	}
}

// LayerNormTangent queues gpu.LayerNormTangent.
func LayerNormTangent(q Queue, a *abi.NormArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	lines(q, layerTangent, alignedRows(a.X, a.Y, a.TX, a.TY) && aligned(a.Gamma, a.TGamma, a.TBeta), a)
}
