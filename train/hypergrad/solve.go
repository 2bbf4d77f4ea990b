// Package hypergrad solves the linear systems of implicit hypergradients, A q = v with a matrix that is known by its
// products only: A = ∇²L_ft + 2γI on the encoder (Lorraine 2020; Rajeswaran 2019).
//
// Both solvers leave the squared relative residual |v − A q|²/|v|² of what they return on the device, so that a run's log shows
// whether the inverse was worth anything. Nothing comes to the host.
package hypergrad

import "tapweight/gpu"

// Product overwrites dst with A x. dst is not x.
type Product func(dst, x gpu.Buffer) error

// Neumann returns q = α Σ_{k<terms} (I − αA)ᵏ v, which tends to A⁻¹v where 0 < α < 2/|A|. With α the finetuning learning
// rate it is the derivative through terms further steps of gradient descent. work holds at least three vectors.
func Neumann(b gpu.Backend, product Product, q, v gpu.Buffer, work []gpu.Buffer, terms int, alpha float64, residual gpu.Buffer) error {
	r, ar, scalars := work[0], work[1], work[2]
	b.Fill(q, 0)
	b.Copy(r, v) // r = v − A q
	for range terms {
		b.Axpy(q, alpha, gpu.Buffer{}, r)
		if err := product(ar, r); err != nil {
			return err
		}
		b.Axpy(r, -alpha, gpu.Buffer{}, ar)
	}
	relative(b, residual, r, v, scalars)
	return nil
}

// CG returns q after terms steps of conjugate gradients (Hestenes 1952). Once the residual is 0 further steps change nothing.
// work holds at least four vectors of four elements or more.
func CG(b gpu.Backend, product Product, q, v gpu.Buffer, work []gpu.Buffer, terms int, residual gpu.Buffer) error {
	r, p, ap, scalars := work[0], work[1], work[2], work[3]
	rr, next, pap, ratio := scalars.Slice(0, 1), scalars.Slice(1, 2), scalars.Slice(2, 3), scalars.Slice(3, 4)
	b.Fill(q, 0)
	b.Copy(r, v)
	b.Copy(p, v)
	b.Dot(rr, 1, r, r, false)
	for range terms {
		if err := product(ap, p); err != nil {
			return err
		}
		b.Dot(pap, 1, p, ap, false)
		b.Quotient(ratio, rr, pap)
		b.Axpy(q, 1, ratio, p)
		b.Axpy(r, -1, ratio, ap)
		b.Dot(next, 1, r, r, false)
		b.Quotient(ratio, next, rr)
		b.Scale(p, 1, ratio)
		b.Axpy(p, 1, gpu.Buffer{}, r)
		rr, next = next, rr
	}
	relative(b, residual, r, v, scalars)
	return nil
}

// relative leaves |r|²/|v|² in out.
func relative(b gpu.Backend, out, r, v, scalars gpu.Buffer) {
	rr, vv := scalars.Slice(0, 1), scalars.Slice(1, 2)
	b.Dot(rr, 1, r, r, false)
	b.Dot(vv, 1, v, v, false)
	b.Quotient(out, rr, vv)
}
