package cuda

import "tapweight/kernels/abi"

// rowVariants names the kernels of an operation on rows for a warp or a block to a row.
type rowVariants struct{ warp, block variants }

func rowNamed(op string) rowVariants { return rowVariants{named(op + "_warp"), named(op + "_block")} }

var (
	softmaxCEKernels    = rowNamed("softmax_ce")
	ntxentKernels       = rowNamed("ntxent")
	pairDistanceKernels = named("pair_distance")
)

// softmaxRows launches a loss of softmaxes over the rows and adds up its parts.
func softmaxRows(q Queue, v rowVariants, a *abi.LossArgs) {
	size, rowsOfPart, kept := v.warp, int64(sumRows), threads/32
	if a.X.Cols > warpColumns {
		size, rowsOfPart, kept = v.block, 1, 1
	}
	kernel, _ := size.pick(alignedRows(a.X, a.DX))
	lossParts(q, kernel, a, rowsOfPart, keep(a.X.Cols, kept))
}

// lossParts launches a loss with rowsOfPart rows in each partial sum, and adds these up.
func lossParts(q Queue, kernel string, a *abi.LossArgs, rowsOfPart int64, shared int) {
	n := (a.X.Rows + rowsOfPart - 1) / rowsOfPart
	scratch := q.Scratch(8 * int(n))
	launch(q, kernel, blocks(n, 1), linear(threads), shared, a, scratch)
	sum(q, a.Loss, n, 1, 1, scratch)
}

// SoftmaxCE queues gpu.SoftmaxCE.
func SoftmaxCE(q Queue, a *abi.LossArgs) { softmaxRows(q, softmaxCEKernels, a) }

// NTXent queues gpu.NTXent.
func NTXent(q Queue, a *abi.LossArgs) { softmaxRows(q, ntxentKernels, a) }

// ElementLoss queues gpu.ElementLoss.
func ElementLoss(q Queue, a *abi.LossArgs) { lossParts(q, "tw_element_loss_f32", a, sumRows, 0) }

// PairDistance queues gpu.PairDistance.
func PairDistance(q Queue, a *abi.LossArgs) {
	kernel, _ := pairDistanceKernels.pick(alignedRows(a.X, a.B, a.DX, a.DB))
	lossParts(q, kernel, a, sumRows, keep(a.X.Cols, threads/32))
}
