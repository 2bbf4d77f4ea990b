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

// Rates are what changes from step to step: the learning rate, 1/(1-beta1^t) and 1/(1-beta2^t).
type Rates[T Real] struct{ LR, C1, C2 T }

// Optimiser is an update rule with its settings, see gpu.Update.
type Optimiser[T Real] struct {
	Rule                             Rule
	Momentum, Beta1, Beta2, Eps, Dec T
}

// step moves one parameter along the gradient g. m and v are its moments, nil where the rule has none. It returns the derivative
// of the result with respect to g.
func (u Optimiser[T]) step(r Rates[T], p, m, v *T, g T) (jac T) {
	if u.Rule != AdamW {
		g += u.Dec * *p
	}
	if u.Rule == SGD {
		if m != nil {
			*m = u.Momentum**m + g
			g = *m
		}
		*p -= r.LR * g
		return -r.LR
	}
	if u.Rule == AdamW {
		*p -= r.LR * u.Dec * *p
	}
	*m = u.Beta1**m + (1-u.Beta1)*g
	*v = u.Beta2**v + (1-u.Beta2)*g*g
	mh, root := *m*r.C1, sqrt(*v*r.C2)
	den := root + u.Eps
	*p -= r.LR * mh / den
	d := (1 - u.Beta1) * r.C1 / den
	if root > 0 {
		d -= mh * (1 - u.Beta2) * r.C2 * g / (root * den * den)
	}
	return -r.LR * d
}

// at is the address of an element of a vector that may be absent.
func at[T Real](x []T, i int) *T {
	if x == nil {
		return nil
	}
	return &x[i]
}

// Update holds the arguments of an optimiser step, see gpu.Update.
type Update[T Real] struct {
	Optimiser[T]
	Rates[T]
	P, G, M, V, Jac []T
	GradScale       T
}

// Step updates the parameters.
func (u Update[T]) Step() {
	for i := range u.P {
		jac := u.step(u.Rates, &u.P[i], at(u.M, i), at(u.V, i), u.G[i]*u.GradScale)
		if u.Jac != nil {
			u.Jac[i] = jac
		}
	}
}

// UpdateRows holds the arguments of the steps that rows have put off, see gpu.UpdateRows.
type UpdateRows[T Real] struct {
	Optimiser[T]
	P, G, M, V M[T] // G, M and V may be the zero M
	Row, Last  []int32
	All        bool // rows, in place of Row
	Until      int
	Rates      []T
	GradScale  T
}

// Step brings the rows up to date.
func (u UpdateRows[T]) Step() {
	if u.All {
		for r := range u.P.Rows {
			u.row(r)
			u.Last[r] = 0
		}
		return
	}
	for _, r := range u.Row {
		u.row(int(r))
		u.Last[r] = max(u.Last[r], int32(u.Until))
	}
}

func (u UpdateRows[T]) row(r int) {
	of := func(m M[T]) []T {
		if m.D == nil {
			return nil
		}
		return m.Row(r)
	}
	p, g, m, v := of(u.P), of(u.G), of(u.M), of(u.V)
	for t := int(u.Last[r]); t < u.Until; t++ {
		rates := Rates[T]{LR: u.Rates[3*t], C1: u.Rates[3*t+1], C2: u.Rates[3*t+2]}
		for i := range p {
			var s T
			if g != nil && t == u.Until-1 {
				s, g[i] = g[i]*u.GradScale, 0
			}
			u.step(rates, &p[i], at(m, i), at(v, i), s)
		}
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
