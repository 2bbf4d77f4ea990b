package ref

// BN holds the arguments of batch normalisation, see gpu.BatchNorm.
type BN[T Real] struct {
	X, Y                    M[T]
	Mult                    []T
	Total                   T
	Gamma, Beta, Mean, Rstd []T
	Eps                     T
	ReLU, Frozen            bool
}

func (b BN[T]) mult(r int) T {
	if b.Mult == nil {
		return 1
	}
	return b.Mult[r]
}

// Forward computes the statistics, unless frozen, and the normalised rows.
func (b BN[T]) Forward() {
	for c := range b.X.Cols {
		if !b.Frozen {
			var mean, variance T
			for r := range b.X.Rows {
				mean += b.mult(r) * b.X.D[r*b.X.LD+c]
			}
			mean /= b.Total
			for r := range b.X.Rows {
				d := b.X.D[r*b.X.LD+c] - mean
				variance += b.mult(r) * d * d
			}
			b.Mean[c], b.Rstd[c] = mean, 1/sqrt(variance/b.Total+b.Eps)
		}
		for r := range b.X.Rows {
			v := (b.X.D[r*b.X.LD+c]-b.Mean[c])*b.Rstd[c]*b.Gamma[c] + b.Beta[c]
			if b.ReLU && !(v > 0) {
				v = 0
			}
			b.Y.D[r*b.Y.LD+c] = v
		}
	}
}

// through returns g where the activation lets it pass.
func through[T Real](relu bool, y, g T) T {
	if relu && !(y > 0) {
		return 0
	}
	return g
}

// Backward: with dy summed over the equal rows, dx_r = gamma*rstd*(dy_r - mult_r/total*(sum dy + xhat_r sum dy*xhat)).
func (b BN[T]) Backward(dy, dx M[T], accumulate bool, dgamma, dbeta []T) {
	for c := range b.X.Cols {
		var s, sx T
		for r := range b.X.Rows {
			g := through(b.ReLU, b.Y.D[r*b.Y.LD+c], dy.D[r*dy.LD+c])
			s += g
			sx += g * (b.X.D[r*b.X.LD+c] - b.Mean[c]) * b.Rstd[c]
		}
		dgamma[c] += sx
		dbeta[c] += s
		if dx.Nil() {
			continue
		}
		for r := range b.X.Rows {
			g := through(b.ReLU, b.Y.D[r*b.Y.LD+c], dy.D[r*dy.LD+c])
			if !b.Frozen {
				xhat := (b.X.D[r*b.X.LD+c] - b.Mean[c]) * b.Rstd[c]
				g -= b.mult(r) / b.Total * (s + xhat*sx)
			}
			g *= b.Gamma[c] * b.Rstd[c]
			if accumulate {
				g += dx.D[r*dx.LD+c]
			}
			dx.D[r*dx.LD+c] = g
		}
	}
}

// Tangent: xhat' = rstd*(x' - mean(x') - xhat*mean(xhat*x')), means weighted by the multiplicities.
func (b BN[T]) Tangent(tx, ty M[T], tgamma, tbeta []T) {
	for c := range b.X.Cols {
		var m, mx T
		if !b.Frozen {
			for r := range b.X.Rows {
				xhat := (b.X.D[r*b.X.LD+c] - b.Mean[c]) * b.Rstd[c]
				m += b.mult(r) * tx.D[r*tx.LD+c]
				mx += b.mult(r) * tx.D[r*tx.LD+c] * xhat
			}
			m /= b.Total
			mx /= b.Total
		}
		for r := range b.X.Rows {
			xhat := (b.X.D[r*b.X.LD+c] - b.Mean[c]) * b.Rstd[c]
			t := tgamma[c]*xhat + tbeta[c] + b.Gamma[c]*b.Rstd[c]*(tx.D[r*tx.LD+c]-m-xhat*mx)
			ty.D[r*ty.LD+c] = through(b.ReLU, b.Y.D[r*b.Y.LD+c], t)
		}
	}
}

// BatchNormRunning folds batch statistics into running ones.
func BatchNormRunning[T Real](runMean, runVar, mean, rstd []T, momentum, total, eps T) {
	for c := range mean {
		v := 1/(rstd[c]*rstd[c]) - eps
		if total > 1 {
			v *= total / (total - 1)
		}
		runMean[c] += momentum * (mean[c] - runMean[c])
		runVar[c] += momentum * (v - runVar[c])
	}
}

// RstdOf: rstd = 1/sqrt(variance+eps).
func RstdOf[T Real](rstd, variance []T, eps T) {
	for i, v := range variance {
		rstd[i] = 1 / sqrt(v+eps)
	}
}

// LN holds the arguments of layer normalisation.
type LN[T Real] struct {
	X, Y                    M[T]
	Gamma, Beta, Mean, Rstd []T
	Eps                     T
	ReLU                    bool
}

// Forward normalises every row.
func (l LN[T]) Forward() {
	n := T(l.X.Cols)
	for r := range l.X.Rows {
		x, y := l.X.Row(r), l.Y.Row(r)
		var mean, variance T
		for _, v := range x {
			mean += v
		}
		mean /= n
		for _, v := range x {
			variance += (v - mean) * (v - mean)
		}
		rstd := 1 / sqrt(variance/n+l.Eps)
		l.Mean[r], l.Rstd[r] = mean, rstd
		for c, v := range x {
			y[c] = (v-mean)*rstd*l.Gamma[c] + l.Beta[c]
			if l.ReLU && !(y[c] > 0) {
				y[c] = 0
			}
		}
	}
}

// Backward adds dgamma and dbeta and writes dx.
func (l LN[T]) Backward(dy, dx M[T], accumulate bool, dgamma, dbeta []T) {
	n := T(l.X.Cols)
	for r := range l.X.Rows {
		x, y, g := l.X.Row(r), l.Y.Row(r), dy.Row(r)
		var s, sx T
		for c := range x {
			d := through(l.ReLU, y[c], g[c])
			xhat := (x[c] - l.Mean[r]) * l.Rstd[r]
			dgamma[c] += d * xhat
			dbeta[c] += d
			s += d * l.Gamma[c]
			sx += d * l.Gamma[c] * xhat
		}
		if dx.Nil() {
			continue
		}
		for c := range x {
			d := through(l.ReLU, y[c], g[c])
			xhat := (x[c] - l.Mean[r]) * l.Rstd[r]
			v := l.Rstd[r] * (d*l.Gamma[c] - (s+xhat*sx)/n)
			if accumulate {
				v += dx.D[r*dx.LD+c]
			}
			dx.D[r*dx.LD+c] = v
		}
	}
}

// Tangent writes the directional derivative.
func (l LN[T]) Tangent(tx, ty M[T], tgamma, tbeta []T) {
	n := T(l.X.Cols)
	for r := range l.X.Rows {
		x, y, t := l.X.Row(r), l.Y.Row(r), tx.Row(r)
		var m, mx T
		for c := range x {
			m += t[c]
			mx += t[c] * (x[c] - l.Mean[r]) * l.Rstd[r]
		}
		for c := range x {
			xhat := (x[c] - l.Mean[r]) * l.Rstd[r]
			v := tgamma[c]*xhat + tbeta[c] + l.Gamma[c]*l.Rstd[r]*(t[c]-(m+xhat*mx)/n)
			ty.D[r*ty.LD+c] = through(l.ReLU, y[c], v)
		}
	}
}
