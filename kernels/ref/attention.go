package ref

// Attention holds the arguments of attention over packed sequences, see gpu.Attention.
type Attention[T Real] struct {
	Q, K, V, Out, LSE M[T]
	QPtr, Ptr         []int32
	Heads             int
	Scale             T
	DropP             float64
	Seed              uint64
	Step, Stream      uint32
}

// queries calls body for every query i and every head; [lo,hi) are the keys of its sequence.
func (a Attention[T]) queries(body func(lo, hi, i, h int)) {
	for s := range len(a.Ptr) - 1 {
		lo, hi := int(a.Ptr[s]), int(a.Ptr[s+1])
		for i := int(a.QPtr[s]); i < int(a.QPtr[s+1]); i++ {
			for h := range a.Heads {
				body(lo, hi, i, h)
			}
		}
	}
}

// product is <x_i, y_j> over the channels of head h.
func (a Attention[T]) product(x M[T], i int, y M[T], j, h int) T {
	n := a.Q.Cols / a.Heads
	v := y.Row(j)[h*n : (h+1)*n]
	var s T
	for c, u := range x.Row(i)[h*n : (h+1)*n] {
		s += u * v[c]
	}
	return s
}

// add is y_i += s*x_j over the channels of head h.
func (a Attention[T]) add(y M[T], i int, s T, x M[T], j, h int) {
	n := a.Q.Cols / a.Heads
	dst := y.Row(i)[h*n : (h+1)*n]
	for c, v := range x.Row(j)[h*n : (h+1)*n] {
		dst[c] += s * v
	}
}

// keep is what dropout multiplies the probability of key j by, for query i; lo is the first key of their sequence.
func (a Attention[T]) keep(lo, i, j, h int) T {
	element := (uint64(i)*uint64(a.Heads)+uint64(h))*65536 + uint64(j-lo)
	if a.DropP > 0 && Uniform(a.Seed, a.Step, a.Stream, element) < a.DropP {
		return 0
	}
	return T(1 / (1 - a.DropP))
}

// probability is softmax_j of the scores of query i, from its log-sum-exp.
func (a Attention[T]) probability(i, j, h int) T {
	return exp(a.Scale*a.product(a.Q, i, a.K, j, h) - a.LSE.D[i*a.LSE.LD+h])
}

// Forward computes Out and LSE.
func (a Attention[T]) Forward() {
	for i := range a.Out.Rows {
		clear(a.Out.Row(i))
	}
	a.queries(func(lo, hi, i, h int) {
		score := make([]T, hi-lo)
		var top, sum T
		for j := lo; j < hi; j++ {
			s := a.Scale * a.product(a.Q, i, a.K, j, h)
			score[j-lo] = s
			if j == lo || s > top {
				top = s
			}
		}
		for _, s := range score {
			sum += exp(s - top)
		}
		for j := lo; j < hi; j++ {
			a.add(a.Out, i, exp(score[j-lo]-top)/sum*a.keep(lo, i, j, h), a.V, j, h)
		}
		a.LSE.D[i*a.LSE.LD+h] = top + log(sum)
	})
}

// Backward overwrites dq, dk and dv.
func (a Attention[T]) Backward(dout, dq, dk, dv M[T]) {
	for i := range dq.Rows {
		clear(dq.Row(i))
	}
	for j := range dk.Rows {
		clear(dk.Row(j))
		clear(dv.Row(j))
	}
	a.queries(func(lo, hi, i, h int) {
		mean := a.product(dout, i, a.Out, i, h) // sum_j of a probability times its gradient
		for j := lo; j < hi; j++ {
			p, keep := a.probability(i, j, h), a.keep(lo, i, j, h)
			ds := a.Scale * p * (keep*a.product(dout, i, a.V, j, h) - mean)
			a.add(dq, i, ds, a.K, j, h)
			a.add(dk, j, ds, a.Q, i, h)
			a.add(dv, j, keep*p, dout, i, h)
		}
	})
}

// Tangent writes the directional derivative along (tq, tk, tv).
func (a Attention[T]) Tangent(tq, tk, tv, tout M[T]) {
	for i := range tout.Rows {
		clear(tout.Row(i))
	}
	a.queries(func(lo, hi, i, h int) {
		var mean T
		for j := lo; j < hi; j++ {
			p, keep := a.probability(i, j, h), a.keep(lo, i, j, h)
			ts := a.Scale * (a.product(tq, i, a.K, j, h) + a.product(a.Q, i, tk, j, h))
			mean += p * ts
			a.add(tout, i, keep*p*ts, a.V, j, h)
			a.add(tout, i, keep*p, tv, j, h)
		}
		a.add(tout, i, -mean, a.Out, i, h)
	})
}
