// Package hypergrad solves the linear systems of implicit hypergradients, A q = v with a matrix that is known by its
// products only: A = ∇²L_ft + 2γI on the encoder (Lorraine 2020; Rajeswaran 2019).
//
// Both solvers report the relative residual |v − A q|/|v| of what they return, so that a run's log shows whether the
// inverse was worth anything.
package hypergrad

import (
	"math"

	"tapweight/gpu"
)

// Product overwrites dst with A x. dst is not x.
type Product func(dst, x gpu.Buffer) error

// dot returns <x,y> on the host.
func dot(b gpu.Backend, x, y, slot gpu.Buffer) (float64, error) {
	b.Dot(slot, 1, x, y, false)
	var v [1]float64
	err := b.Download(v[:], slot)
	return v[0], err
}

// Neumann returns q = α Σ_{k<terms} (I − αA)ᵏ v, which tends to A⁻¹v where 0 < α < 2/|A|. With α the finetuning learning
// rate it is the derivative through terms further steps of gradient descent. work holds at least two vectors.
func Neumann(b gpu.Backend, product Product, q, v gpu.Buffer, work []gpu.Buffer, terms int, alpha float64) (residual float64, err error) {
	r, ar := work[0], work[1]
	slot := work[2].Slice(0, 1)
	b.Fill(q, 0)
	b.Copy(r, v) // r = v − A q
	for range terms {
		b.Axpy(q, alpha, gpu.Buffer{}, r)
		if err := product(ar, r); err != nil {
			return 0, err
		}
		b.Axpy(r, -alpha, gpu.Buffer{}, ar)
	}
	return relative(b, r, v, slot)
}

// CG returns q after terms steps of conjugate gradients (Hestenes 1952) or fewer once the residual is rounding. work holds
// at least four vectors.
func CG(b gpu.Backend, product Product, q, v gpu.Buffer, work []gpu.Buffer, terms int) (residual float64, err error) {
	r, p, ap := work[0], work[1], work[2]
	slot := work[3].Slice(0, 1)
	b.Fill(q, 0)
	b.Copy(r, v)
	b.Copy(p, v)
	rr, err := dot(b, r, r, slot)
	if err != nil {
		return 0, err
	}
	first := rr
	for range terms {
		if rr <= 1e-28*first {
			break
		}
		if err := product(ap, p); err != nil {
			return 0, err
		}
		pap, err := dot(b, p, ap, slot)
		if err != nil {
			return 0, err
		}
		if pap == 0 {
			break
		}
		alpha := rr / pap
		b.Axpy(q, alpha, gpu.Buffer{}, p)
		b.Axpy(r, -alpha, gpu.Buffer{}, ap)
		next, err := dot(b, r, r, slot)
		if err != nil {
			return 0, err
		}
		b.Scale(p, next/rr, gpu.Buffer{})
		b.Axpy(p, 1, gpu.Buffer{}, r)
		rr = next
	}
	return relative(b, r, v, slot)
}

func relative(b gpu.Backend, r, v, slot gpu.Buffer) (float64, error) {
	rr, err := dot(b, r, r, slot)
	if err != nil {
		return 0, err
	}
	vv, err := dot(b, v, v, slot)
	if err != nil || vv == 0 {
		return 0, err
	}
	return math.Sqrt(rr / vv), nil
}
