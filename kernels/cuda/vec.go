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
