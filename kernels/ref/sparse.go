package ref

// CSR is a sparse matrix; Weight and Code may be nil.
type CSR[T Real] struct {
	Rows        int
	RowPtr, Col []int32
	Weight      []T
	Code        []int32
}

func (c CSR[T]) weight(k int32) T {
	if c.Weight == nil {
		return 1
	}
	return c.Weight[k]
}

// Aggregate: out[r,:] (+)= sum_k w_k (h[col_k,:] + e[code_k,:]).
func Aggregate[T Real](c CSR[T], h, e, out M[T], accumulate bool) {
	for r := range c.Rows {
		dst := out.Row(r)
		if !accumulate {
			clear(dst)
		}
		for k := c.RowPtr[r]; k < c.RowPtr[r+1]; k++ {
			w := c.weight(k)
			for j, v := range h.Row(int(c.Col[k])) {
				dst[j] += w * v
			}
			if !e.Nil() {
				for j, v := range e.Row(int(c.Code[k])) {
					dst[j] += w * v
				}
			}
		}
	}
}

// EdgeGrad: de[code_k,:] += w_k dout[r,:].
func EdgeGrad[T Real](c CSR[T], dout, de M[T]) {
	for r := range c.Rows {
		for k := c.RowPtr[r]; k < c.RowPtr[r+1]; k++ {
			w, dst := c.weight(k), de.Row(int(c.Code[k]))
			for j, v := range dout.Row(r) {
				dst[j] += w * v
			}
		}
	}
}

// EmbeddingSum: out[i,:] = sum_f table[idx[i,f],:].
func EmbeddingSum[T Real](out, table M[T], idx []int32, fields int) {
	for i := range out.Rows {
		dst := out.Row(i)
		clear(dst)
		for _, t := range idx[i*fields : (i+1)*fields] {
			for j, v := range table.Row(int(t)) {
				dst[j] += v
			}
		}
	}
}

// EmbeddingSumGrad: dtable[idx[i,f],:] += dout[i,:].
func EmbeddingSumGrad[T Real](dtable, dout M[T], idx []int32, fields int) {
	for i := range dout.Rows {
		for _, t := range idx[i*fields : (i+1)*fields] {
			dst := dtable.Row(int(t))
			for j, v := range dout.Row(i) {
				dst[j] += v
			}
		}
	}
}

// SegmentMax: the first largest element of each column over a row's neighbours; empty rows give 0 and -1.
func SegmentMax[T Real](out M[T], arg []int32, c CSR[T], h M[T]) {
	for r := range c.Rows {
		for j := range out.Cols {
			best, at := T(0), int32(-1)
			for k := c.RowPtr[r]; k < c.RowPtr[r+1]; k++ {
				if v := h.D[int(c.Col[k])*h.LD+j]; at < 0 || v > best {
					best, at = v, c.Col[k]
				}
			}
			out.D[r*out.LD+j], arg[r*out.Cols+j] = best, at
		}
	}
}

// SegmentMaxGrad: dh[arg] += dout.
func SegmentMaxGrad[T Real](dh, dout M[T], arg []int32) {
	for r := range dout.Rows {
		for j, v := range dout.Row(r) {
			if a := arg[r*dout.Cols+j]; a >= 0 {
				dh.D[int(a)*dh.LD+j] += v
			}
		}
	}
}

// SegmentMaxTangent: tout = th[arg].
func SegmentMaxTangent[T Real](tout, th M[T], arg []int32) {
	for r := range tout.Rows {
		dst := tout.Row(r)
		for j := range dst {
			dst[j] = 0
			if a := arg[r*tout.Cols+j]; a >= 0 {
				dst[j] = th.D[int(a)*th.LD+j]
			}
		}
	}
}

const leak = 0.2 // of GAT's leaky ReLU

// GAT holds the arguments of graph attention, see gpu.GAT.
type GAT[T Real] struct {
	CSR               CSR[T]
	Self              []int32
	Heads             int
	X, E, Att         M[T]
	Out, Alpha, Score M[T]
}

// message returns x + e of edge k in head h, channel c.
func (g GAT[T]) message(x, e M[T], k int32, h, c, width int) T {
	j := h*width + c
	return x.D[int(g.CSR.Col[k])*x.LD+j] + e.D[int(g.CSR.Code[k])*e.LD+j]
}

// Forward computes scores, attention and the weighted sum.
func (g GAT[T]) Forward() {
	width := g.X.Cols / g.Heads
	for r := range g.CSR.Rows {
		lo, hi := g.CSR.RowPtr[r], g.CSR.RowPtr[r+1]
		clear(g.Out.Row(r))
		for h := range g.Heads {
			att := g.Att.Row(h)
			var top T
			for k := lo; k < hi; k++ {
				var s T
				for c := range width {
					s += att[c] * g.X.D[int(g.Self[r])*g.X.LD+h*width+c]
				}
				for c := range width {
					s += att[width+c] * g.message(g.X, g.E, k, h, c, width)
				}
				g.Score.D[int(k)*g.Score.LD+h] = s
				if s < 0 {
					s *= leak
				}
				g.Alpha.D[int(k)*g.Alpha.LD+h] = s
				if k == lo || s > top {
					top = s
				}
			}
			var sum T
			for k := lo; k < hi; k++ {
				a := &g.Alpha.D[int(k)*g.Alpha.LD+h]
				*a = exp(*a - top)
				sum += *a
			}
			for k := lo; k < hi; k++ {
				a := &g.Alpha.D[int(k)*g.Alpha.LD+h]
				*a /= sum
				for c := range width {
					g.Out.D[r*g.Out.LD+h*width+c] += *a * g.message(g.X, g.E, k, h, c, width)
				}
			}
		}
	}
}

// Backward adds the gradients.
func (g GAT[T]) Backward(dout, dx, de, datt M[T]) {
	width := g.X.Cols / g.Heads
	for r := range g.CSR.Rows {
		lo, hi := g.CSR.RowPtr[r], g.CSR.RowPtr[r+1]
		for h := range g.Heads {
			att, da := g.Att.Row(h), datt.Row(h)
			// d alpha_k = <dout, m_k>; softmax: ds_k = alpha_k (d alpha_k - sum_j alpha_j d alpha_j)
			dalpha := make([]T, hi-lo)
			var mean T
			for k := lo; k < hi; k++ {
				for c := range width {
					dalpha[k-lo] += dout.D[r*dout.LD+h*width+c] * g.message(g.X, g.E, k, h, c, width)
				}
				mean += g.Alpha.D[int(k)*g.Alpha.LD+h] * dalpha[k-lo]
			}
			for k := lo; k < hi; k++ {
				alpha := g.Alpha.D[int(k)*g.Alpha.LD+h]
				ds := alpha * (dalpha[k-lo] - mean)
				if g.Score.D[int(k)*g.Score.LD+h] < 0 {
					ds *= leak
				}
				for c := range width {
					j := h*width + c
					dm := alpha*dout.D[r*dout.LD+j] + ds*att[width+c]
					dx.D[int(g.CSR.Col[k])*dx.LD+j] += dm
					de.D[int(g.CSR.Code[k])*de.LD+j] += dm
					dx.D[int(g.Self[r])*dx.LD+j] += ds * att[c]
					da[c] += ds * g.X.D[int(g.Self[r])*g.X.LD+j]
					da[width+c] += ds * g.message(g.X, g.E, k, h, c, width)
				}
			}
		}
	}
}

// Tangent writes the directional derivative along (tx, te, tatt).
func (g GAT[T]) Tangent(tx, te, tatt, tout M[T]) {
	width := g.X.Cols / g.Heads
	for r := range g.CSR.Rows {
		lo, hi := g.CSR.RowPtr[r], g.CSR.RowPtr[r+1]
		clear(tout.Row(r))
		for h := range g.Heads {
			att, ta := g.Att.Row(h), tatt.Row(h)
			ts := make([]T, hi-lo)
			var mean T
			for k := lo; k < hi; k++ {
				for c := range width {
					j := int(g.Self[r])
					ts[k-lo] += ta[c]*g.X.D[j*g.X.LD+h*width+c] + att[c]*tx.D[j*tx.LD+h*width+c]
					ts[k-lo] += ta[width+c]*g.message(g.X, g.E, k, h, c, width) + att[width+c]*g.message(tx, te, k, h, c, width)
				}
				if g.Score.D[int(k)*g.Score.LD+h] < 0 {
					ts[k-lo] *= leak
				}
				mean += g.Alpha.D[int(k)*g.Alpha.LD+h] * ts[k-lo]
			}
			for k := lo; k < hi; k++ {
				alpha := g.Alpha.D[int(k)*g.Alpha.LD+h]
				talpha := alpha * (ts[k-lo] - mean)
				for c := range width {
					tout.D[r*tout.LD+h*width+c] += talpha*g.message(g.X, g.E, k, h, c, width) + alpha*g.message(tx, te, k, h, c, width)
				}
			}
		}
	}
}
