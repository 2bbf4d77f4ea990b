package cuda

import "tapweight/kernels/abi"

var (
	geluKernels        = named("gelu")
	geluGradKernels    = named("gelu_grad")
	geluGradParts      = named("gelu_grad_parts")
	geluTangentKernels = named("gelu_tangent")
	addNorm            = named("add_norm")
	addNormGradRows    = named("add_norm_grad_rows")
	addNormGrad        = named("add_norm_grad")
	addNormGradParts   = named("add_norm_grad_parts")
	addNormTangent     = named("add_norm_tangent")
	scatterKernels     = segments{named("scatter_rows"), named("scatter_rows_long")}
	addRowsKernels     = named("add_rows")
	dotRowsKernels     = named("dot_rows")
)

// GELU queues gpu.GELU.
func GELU(q Queue, a *abi.GELUArgs) {
	kernel, width := geluKernels.pick(alignedRows(a.X, a.Y) && aligned(a.Bias))
	grid, block := cells(a.X.Rows, a.X.Cols, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// GELUGrad queues gpu.GELUGrad.
func GELUGrad(q Queue, a *abi.GELUArgs) {
	if a.X.Rows == 0 || a.X.Cols == 0 {
		return
	}
	var scratch uintptr
	if a.DBias != 0 {
		scratch = q.Scratch(int(4 * pieces(a.X.Rows, tileRows) * padded(a.X.Cols)))
	}
	wide := alignedRows(a.X, a.DY, a.DX) && aligned(a.Bias, a.DBias)
	kernel, width := geluGradKernels.pick(wide)
	launch(q, kernel, tiles(a.X.Rows, a.X.Cols, width), linear(threads), 0, a, scratch)
	if a.DBias != 0 {
		kernel, width = geluGradParts.pick(wide)
		launch(q, kernel, blocks(pieces(a.X.Cols, 32*width), 1), sumBlock, 0, a, scratch)
	}
}

// GELUTangent queues gpu.GELUTangent.
func GELUTangent(q Queue, a *abi.GELUArgs) {
	kernel, width := geluTangentKernels.pick(alignedRows(a.X, a.TX, a.TY) && aligned(a.Bias, a.TBias))
	grid, block := cells(a.X.Rows, a.X.Cols, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// postRows is the rows that a block of the gradient of whole rows adds up, from encoder.cu.
const postRows = 32

// keeps says whether the lanes of a warp keep a row.
func keeps(a *abi.AddNormArgs) bool { return a.Z.Cols%4 == 0 && a.Z.Cols <= 128*kept }

// addNormLines launches a kernel with a warp to each row, which v4 variants keep.
func addNormLines(q Queue, v variants, wide bool, a *abi.AddNormArgs) {
	kernel, _ := v.pick(wide && keeps(a))
	launch(q, kernel, blocks(a.Z.Rows, threads/32), linear(threads), 0, a, 0)
}

// AddNorm queues gpu.AddNorm.
func AddNorm(q Queue, a *abi.AddNormArgs) {
	if a.Z.Rows == 0 || a.Z.Cols == 0 {
		return
	}
	addNormLines(q, addNorm, alignedRows(a.X, a.R, a.Z, a.Y) && aligned(a.Bias, a.Gamma, a.Beta), a)
}

// AddNormGrad queues gpu.AddNormGrad, in one pass over rows that a warp keeps, otherwise with one for the means of rows.
func AddNormGrad(q Queue, a *abi.AddNormArgs) {
	rows, cols := a.Z.Rows, a.Z.Cols
	if rows == 0 || cols == 0 {
		return
	}
	wide := alignedRows(a.Z, a.DY, a.DX, a.DR) && aligned(a.Gamma, a.DBias, a.DGamma, a.DBeta)
	if wide && keeps(a) {
		parts := pieces(rows, postRows)
		scratch := q.Scratch(int(4 * 3 * parts * cols))
		launch(q, "tw_add_norm_grad_whole_f32", blocks(parts, 1), linear(threads), 0, a, scratch)
		launch(q, "tw_add_norm_grad_whole_parts_f32", blocks(3*pieces(cols, 128), 1), sumBlock, 0, a, scratch)
		return
	}
	scratch := q.Scratch(int(4 * (padded(2*rows) + 3*pieces(rows, tileRows)*padded(cols))))
	kernel, width := addNormGradRows.pick(wide)
	launch(q, kernel, blocks(rows, threads/32), linear(threads), 0, a, scratch)
	kernel, _ = addNormGrad.pick(wide)
	launch(q, kernel, tiles(rows, cols, width), linear(threads), 0, a, scratch)
	kernel, _ = addNormGradParts.pick(wide)
	launch(q, kernel, blocks(3*pieces(cols, 32*width), 1), sumBlock, 0, a, scratch)
}

// AddNormTangent queues gpu.AddNormTangent.
func AddNormTangent(q Queue, a *abi.AddNormArgs) {
	if a.Z.Rows == 0 || a.Z.Cols == 0 {
		return
	}
	addNormLines(q, addNormTangent, alignedRows(a.Z, a.TX, a.TR, a.TY) && aligned(a.Gamma, a.TBias, a.TGamma, a.TBeta), a)
}

// ScatterRows queues gpu.EncoderOps.ScatterRows.
func ScatterRows(q Queue, a *abi.ScatterArgs) {
	if a.CSR.NNZ == 0 || a.Dst.Cols == 0 {
		return
	}
	runSegments(q, scatterKernels, a.CSR, a.Dst.Cols, alignedRows(a.Dst, a.Src), a, reserve(q, scatterKernels.scratch(a.CSR, a.Dst.Cols)))
}

// listed returns the number of rows that a kernel over rows of a table goes over, see common in encoder.cu.
func listed(a *abi.RowsArgs) int64 {
	if a.XRow != 0 || a.YRow == 0 {
		return a.X.Rows
	}
	return a.Y.Rows
}

// AddRows queues gpu.EncoderOps.AddRows.
func AddRows(q Queue, a *abi.RowsArgs) {
	n := listed(a)
	if n == 0 || a.X.Cols == 0 {
		return
	}
	kernel, _ := addRowsKernels.pick(alignedRows(a.X, a.Y))
	launch(q, kernel, blocks(n, threads/32), linear(threads), 0, a, 0)
}

// DotRows queues gpu.EncoderOps.DotRows.
func DotRows(q Queue, a *abi.RowsArgs) {
	n := listed(a)
	if n == 0 || a.X.Cols == 0 {
		return
	}
	kernel, _ := dotRowsKernels.pick(alignedRows(a.X, a.Y))
	parts := pieces(n, sumRows)
	scratch := q.Scratch(8 * int(parts))
	launch(q, kernel, blocks(n, sumRows), linear(threads), 0, a, scratch)
	sum(q, a.V, parts, a.C, 1, scratch)
}
