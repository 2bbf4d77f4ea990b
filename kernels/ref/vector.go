package ref

// Scale: x *= c.
func Scale[T Real](x []T, c T) {
	for i := range x {
		x[i] *= c
	}
}

// Axpy: y += c*x.
func Axpy[T Real](y []T, c T, x []T) {
	for i, v := range x {
		y[i] += c * v
	}
}

// Perturb: dst = x + c*d.
func Perturb[T Real](dst, x []T, c T, d []T) {
	for i, v := range x {
		dst[i] = v + c*d[i]
	}
}

// Mul: dst = c*a∘b.
func Mul[T Real](dst []T, c T, a, b []T) {
	for i, v := range a {
		dst[i] = c * v * b[i]
	}
}

// Dot returns <x,y>.
func Dot[T Real](x, y []T) T {
	var s T
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

// Combine: dst = sum_i s[i]*xs[i], or added to dst.
func Combine[T Real](dst, s []T, xs [][]T, accumulate bool) {
	for j := range dst {
		var v T
		for i, x := range xs {
			v += s[i] * x[j]
		}
		if accumulate {
			v += dst[j]
		}
		dst[j] = v
	}
}

// DotMat returns the sum of x∘y.
func DotMat[T Real](x, y M[T]) T {
	var s T
	for i := range x.Rows {
		s += Dot(x.Row(i), y.Row(i))
	}
	return s
}

// Prox: g += 2*gamma*(w-ref); it returns gamma*|w-ref|².
func Prox[T Real](g, w, ref []T, gamma T) T {
	var s T
	for i, v := range w {
		d := v - ref[i]
		g[i] += 2 * gamma * d
		s += gamma * d * d
	}
	return s
}

// ClipScale returns min(1, maxNorm/sqrt(norm2)).
func ClipScale[T Real](norm2, maxNorm T) T {
	n := sqrt(norm2)
	if n > maxNorm {
		return maxNorm / n
	}
	return 1
}

// ClipCoef returns scale*dot/norm2 where scale < 1, else 0.
func ClipCoef[T Real](scale, norm2, dot T) T {
	if scale < 1 {
		return scale * dot / norm2
	}
	return 0
}

// StepSize returns eps = radius/sqrt(norm2) and 1/(2 eps), zeros where norm2 is 0.
func StepSize[T Real](norm2, radius T) (eps, inverse T) {
	if norm2 == 0 {
		return 0, 0
	}
	eps = radius / sqrt(norm2)
	return eps, 1 / (2 * eps)
}

// Quotient returns a/b, 0 where b is 0.
func Quotient[T Real](a, b T) T {
	if b == 0 {
		return 0
	}
	return a / b
}

// Rule numbers update rules as gpu.Rule does.
type Rule uint8

// Update rules.
const (
	SGD Rule = iota
	Adam
	AdamW
)

// Update holds the arguments of an optimiser step, see gpu.Update.
type Update[T Real] struct {
	Rule                             Rule
	P, G, M, V, Jac                  []T
	LR, C1, C2, GradScale            T
	Momentum, Beta1, Beta2, Eps, Dec T
}

// Step updates the parameters.
func (u Update[T]) Step() {
	for i := range u.P {
		g := u.G[i] * u.GradScale
		if u.Rule != AdamW {
			g += u.Dec * u.P[i]
		}
		if u.Rule == SGD {
			step := g
			if u.M != nil {
				u.M[i] = u.Momentum*u.M[i] + g
				step = u.M[i]
			}
			u.P[i] -= u.LR * step
			if u.Jac != nil {
				u.Jac[i] = -u.LR
			}
			continue
		}
		if u.Rule == AdamW {
			u.P[i] -= u.LR * u.Dec * u.P[i]
		}
		u.M[i] = u.Beta1*u.M[i] + (1-u.Beta1)*g
		u.V[i] = u.Beta2*u.V[i] + (1-u.Beta2)*g*g
		mh, root := u.M[i]*u.C1, sqrt(u.V[i]*u.C2)
		den := root + u.Eps
		u.P[i] -= u.LR * mh / den
		if u.Jac == nil {
			continue
		}
		d := (1 - u.Beta1) * u.C1 / den
		if root > 0 {
			d -= mh * (1 - u.Beta2) * u.C2 * g / (root * den * den)
		}
		u.Jac[i] = -u.LR * d
	}
}

// Softmax: out = softmax(x).
func Softmax[T Real](out, x []T) {
	top, sum := maximum(x, -1), T(0)
	for i, v := range x {
		out[i] = exp(v - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
}

// SoftmaxGrad: dx = y∘(dy - <y,dy>).
func SoftmaxGrad[T Real](dx, y, dy []T) {
	s := Dot(y, dy)
	for i := range dx {
		dx[i] = y[i] * (dy[i] - s)
	}
}
