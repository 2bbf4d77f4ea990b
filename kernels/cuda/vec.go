package cuda

import "tapweight/kernels/abi"

var (
	fillKernels    = named("fill")
	copyKernels    = named("copy")
	scaleKernels   = named("scale")
	axpyKernels    = named("axpy")
	perturbKernels = named("perturb")
	mulKernels     = named("mul")
)

// mapped launches an operation that treats every element of a vector alike.
func mapped(q Queue, v variants, a *abi.VectorArgs) {
	kernel, width := v.pick(aligned(a.Y, a.X, a.Z))
	launch(q, kernel, blocks(a.N, threads*width), linear(threads), 0, a, 0)
}

// Fill queues gpu.Fill.
func Fill(q Queue, a *abi.VectorArgs) { mapped(q, fillKernels, a) }

// Copy queues gpu.Copy.
func Copy(q Queue, a *abi.VectorArgs) { mapped(q, copyKernels, a) }

// Scale queues gpu.Scale.
func Scale(q Queue, a *abi.VectorArgs) { mapped(q, scaleKernels, a) }

// Axpy queues gpu.Axpy.
func Axpy(q Queue, a *abi.VectorArgs) { mapped(q, axpyKernels, a) }

// Perturb queues gpu.Perturb.
func Perturb(q Queue, a *abi.VectorArgs) { mapped(q, perturbKernels, a) }

// Mul queues gpu.Mul.
func Mul(q Queue, a *abi.VectorArgs) { mapped(q, mulKernels, a) }

var (
	dotKernels    = named("dot")
	proxKernels   = named("prox")
	updateKernels = named("update")
	lateKernels   = named("update_rows")
)

// parts launches a sum over a vector and returns its number of parts and where they are.
func parts(q Queue, v variants, a *abi.VectorArgs) (n int64, scratch uintptr) {
	kernel, _ := v.pick(aligned(a.Y, a.X, a.Z))
	n = (a.N + sumElements - 1) / sumElements
	scratch = q.Scratch(8 * int(n))
	launch(q, kernel, blocks(a.N, sumElements), linear(threads), 0, a, scratch)
	return n, scratch
}

// Dot queues gpu.Dot.
func Dot(q Queue, a *abi.VectorArgs) {
	n, scratch := parts(q, dotKernels, a)
	sum(q, a.V, n, a.C, a.Accumulate, scratch)
}

var (
	combineKernels = named("combine")
	dotsKernels    = named("dots")
	gramKernels    = named("gram")
)

// Combine queues gpu.Combine.
func Combine(q Queue, a *abi.VectorsArgs) {
	kernel, width := combineKernels.pick(aligned(a.Y) && aligned(a.X[:]...))
	launch(q, kernel, blocks(a.N, threads*width), linear(threads), 0, a, 0)
}

// manyParts launches m sums over vectors that share them, and then their ends.
func manyParts(q Queue, v variants, ends string, m int, a *abi.VectorsArgs) {
	kernel, _ := v.pick(aligned(a.Z) && aligned(a.X[:]...))
	n := (a.N + sumElements - 1) / sumElements
	scratch := q.Scratch(8 * int(n) * m)
	launch(q, kernel, blocks(a.N, sumElements), linear(threads), 0, a, scratch)
	a.N = n
	launch(q, ends, blocks(int64(m), 1), linear(threads), 0, a, scratch)
}

// Dots queues gpu.Dots.
func Dots(q Queue, a *abi.VectorsArgs) { manyParts(q, dotsKernels, "tw_dots_sum_f32", int(a.K), a) }

// Gram queues gpu.Gram.
func Gram(q Queue, a *abi.VectorsArgs) {
	manyParts(q, gramKernels, "tw_gram_sum_f32", int(a.K*(a.K+1)/2), a)
}

// Prox queues gpu.Prox.
func Prox(q Queue, a *abi.VectorArgs) {
	n, scratch := parts(q, proxKernels, a)
	if a.V != 0 {
		sum(q, a.V, n, a.C, 1, scratch)
	}
}

// Update queues gpu.Update.
func Update(q Queue, a *abi.UpdateArgs) {
	kernel, width := updateKernels.pick(aligned(a.P, a.G, a.M, a.V, a.Jac))
	launch(q, kernel, blocks(a.N, threads*width), linear(threads), 0, a, 0)
}

// UpdateRows queues gpu.UpdateRows.
func UpdateRows(q Queue, a *abi.UpdateRowsArgs) {
	if a.Rows == 0 || a.P.Cols == 0 {
		return
	}
	kernel, _ := lateKernels.pick(alignedRows(a.P, a.G, a.M, a.V))
	launch(q, kernel, blocks(a.Rows, threads/32), linear(threads), 0, a, 0)
}

// scalar launches an operation of one warp.
func scalar(q Queue, kernel string, a *abi.VectorArgs) {
	launch(q, kernel, Dim{1, 1, 1}, linear(32), 0, a, 0)
}

// ClipScale queues gpu.ClipScale.
func ClipScale(q Queue, a *abi.VectorArgs) { scalar(q, "tw_clip_scale_f32", a) }

// ClipCoef queues gpu.ClipCoef.
func ClipCoef(q Queue, a *abi.VectorArgs) { scalar(q, "tw_clip_coef_f32", a) }

// StepSize queues gpu.StepSize.
func StepSize(q Queue, a *abi.VectorArgs) { scalar(q, "tw_step_size_f32", a) }

// Quotient queues gpu.Quotient.
func Quotient(q Queue, a *abi.VectorArgs) { scalar(q, "tw_quotient_f32", a) }

// Softmax queues gpu.Softmax.
func Softmax(q Queue, a *abi.VectorArgs) { scalar(q, "tw_softmax_f32", a) }

// SoftmaxGrad queues gpu.SoftmaxGrad.
func SoftmaxGrad(q Queue, a *abi.VectorArgs) { scalar(q, "tw_softmax_grad_f32", a) }

// RstdOf queues gpu.RstdOf.
func RstdOf(q Queue, a *abi.VectorArgs) {
	launch(q, "tw_rstd_of_f32", blocks(a.N, threads), linear(threads), 0, a, 0)
}
