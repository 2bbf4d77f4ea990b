package ref

import "math"

// gelu is x*Phi(x), or with approximate the form by tanh, and its derivative.
func gelu[T Real](x T, approximate bool) (y, slope T) {
	if approximate {
		const k, c = 0.79788456080286535588, 0.044715 // sqrt(2/pi)
		t := T(math.Tanh(float64(k * (x + c*x*x*x))))
		return 0.5 * x * (1 + t), 0.5*(1+t) + 0.5*x*(1-t*t)*k*(1+3*c*x*x)
	}
	p := 0.5 * (1 + T(math.Erf(float64(x/math.Sqrt2))))
	return x * p, p + x*exp(-0.5*x*x)/T(math.Sqrt(2*math.Pi))
}

// GELU holds the arguments of the Gaussian error linear unit of X+Bias, see gpu.GELU.
type GELU[T Real] struct {
	X, Y M[T]
	Bias []T
	Tanh bool
}

func (g GELU[T]) at(i, j int) (y, slope T) {
	x := g.X.D[i*g.X.LD+j]
	if g.Bias != nil {
		x += g.Bias[j]
	}
	return gelu(x, g.Tanh)
}

// Forward writes Y.
func (g GELU[T]) Forward() {
	for i := range g.X.Rows {
		for j := range g.X.Cols {
			g.Y.D[i*g.Y.LD+j], _ = g.at(i, j)
		}
	}
}

// Backward writes or adds to dx, which may be dy, and adds its sums over the rows to dbias.
func (g GELU[T]) Backward(dy, dx M[T], accumulate bool, dbias []T) {
	for i := range g.X.Rows {
		for j := range g.X.Cols {
			_, slope := g.at(i, j)
			d := slope * dy.D[i*dy.LD+j]
			if dbias != nil {
				dbias[j] += d
			}
			if accumulate {
				d += dx.D[i*dx.LD+j]
			}
			dx.D[i*dx.LD+j] = d
		}
	}
}

// Tangent writes the directional derivative; tx and tbias may be absent.
func (g GELU[T]) Tangent(tx, ty M[T], tbias []T) {
	for i := range g.X.Rows {
		for j := range g.X.Cols {
			_, slope := g.at(i, j)
			var t T
			if !tx.Nil() {
				t = tx.D[i*tx.LD+j]
			}
			if tbias != nil {
				t += tbias[j]
			}
			ty.D[i*ty.LD+j] = slope * t
		}
	}
}

// AddNorm holds the arguments of layer normalisation after a residual connection, see gpu.AddNorm.
type AddNorm[T Real] struct {
	X, R, Z, Y              M[T]
	Bias                    []T
	P                       float64
	Seed                    uint64
	Step, Stream            uint32
	Gamma, Beta, Mean, Rstd []T
	Eps                     T
}

func (a AddNorm[T]) norm() LN[T] {
	return LN[T]{X: a.Z, Y: a.Y, Gamma: a.Gamma, Beta: a.Beta, Mean: a.Mean, Rstd: a.Rstd, Eps: a.Eps}
}

// drop is dropout of element (i,j).
func (a AddNorm[T]) drop(i, j int, v T) T {
	if Uniform(a.Seed, a.Step, a.Stream, uint64(i)*uint64(a.Z.Cols)+uint64(j)) < a.P {
		return 0
	}
	return v * T(1/(1-a.P))
}

// branch writes r + dropout(x + bias), each of which may be absent.
func (a AddNorm[T]) branch(z, r, x M[T], bias []T) {
	for i := range z.Rows {
		for j := range z.Cols {
			var v T
			if !x.Nil() {
				v = x.D[i*x.LD+j]
			}
			if bias != nil {
				v += bias[j]
			}
			v = a.drop(i, j, v)
			if !r.Nil() {
				v += r.D[i*r.LD+j]
			}
			z.D[i*z.LD+j] = v
		}
	}
}

// Forward writes Z, Y, Mean and Rstd.
func (a AddNorm[T]) Forward() {
	a.branch(a.Z, a.R, a.X, a.Bias)
	a.norm().Forward()
}

// Backward writes dx and writes or adds to dr, where they are not absent, and adds to dbias, unless nil, dgamma and dbeta.
func (a AddNorm[T]) Backward(dy, dx, dr M[T], accumulate bool, dbias, dgamma, dbeta []T) {
	dz := a.like()
	a.norm().Backward(dy, dz, false, dgamma, dbeta)
	for i := range dz.Rows {
		for j, v := range dz.Row(i) {
			d := a.drop(i, j, v)
			if dbias != nil {
				dbias[j] += d
			}
			if !dr.Nil() {
				if accumulate {
					v += dr.D[i*dr.LD+j]
				}
				dr.D[i*dr.LD+j] = v
			}
			if !dx.Nil() {
				dx.D[i*dx.LD+j] = d
			}
		}
	}
}

// Tangent writes the directional derivative along what is not absent.
func (a AddNorm[T]) Tangent(tx, tr, ty M[T], tbias, tgamma, tbeta []T) {
	tz := a.like()
	a.branch(tz, tr, tx, tbias)
	zero := make([]T, a.Z.Cols)
	if tgamma == nil {
		tgamma = zero
	}
	if tbeta == nil {
		tbeta = zero
	}
	a.norm().Tangent(tz, ty, tgamma, tbeta)
}

// like returns a matrix of the shape of Z.
func (a AddNorm[T]) like() M[T] {
	return M[T]{D: make([]T, a.Z.Rows*a.Z.Cols), Rows: a.Z.Rows, Cols: a.Z.Cols, LD: a.Z.Cols}
}

// LinearCE holds the arguments of the cross entropy of X·Wᵀ + Bias, see gpu.LinearCE.
type LinearCE[T Real] struct {
	X, W      M[T]
	Bias      []T
	Target    []int32
	Scale     T
	LSE, Loss []T
}

// inner returns <x_i, w_v>.
func inner[T Real](x, w M[T], i, v int) T {
	var s T
	b := w.Row(v)
	for j, a := range x.Row(i) {
		s += a * b[j]
	}
	return s
}

// logits of row i, into row.
func (l LinearCE[T]) logits(i int, row []T) {
	for v := range row {
		row[v] = inner(l.X, l.W, i, v)
		if l.Bias != nil {
			row[v] += l.Bias[v]
		}
	}
}

// Forward writes LSE and adds to Loss.
func (l LinearCE[T]) Forward() {
	row := make([]T, l.W.Rows)
	var total T
	for i := range l.X.Rows {
		l.logits(i, row)
		top, sum := maximum(row, -1), T(0)
		for _, v := range row {
			sum += exp(v - top)
		}
		l.LSE[i] = top + log(sum)
		if t := l.Target[i]; t >= 0 {
			total += l.Scale * (l.LSE[i] - row[t])
		}
	}
	l.Loss[0] += total
}

// slopes of the loss in the logits of row i, into row: nothing for a row that does not count.
func (l LinearCE[T]) slopes(i int, row []T) {
	if l.Target[i] < 0 {
		clear(row)
		return
	}
	l.logits(i, row)
	for v := range row {
		row[v] = l.Scale * exp(row[v]-l.LSE[i])
	}
	row[l.Target[i]] -= l.Scale
}

// Backward is up times the gradient: it writes or adds to dx and adds to dw and dbias, where they are not absent.
func (l LinearCE[T]) Backward(up T, dx, dw M[T], accumulate bool, dbias []T) {
	row, sum := make([]T, l.W.Rows), make([]T, l.X.Cols)
	for i := range l.X.Rows {
		l.slopes(i, row)
		clear(sum)
		for v, d := range row {
			d *= up
			if !dx.Nil() {
				for j, w := range l.W.Row(v) {
					sum[j] += d * w
				}
			}
			if !dw.Nil() {
				dst := dw.Row(v)
				for j, x := range l.X.Row(i) {
					dst[j] += d * x
				}
			}
			if dbias != nil {
				dbias[v] += d
			}
		}
		if dx.Nil() {
			continue
		}
		for j, v := range dx.Row(i) {
			if accumulate {
				sum[j] += v
			}
		}
		copy(dx.Row(i), sum)
	}
}

// Tangent: out += c times the directional derivative of the loss along what is not absent.
func (l LinearCE[T]) Tangent(tx, tw M[T], tbias []T, c T, out []T) {
	row := make([]T, l.W.Rows)
	var total T
	for i := range l.X.Rows {
		l.slopes(i, row)
		for v, d := range row {
			var t T
			if !tx.Nil() {
				t += inner(tx, l.W, i, v)
			}
			if !tw.Nil() {
				t += inner(l.X, tw, i, v)
			}
			if tbias != nil {
				t += tbias[v]
			}
			total += d * t
		}
	}
	out[0] += c * total
}

// ScatterRows: dst[row_r,:] += sum_k w_k src[col_k,:] over row r of c.
func ScatterRows[T Real](dst M[T], row []int32, c CSR[T], src M[T]) {
	for r := range c.Rows {
		d := dst.Row(int(row[r]))
		for k := c.RowPtr[r]; k < c.RowPtr[r+1]; k++ {
			for j, v := range src.Row(int(c.Col[k])) {
				d[j] += c.weight(k) * v
			}
		}
	}
}

// Rows are rows of a table, see gpu.Rows.
type Rows[T Real] struct {
	M     M[T]
	Row   []int32
	First int
}

// of returns the table's row that row i is.
func (r Rows[T]) of(i int) int {
	if r.Row == nil {
		return r.First + i
	}
	return int(r.Row[i])
}

// common calls f for every row that both hold.
func common[T Real](x, y Rows[T], f func(x, y []T)) {
	at := map[int]int{}
	for j := range y.M.Rows {
		at[y.of(j)] = j
	}
	for i := range x.M.Rows {
		if j, ok := at[x.of(i)]; ok {
			f(x.M.Row(i), y.M.Row(j))
		}
	}
}

// AddRows: dst += s*src in the rows that both hold.
func AddRows[T Real](dst Rows[T], s T, src Rows[T]) {
	common(dst, src, func(d, x []T) { Axpy(d, s, x) })
}

// DotRows returns <x,y> over the rows that both hold.
func DotRows[T Real](x, y Rows[T]) (s T) {
	common(x, y, func(x, y []T) { s += Dot(x, y) })
	return s
}
