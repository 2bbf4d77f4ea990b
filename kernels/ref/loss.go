package ref

// SoftmaxCE: loss += scale*sum w_i (logsumexp(x_i) - x_i[t_i]); dx its gradient.
func SoftmaxCE[T Real](x, dx M[T], target []int32, weight []T, scale T, loss []T) {
	var total T
	for i := range x.Rows {
		row, d := x.Row(i), dx.Row(i)
		w := scale
		if weight != nil {
			w *= weight[i]
		}
		t := target[i]
		if t < 0 {
			clear(d)
			continue
		}
		top, sum := maximum(row, -1), T(0)
		for j, v := range row {
			d[j] = exp(v - top)
			sum += d[j]
		}
		total += w * (log(sum) + top - row[t])
		for j := range d {
			d[j] *= w / sum
		}
		d[t] -= w
	}
	loss[0] += total
}

// maximum of a row, leaving out one element.
func maximum[T Real](row []T, skip int) T {
	first := true
	var top T
	for j, v := range row {
		if j != skip && (first || v > top) {
			top, first = v, false
		}
	}
	return top
}

// bce is the logistic loss and its derivative.
func bce[T Real](x, t T) (l, d T) {
	// log(1+exp(x)) - x t without overflow
	m := x
	if m < 0 {
		m = 0
	}
	a := x
	if a > 0 {
		a = -a
	}
	return m - x*t + log(1+exp(a)), 1/(1+exp(-x)) - t
}

// ElementLoss: loss += scale*sum weight*l(x,target); mse selects the squared error, otherwise the logistic loss.
func ElementLoss[T Real](mse bool, x, dx M[T], target, weight []T, scale T, loss []T) {
	var total T
	for i := range x.Rows {
		row, d := x.Row(i), dx.Row(i)
		for j, v := range row {
			k := i*x.Cols + j
			w := scale
			if weight != nil {
				w *= weight[k]
			}
			d[j] = 0
			if w == 0 {
				continue
			}
			if mse {
				total += w * (v - target[k]) * (v - target[k])
				d[j] = 2 * w * (v - target[k])
				continue
			}
			l, g := bce(v, target[k])
			total += w * l
			d[j] = w * g
		}
	}
	loss[0] += total
}

// NTXent: the contrastive loss of similarities s; row i's positive is (i+B) mod 2B, the diagonal is left out.
func NTXent[T Real](s, ds M[T], scale T, loss []T) {
	var total T
	n := s.Rows
	for i := range n {
		row, d := s.Row(i), ds.Row(i)
		pos := (i + n/2) % n
		top, sum := maximum(row, i), T(0)
		for j, v := range row {
			d[j] = 0
			if j != i {
				d[j] = exp(v - top)
				sum += d[j]
			}
		}
		total += scale * (log(sum) + top - row[pos])
		for j := range d {
			d[j] *= scale / sum
		}
		d[pos] -= scale
	}
	loss[0] += total
}

// PairDistance: loss += scale*sum sqrt(|a_i-b_i|²+eps).
func PairDistance[T Real](a, b, da, db M[T], eps, scale T, loss []T) {
	var total T
	for i := range a.Rows {
		x, y := a.Row(i), b.Row(i)
		s := eps
		for j := range x {
			s += (x[j] - y[j]) * (x[j] - y[j])
		}
		r := sqrt(s)
		total += scale * r
		for j := range x {
			g := scale * (x[j] - y[j]) / r
			da.D[i*da.LD+j], db.D[i*db.LD+j] = g, -g
		}
	}
	loss[0] += total
}
