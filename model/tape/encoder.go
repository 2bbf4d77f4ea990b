package tape

import "tapweight/gpu"

// vector is the first row of a matrix that may be absent.
func vector(m gpu.Mat) gpu.Buffer {
	if m.IsNil() {
		return gpu.Buffer{}
	}
	return rowVec(m)
}

// biased appends an optional bias (C) to the inputs.
func biased(in []*Var, bias *Var) ([]*Var, gpu.Buffer) {
	if bias == nil {
		return in, gpu.Buffer{}
	}
	return append(in, bias), rowVec(bias.Value)
}

// optionalVec is gradVec of a parameter that may be absent.
func (t *Tape) optionalVec(v *Var) gpu.Buffer {
	if v == nil || !v.needs {
		return gpu.Buffer{}
	}
	return t.gradVec(v)
}

// tangentVec is the tangent of a one-row variable that may be absent; nil means zero.
func (t *Tape) tangentVec(v *Var) gpu.Buffer {
	if v == nil {
		return gpu.Buffer{}
	}
	return vector(t.tangentOf(v))
}

// GELU is the Gaussian error linear unit of x + bias (C), exact or with tanh by the approximation; bias may be nil. Its place is
// after a Linear without a bias.
func (t *Tape) GELU(x, bias *Var, tanh bool) *Var {
	in, b := biased([]*Var{x}, bias)
	y := t.newVar(x.Value.Rows, x.Value.Cols, in...)
	op := gpu.GELU{X: x.Value, Y: y.Value, Bias: b, Tanh: tanh}
	t.B.GELU(op)
	return t.record(y, in, nil, func() {
		g := gpu.GELUGrad{GELU: op, DY: y.grad, DX: y.grad, DBias: t.optionalVec(bias)}
		switch {
		case x.needs && (x.entry != nil || !x.grad.IsNil()):
			g.DX, g.Accumulate = t.gradOf(x)
		case x.needs: // the gradient stays where it is
			x.grad, y.grad = y.grad, gpu.Mat{}
		}
		t.B.GELUGrad(g)
	}, func() {
		t.B.GELUTangent(gpu.GELUTangent{GELU: op, TX: t.tangentOf(x), TY: t.newTangent(y), TBias: t.tangentVec(bias)})
	})
}

// AddNorm is the layer norm of r + dropout(x + bias): the end of a post-norm block. r and bias (C) may be nil. Where x is the
// result of a Linear that no other operation has read, its memory is used for the sum: x must not be read afterwards.
func (t *Tape) AddNorm(x, r, bias, gamma, beta *Var, p float64, key gpu.Key, eps float64) *Var {
	in, b := biased([]*Var{x, gamma, beta}, bias)
	n := x.Value.Rows
	op := gpu.AddNorm{X: x.Value, Bias: b, DropP: p, Key: key, Gamma: rowVec(gamma.Value), Beta: rowVec(beta.Value), Eps: eps,
		Mean: t.A.Alloc(n), Rstd: t.A.Alloc(n)}
	if r != nil {
		in = append(in, r)
		op.R = r.Value
	}
	y := t.newVar(n, x.Value.Cols, in...)
	op.Y = y.Value
	if x.owned && x.spare && x.uses == 0 && x != r {
		op.Z = x.Value
		x.owned, x.taken = false, true
	} else {
		op.Z = t.A.Mat(n, x.Value.Cols)
	}
	t.B.AddNorm(op)
	return t.record(y, in, []gpu.Buffer{op.Z.Buf, op.Mean, op.Rstd}, func() {
		g := gpu.AddNormGrad{AddNorm: op, DY: y.grad, DBias: t.optionalVec(bias), DGamma: t.gradVec(gamma), DBeta: t.gradVec(beta)}
		if r != nil && r.needs {
			g.DR, g.Accumulate = t.gradOf(r)
		}
		var extra gpu.Mat
		if x.needs {
			var add bool
			if g.DX, add = t.gradOf(x); add { // AddNormGrad overwrites it
				extra, g.DX = g.DX, t.A.Mat(n, x.Value.Cols)
			}
		}
		t.B.AddNormGrad(g)
		if !extra.IsNil() {
			t.B.AddScaled(extra, g.DX, 1)
			t.A.Free(g.DX.Buf)
		}
	}, func() {
		g := gpu.AddNormTangent{AddNorm: op, TX: t.tangentOf(x), TY: t.newTangent(y), TBias: t.tangentVec(bias), TGamma: t.tangentVec(gamma), TBeta: t.tangentVec(beta)}
		if r != nil {
			g.TR = t.tangentOf(r)
		}
		t.B.AddNormTangent(g)
	})
}

// LinearCE is the cross entropy of the logits x·wᵀ + b, which are never stored whole: x (n,C), w (V,C), b (V) or nil, target (n)
// int32, negative = ignored. The gradient of w is dense and formed only by Backward.
func (t *Tape) LinearCE(x, w, b *Var, target gpu.Buffer, scale float64, value gpu.Buffer) *Loss {
	in, bias := biased([]*Var{x, w}, b)
	check(in)
	x.spare = false
	op := gpu.LinearCE{X: x.Value, W: w.Value, Bias: bias, Target: target, Scale: scale, LSE: t.A.Alloc(x.Value.Rows), Loss: value}
	t.B.LinearCE(op)
	return t.loss(term{in, []gpu.Buffer{op.LSE}, func(up gpu.Buffer) {
		g := gpu.LinearCEGrad{LinearCE: op, Up: up, DBias: t.optionalVec(b)}
		if x.needs {
			g.DX, g.Accumulate = t.gradOf(x)
		}
		if w.needs {
			var add bool
			if g.DW, add = t.gradOf(w); !add {
				t.B.Fill(g.DW.Buf, 0)
			}
		}
		t.B.LinearCEGrad(g)
	}, func(c float64, out gpu.Buffer) {
		t.B.LinearCETangent(gpu.LinearCETangent{LinearCE: op, TX: t.tangentOf(x), TW: t.tangentOf(w), TBias: t.tangentVec(b), C: c, Out: out})
	}})
}

// Lookup says which rows of a large table a batch reads. Distinct and T are the transpose of Idx, for the gradient: row
// Distinct[u] of the table is read by the rows of the result that row u of T lists.
type Lookup struct {
	Idx          gpu.Buffer // (Rows*Fields) int32
	Rows, Fields int
	Distinct     gpu.Buffer // (T.Rows) int32, all different
	T            gpu.CSR    // columns are rows of the result
}

// LookUp is sum_f table[l.Idx[i,f]], as Embedding, for tables of which a batch reads a small part.
func (t *Tape) LookUp(table *Var, l Lookup) *Var {
	y := t.newVar(l.Rows, table.Value.Cols, table)
	t.B.EmbeddingSum(y.Value, table.Value, l.Idx, l.Fields)
	return t.record(y, []*Var{table}, nil, func() {
		if rows := t.grads.Rows(table.entry); !rows.IsNil() {
			t.B.Aggregate(gpu.Aggregate{CSR: l.T, H: y.grad, Out: rows, Accumulate: true})
			return
		}
		d, acc := t.gradOf(table)
		if !acc {
			t.B.Fill(d.Buf, 0)
		}
		t.B.ScatterRows(d, l.Distinct, l.T, y.grad)
	}, func() {
		t.B.EmbeddingSum(t.newTangent(y), t.tangentOf(table), l.Idx, l.Fields)
	})
}
