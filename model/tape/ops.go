package tape

import "tapweight/gpu"

// Linear is act(x·Wᵀ + b): x (n,in), w (out,in), b (out) or nil. Act is Identity or ReLU.
func (t *Tape) Linear(x, w, b *Var, act gpu.Act) *Var {
	in := []*Var{x, w}
	var bias gpu.Buffer
	if b != nil {
		in = append(in, b)
		bias = rowVec(b.Value)
	}
	y := t.newVar(x.Value.Rows, w.Value.Rows, in...)
	y.spare = act == gpu.Identity
	t.B.Gemm(gpu.Gemm{A: x.Value, B: w.Value, C: y.Value, TransB: true, Bias: bias, Act: act})
	return t.record(y, in, nil, func() {
		dy := y.grad
		if act != gpu.Identity {
			t.B.ActivateGrad(act, dy, dy, y.Value, false)
		}
		if w.needs {
			dw, acc := t.gradOf(w)
			t.B.Gemm(gpu.Gemm{A: dy, B: x.Value, C: dw, TransA: true, Accumulate: acc})
		}
		if b != nil && b.needs {
			t.B.ColSum(t.gradVec(b), dy, true)
		}
		if x.needs {
			dx, acc := t.gradOf(x)
			t.B.Gemm(gpu.Gemm{A: dy, B: w.Value, C: dx, Accumulate: acc})
		}
	}, func() {
		ty := t.newTangent(y)
		tw := t.tangentOf(w)
		var tb gpu.Buffer
		if b != nil {
			if m := t.tangentOf(b); !m.IsNil() {
				tb = rowVec(m)
			}
		}
		// The first product overwrites and carries the bias; later ones add.
		wrote := false
		if !tw.IsNil() {
			t.B.Gemm(gpu.Gemm{A: x.Value, B: tw, C: ty, TransB: true, Bias: tb})
			wrote = true
		}
		if tx := t.tangentOf(x); !tx.IsNil() {
			g := gpu.Gemm{A: tx, B: w.Value, C: ty, TransB: true, Accumulate: wrote}
			if !wrote {
				g.Bias = tb
			}
			t.B.Gemm(g)
		}
		if act != gpu.Identity {
			t.B.ActivateGrad(act, ty, ty, y.Value, false)
		}
	})
}

// Similarity is scale * a·bᵀ: a (n,C), b (m,C) gives (n,m).
func (t *Tape) Similarity(a, b *Var, scale float64) *Var {
	in := []*Var{a, b}
	y := t.newVar(a.Value.Rows, b.Value.Rows, in...)
	t.B.Gemm(gpu.Gemm{A: a.Value, B: b.Value, C: y.Value, TransB: true})
	t.B.ScaleMat(y.Value, y.Value, scale, gpu.Buffer{})
	return t.record(y, in, nil, func() {
		t.B.ScaleMat(y.grad, y.grad, scale, gpu.Buffer{})
		if a.needs {
			da, acc := t.gradOf(a)
			t.B.Gemm(gpu.Gemm{A: y.grad, B: b.Value, C: da, Accumulate: acc})
		}
		if b.needs {
			db, acc := t.gradOf(b)
			t.B.Gemm(gpu.Gemm{A: y.grad, B: a.Value, C: db, TransA: true, Accumulate: acc})
		}
	}, func() {
		ty := t.newTangent(y)
		wrote := false
		if ta := t.tangentOf(a); !ta.IsNil() {
			t.B.Gemm(gpu.Gemm{A: ta, B: b.Value, C: ty, TransB: true})
			wrote = true
		}
		if tb := t.tangentOf(b); !tb.IsNil() {
			t.B.Gemm(gpu.Gemm{A: a.Value, B: tb, C: ty, TransB: true, Accumulate: wrote})
		}
		t.B.ScaleMat(ty, ty, scale, gpu.Buffer{})
	})
}

// Graph is a sparse matrix with its transpose, which the gradient needs.
type Graph struct {
	A, T gpu.CSR
}

// Aggregate is the weighted neighbour sum of h (Cols,C), plus the edge table e (codes,C) unless nil. It reads neither again.
func (t *Tape) Aggregate(g Graph, h, e *Var) *Var { return t.aggregate(g, h, e, gpu.Identity) }

// AggregateReLU is the rectified Aggregate.
func (t *Tape) AggregateReLU(g Graph, h, e *Var) *Var { return t.aggregate(g, h, e, gpu.ReLU) }

func (t *Tape) aggregate(g Graph, h, e *Var, act gpu.Act) *Var {
	in := []*Var{h}
	var table gpu.Mat
	if e != nil {
		in = append(in, e)
		table = e.Value
	}
	y := t.newVar(g.A.Rows, h.Value.Cols, in...)
	t.B.Aggregate(gpu.Aggregate{CSR: g.A, H: h.Value, E: table, Out: y.Value})
	if act != gpu.Identity {
		t.B.Activate(act, y.Value, y.Value)
	}
	return t.record(y, in, nil, func() {
		if act != gpu.Identity {
			t.B.ActivateGrad(act, y.grad, y.grad, y.Value, false)
		}
		if h.needs {
			dh, acc := t.gradOf(h)
			t.B.Aggregate(gpu.Aggregate{CSR: g.T, H: y.grad, Out: dh, Accumulate: acc})
		}
		if e != nil && e.needs {
			de, acc := t.gradOf(e)
			if !acc {
				t.B.Fill(de.Buf, 0)
			}
			t.B.EdgeGrad(gpu.EdgeGrad{CSR: g.A, DOut: y.grad, DE: de})
		}
	}, func() {
		// The sum is linear in both arguments: the same sum of the tangents.
		var te gpu.Mat
		if e != nil {
			te = t.tangentOf(e)
		}
		ty := t.newTangent(y)
		t.B.Aggregate(gpu.Aggregate{CSR: g.A, H: t.tangentOrZero(h), E: te, Out: ty})
		if act != gpu.Identity {
			t.B.ActivateGrad(act, ty, ty, y.Value, false)
		}
	})
}

// AddToRow is x with b (C) added to its row i.
func (t *Tape) AddToRow(x, b *Var, i int) *Var {
	in := []*Var{x, b}
	y := t.newVar(x.Value.Rows, x.Value.Cols, in...)
	add := func(dst, from, b gpu.Mat) {
		t.B.CopyMat(dst, from)
		t.B.AddScaled(dst.Slice(i, i+1), b, 1)
	}
	add(y.Value, x.Value, b.Value)
	return t.record(y, in, nil, func() {
		if b.needs {
			t.B.AddScaled(t.grads.Mat(b.entry), y.grad.Slice(i, i+1), 1)
		}
		if !x.needs {
			return
		}
		if dx, acc := t.gradOf(x); acc {
			t.B.AddScaled(dx, y.grad, 1)
		} else {
			t.B.CopyMat(dx, y.grad)
		}
	}, func() {
		add(t.newTangent(y), t.tangentOrZero(x), t.tangentOrZero(b))
	})
}

// Embedding is sum_f table[idx[i,f]]: idx (rows×fields) int32.
func (t *Tape) Embedding(table *Var, idx gpu.Buffer, rows, fields int) *Var {
	in := []*Var{table}
	y := t.newVar(rows, table.Value.Cols, in...)
	t.B.EmbeddingSum(y.Value, table.Value, idx, fields)
	return t.record(y, in, nil, func() {
		if table.needs {
			d, acc := t.gradOf(table)
			if !acc {
				t.B.Fill(d.Buf, 0)
			}
			t.B.EmbeddingSumGrad(d, y.grad, idx, fields)
		}
	}, func() {
		t.B.EmbeddingSum(t.newTangent(y), t.tangentOf(table), idx, fields)
	})
}

// Pass says how a network's forward pass is to be run.
type Pass struct {
	States   gpu.Buffer // running statistics, in the layout of the network's table of states
	Batch    bool       // normalise with the batch's statistics; otherwise with the running ones
	Update   bool       // with Batch: fold the batch's statistics into the running ones
	Momentum float64    // weight of the batch in the running statistics
	Drop     bool       // apply dropout
	Dropout  gpu.Key    // Stream is the first random stream of the pass
}

// Layer returns the dropout key of a network's i-th layer.
func (p Pass) Layer(i int) gpu.Key {
	k := p.Dropout
	k.Stream += uint32(i)
	return k
}

// Part returns the pass of the i-th network (or view) that runs within this one, with random streams of its own.
func (p Pass) Part(i int) Pass {
	p.Dropout.Stream += uint32(i) * 256
	return p
}

// Running holds a batch-norm layer's running statistics on the device.
type Running struct {
	Mean, Var gpu.Buffer // (C)
}

// NormOptions configure BatchNorm.
type NormOptions struct {
	Mult     gpu.Buffer // (rows) multiplicities, or nil
	Total    float64    // sum of Mult
	Act      gpu.Act
	Eps      float64
	Frozen   bool // normalise with the running statistics instead of the batch's
	Update   bool // fold the batch's statistics into the running ones
	Momentum float64
}

// BatchNorm normalises columns, then scales and shifts by gamma and beta (C).
func (t *Tape) BatchNorm(x, gamma, beta *Var, run Running, o NormOptions) *Var {
	in := []*Var{x, gamma, beta}
	c := x.Value.Cols
	y := t.newVar(x.Value.Rows, c, in...)
	mean, rstd := t.A.Alloc(c), t.A.Alloc(c)
	if o.Frozen {
		t.B.Copy(mean, run.Mean)
		t.B.RstdOf(rstd, run.Var, o.Eps)
	}
	bn := gpu.BatchNorm{X: x.Value, Y: y.Value, Mult: o.Mult, Total: o.Total, Gamma: rowVec(gamma.Value), Beta: rowVec(beta.Value),
		Mean: mean, Rstd: rstd, Eps: o.Eps, Act: o.Act, Frozen: o.Frozen}
	t.B.BatchNorm(bn)
	if o.Update && !o.Frozen {
		t.B.BatchNormRunning(run.Mean, run.Var, mean, rstd, o.Momentum, o.Total, o.Eps)
	}
	return t.record(y, in, []gpu.Buffer{mean, rstd}, func() {
		g := gpu.BatchNormGrad{BatchNorm: bn, DY: y.grad, DGamma: t.gradVec(gamma), DBeta: t.gradVec(beta)}
		if x.needs {
			g.DX, g.Accumulate = t.gradOf(x)
		}
		t.B.BatchNormGrad(g)
	}, func() {
		t.B.BatchNormTangent(gpu.BatchNormTangent{BatchNorm: bn, TX: t.tangentOrZero(x), TY: t.newTangent(y),
			TGamma: rowVec(t.tangentOrZero(gamma)), TBeta: rowVec(t.tangentOrZero(beta))})
	})
}

// LayerNorm normalises rows, then scales and shifts by gamma and beta (C).
func (t *Tape) LayerNorm(x, gamma, beta *Var, act gpu.Act, eps float64) *Var {
	in := []*Var{x, gamma, beta}
	n := x.Value.Rows
	y := t.newVar(n, x.Value.Cols, in...)
	mean, rstd := t.A.Alloc(n), t.A.Alloc(n)
	ln := gpu.LayerNorm{X: x.Value, Y: y.Value, Gamma: rowVec(gamma.Value), Beta: rowVec(beta.Value), Mean: mean, Rstd: rstd, Eps: eps, Act: act}
	t.B.LayerNorm(ln)
	return t.record(y, in, []gpu.Buffer{mean, rstd}, func() {
		g := gpu.LayerNormGrad{LayerNorm: ln, DY: y.grad, DGamma: t.gradVec(gamma), DBeta: t.gradVec(beta)}
		if x.needs {
			g.DX, g.Accumulate = t.gradOf(x)
		}
		t.B.LayerNormGrad(g)
	}, func() {
		t.B.LayerNormTangent(gpu.LayerNormTangent{LayerNorm: ln, TX: t.tangentOrZero(x), TY: t.newTangent(y),
			TGamma: rowVec(t.tangentOrZero(gamma)), TBeta: rowVec(t.tangentOrZero(beta))})
	})
}

// unary records an element-wise operation whose gradient and tangent are the same linear map.
func (t *Tape) unary(x, y *Var, saved []gpu.Buffer, jac func(dst, src gpu.Mat, accumulate bool)) *Var {
	return t.record(y, []*Var{x}, saved, func() {
		dx, acc := t.gradOf(x)
		jac(dx, y.grad, acc)
	}, func() {
		jac(t.newTangent(y), t.tangentOf(x), false)
	})
}

// Activate is an element-wise function.
func (t *Tape) Activate(act gpu.Act, x *Var) *Var {
	y := t.newVar(x.Value.Rows, x.Value.Cols, x)
	t.B.Activate(act, y.Value, x.Value)
	return t.unary(x, y, nil, func(dst, src gpu.Mat, acc bool) { t.B.ActivateGrad(act, dst, src, y.Value, acc) })
}

// Dropout zeroes elements with probability p and scales the rest by 1/(1-p), by the counter-based key.
func (t *Tape) Dropout(x *Var, p float64, key gpu.Key) *Var {
	if p == 0 {
		return x
	}
	y := t.newVar(x.Value.Rows, x.Value.Cols, x)
	t.B.Dropout(y.Value, x.Value, p, key, false)
	return t.unary(x, y, nil, func(dst, src gpu.Mat, acc bool) { t.B.Dropout(dst, src, p, key, acc) })
}

// RowNormalize scales every row to unit length.
func (t *Tape) RowNormalize(x *Var, eps float64) *Var {
	n := x.Value.Rows
	y := t.newVar(n, x.Value.Cols, x)
	norm := t.A.Alloc(n)
	t.B.RowNormalize(y.Value, x.Value, norm, eps)
	return t.unary(x, y, []gpu.Buffer{norm}, func(dst, src gpu.Mat, acc bool) { t.B.RowNormalizeJac(dst, src, y.Value, norm, acc) })
}

// HeadMean averages heads column blocks of x (n, heads*C) and adds bias (C).
func (t *Tape) HeadMean(x, bias *Var, heads int) *Var {
	c := x.Value.Cols / heads
	y := t.newVar(x.Value.Rows, c, x, bias)
	block := func(m gpu.Mat, h int) gpu.Mat { return m.Columns(h*c, (h+1)*c) }
	mean := func(dst, src gpu.Mat, b gpu.Buffer) {
		// A product over no columns leaves the bias in every row.
		none := gpu.Mat{Buf: dst.Buf.Slice(0, 0), Rows: dst.Rows, LD: 0}
		t.B.Gemm(gpu.Gemm{A: none, B: gpu.Mat{Buf: dst.Buf.Slice(0, 0), Cols: c, LD: c}, C: dst, Bias: b})
		for h := range heads {
			t.B.AddScaled(dst, block(src, h), 1/float64(heads))
		}
	}
	mean(y.Value, x.Value, rowVec(bias.Value))
	return t.record(y, []*Var{x, bias}, nil, func() {
		if bias.needs {
			t.B.ColSum(t.gradVec(bias), y.grad, true)
		}
		if x.needs {
			dx, acc := t.gradOf(x)
			if !acc {
				t.B.Fill(dx.Buf, 0)
			}
			for h := range heads {
				t.B.AddScaled(block(dx, h), y.grad, 1/float64(heads))
			}
		}
	}, func() {
		mean(t.newTangent(y), t.tangentOrZero(x), rowVec(t.tangentOrZero(bias)))
	})
}

// RowDot is <a_i, b_i> for every row: (n,1).
func (t *Tape) RowDot(a, b *Var) *Var {
	n := a.Value.Rows
	y := t.newVar(n, 1, a, b)
	dot := t.A.Alloc(n) // RowDot writes a tight vector, a (n,1) matrix has padded rows
	column := gpu.Mat{Buf: dot, Rows: n, Cols: 1, LD: 1}
	t.B.RowDot(dot, a.Value, b.Value, 1, false)
	t.B.CopyMat(y.Value, column)
	return t.record(y, []*Var{a, b}, []gpu.Buffer{dot}, func() {
		t.B.CopyMat(column, y.grad)
		if a.needs {
			da, acc := t.gradOf(a)
			t.B.RowScale(da, dot, b.Value, 1, acc)
		}
		if b.needs {
			db, acc := t.gradOf(b)
			t.B.RowScale(db, dot, a.Value, 1, acc)
		}
	}, func() {
		wrote := false
		if ta := t.tangentOf(a); !ta.IsNil() {
			t.B.RowDot(dot, ta, b.Value, 1, false)
			wrote = true
		}
		if tb := t.tangentOf(b); !tb.IsNil() {
			t.B.RowDot(dot, a.Value, tb, 1, wrote)
		}
		t.B.CopyMat(t.newTangent(y), column)
	})
}

// Stack puts the rows of b below those of a.
func (t *Tape) Stack(a, b *Var) *Var {
	n := a.Value.Rows
	y := t.newVar(n+b.Value.Rows, a.Value.Cols, a, b)
	halves := func(m gpu.Mat) [2]gpu.Mat { return [2]gpu.Mat{m.Slice(0, n), m.Slice(n, m.Rows)} }
	parts := [2]*Var{a, b}
	for i, half := range halves(y.Value) {
		t.B.CopyMat(half, parts[i].Value)
	}
	return t.record(y, []*Var{a, b}, nil, func() {
		for i, half := range halves(y.grad) {
			if !parts[i].needs {
				continue
			}
			if d, acc := t.gradOf(parts[i]); acc {
				t.B.AddScaled(d, half, 1)
			} else {
				t.B.CopyMat(d, half)
			}
		}
	}, func() {
		for i, half := range halves(t.newTangent(y)) {
			if tx := t.tangentOf(parts[i]); tx.IsNil() {
				t.B.Fill(half.Buf, 0)
			} else {
				t.B.CopyMat(half, tx)
			}
		}
	})
}

// SegmentMax is the column-wise maximum over the rows that each row of csr lists.
func (t *Tape) SegmentMax(csr gpu.CSR, h *Var) *Var {
	y := t.newVar(csr.Rows, h.Value.Cols, h)
	// The arena holds floats at least as wide as the 32-bit indices stored here.
	n := csr.Rows * h.Value.Cols
	held := t.A.Alloc(n)
	arg := gpu.MakeBuffer(held.Addr(), n, 4)
	t.B.SegmentMax(y.Value, arg, csr, h.Value)
	return t.record(y, []*Var{h}, []gpu.Buffer{held}, func() {
		dh, acc := t.gradOf(h)
		if !acc {
			t.B.Fill(dh.Buf, 0)
		}
		t.B.SegmentMaxGrad(dh, y.grad, arg)
	}, func() {
		t.B.SegmentMaxTangent(t.newTangent(y), t.tangentOf(h), arg)
	})
}

// Attention is the structure of a GAT layer: the graph, each row's own source row, and both transposes.
type Attention struct {
	A, T, TSelf gpu.CSR
	Self        gpu.Buffer
	Heads       int
}

// GAT is graph attention over x (Cols, heads*C) with edge table e and attention vectors att (heads, 2C).
func (t *Tape) GAT(s Attention, x, e, att *Var) *Var {
	in := []*Var{x, e, att}
	y := t.newVar(s.A.Rows, x.Value.Cols, in...)
	alpha, score := t.A.Mat(s.A.NNZ, s.Heads), t.A.Mat(s.A.NNZ, s.Heads)
	op := gpu.GAT{CSR: s.A, Self: s.Self, Heads: s.Heads, X: x.Value, E: e.Value, Att: att.Value, Out: y.Value, Alpha: alpha, Score: score}
	t.B.GAT(op)
	return t.record(y, in, []gpu.Buffer{alpha.Buf, score.Buf}, func() {
		g := gpu.GATGrad{GAT: op, T: s.T, TSelf: s.TSelf, DOut: y.grad, DScore: t.A.Mat(s.A.NNZ, s.Heads)}
		into := func(v *Var) gpu.Mat {
			d, acc := t.gradOf(v)
			if !acc {
				t.B.Fill(d.Buf, 0)
			}
			return d
		}
		g.DX, g.DE, g.DAtt = into(x), into(e), into(att)
		t.B.GATGrad(g)
		t.A.Free(g.DScore.Buf)
	}, func() {
		t.B.GATTangent(gpu.GATTangent{GAT: op, TX: t.tangentOrZero(x), TE: t.tangentOrZero(e), TAtt: t.tangentOrZero(att), TOut: t.newTangent(y)})
	})
}
