package cuda

import "tapweight/kernels/abi"

var (
	activateKernels        = named("activate")
	activateGradKernels    = named("activate_grad")
	dropoutKernels         = named("dropout")
	addScaledKernels       = named("add_scaled")
	copyMatKernels         = named("copy_mat")
	scaleMatKernels        = named("scale_mat")
	rowScaleKernels        = named("row_scale")
	rowDotKernels          = named("row_dot")
	rowNormalizeKernels    = named("row_normalize")
	rowNormalizeJacKernels = named("row_normalize_jac")
	dotMatKernels          = named("dot_mat")
)

// elements launches an operation that treats every element of a matrix alike.
func elements(q Queue, v variants, a *abi.ElementArgs) {
	kernel, width := v.pick(alignedRows(a.Y, a.X, a.Z))
	grid, block := cells(a.X.Rows, a.X.Cols, width)
	launch(q, kernel, grid, block, 0, a, 0)
}

// rows launches an operation that deals with whole rows, of which a block has 8 in hand and keeps kept.
func rows(q Queue, v variants, a *abi.ElementArgs, kept int) {
	kernel, _ := v.pick(alignedRows(a.Y, a.X, a.Z))
	launch(q, kernel, blocks(a.X.Rows, threads/32), linear(threads), keep(a.X.Cols, kept), a, 0)
}

// Activate queues gpu.Activate.
func Activate(q Queue, a *abi.ElementArgs) { elements(q, activateKernels, a) }

// ActivateGrad queues gpu.ActivateGrad.
func ActivateGrad(q Queue, a *abi.ElementArgs) { elements(q, activateGradKernels, a) }

// Dropout queues gpu.Dropout.
func Dropout(q Queue, a *abi.ElementArgs) { elements(q, dropoutKernels, a) }

// AddScaled queues gpu.AddScaled.
func AddScaled(q Queue, a *abi.ElementArgs) { elements(q, addScaledKernels, a) }

// CopyMat queues gpu.CopyMat.
func CopyMat(q Queue, a *abi.ElementArgs) { elements(q, copyMatKernels, a) }

// ScaleMat queues gpu.ScaleMat.
func ScaleMat(q Queue, a *abi.ElementArgs) { elements(q, scaleMatKernels, a) }

// RowScale queues gpu.RowScale.
func RowScale(q Queue, a *abi.ElementArgs) { elements(q, rowScaleKernels, a) }

// RowDot queues gpu.RowDot.
func RowDot(q Queue, a *abi.ElementArgs) { rows(q, rowDotKernels, a, 0) }

// RowNormalize queues gpu.RowNormalize.
func RowNormalize(q Queue, a *abi.ElementArgs) { rows(q, rowNormalizeKernels, a, 8) }

// RowNormalizeJac queues gpu.RowNormalizeJac.
func RowNormalizeJac(q Queue, a *abi.ElementArgs) { rows(q, rowNormalizeJacKernels, a, 16) }

// DotMat queues gpu.DotMat.
func DotMat(q Queue, a *abi.ElementArgs) {
	kernel, _ := dotMatKernels.pick(alignedRows(a.X, a.Z))
	n := (a.X.Rows + sumRows - 1) / sumRows
	scratch := q.Scratch(8 * int(n))
	launch(q, kernel, blocks(a.X.Rows, sumRows), linear(threads), 0, a, scratch)
	sum(q, a.V, n, a.S, a.Accumulate, scratch)
}
