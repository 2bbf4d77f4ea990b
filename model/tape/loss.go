package tape

import "tapweight/gpu"

// Loss is a scalar: a sum of terms. Its value is added to the one-element buffer it was created with.
type Loss struct {
	terms []term
}

// term is a summand of a loss.
type term struct {
	in       []*Var
	saved    []gpu.Buffer                    // freed with the term
	backward func(scale gpu.Buffer)          // adds scale[0] (nil: 1) times its gradient to the inputs' that need one
	tangent  func(c float64, out gpu.Buffer) // out[0] += c times its derivative along the inputs' tangents, not all zero
}

// known is a term whose gradient dx with respect to its prediction x, for unit upstream gradient, is at hand.
func (t *Tape) known(x *Var, dx gpu.Mat) term {
	return term{[]*Var{x}, []gpu.Buffer{dx.Buf}, func(scale gpu.Buffer) {
		g, acc := t.gradOf(x)
		if !acc {
			t.B.ScaleMat(g, dx, 1, scale)
			return
		}
		// A prediction that several terms read: scale a copy, then add.
		tmp := t.A.Mat(g.Rows, g.Cols)
		t.B.ScaleMat(tmp, dx, 1, scale)
		t.B.AddScaled(g, tmp, 1)
		t.A.Free(tmp.Buf)
	}, func(c float64, out gpu.Buffer) {
		t.B.DotMat(out, c, dx, t.tangentOf(x), true)
	}}
}

func (l *Loss) free(t *Tape) {
	for _, term := range l.terms {
		for _, b := range term.saved {
			t.A.Free(b)
		}
	}
	l.terms = nil
}

// loss registers the terms. In a no-grad pass what they saved is dropped at once.
func (t *Tape) loss(terms ...term) *Loss {
	l := &Loss{terms}
	for _, term := range terms {
		check(term.in)
	}
	if t.noGrad {
		l.free(t)
		return l
	}
	t.losses = append(t.losses, l)
	return l
}

// Join makes one loss of several.
func (t *Tape) Join(parts ...*Loss) *Loss {
	l := &Loss{}
	for _, p := range parts {
		l.terms = append(l.terms, p.terms...)
		p.terms = nil
	}
	if !t.noGrad {
		t.losses = append(t.losses, l)
	}
	return l
}

// SoftmaxCE is the cross entropy of logits x (n,K) with targets (n) int32, negative = ignored; weight (n) or nil.
func (t *Tape) SoftmaxCE(x *Var, target, weight gpu.Buffer, scale float64, value gpu.Buffer) *Loss {
	dx := t.A.Mat(x.Value.Rows, x.Value.Cols)
	t.B.SoftmaxCE(gpu.SoftmaxCE{X: x.Value, DX: dx, Target: target, Weight: weight, Scale: scale, Loss: value})
	return t.loss(t.known(x, dx))
}

// ElementLoss is a masked element-wise loss of x (n,K); target and weight (n*K).
func (t *Tape) ElementLoss(kind gpu.LossKind, x *Var, target, weight gpu.Buffer, scale float64, value gpu.Buffer) *Loss {
	dx := t.A.Mat(x.Value.Rows, x.Value.Cols)
	t.B.ElementLoss(gpu.ElementLoss{Kind: kind, X: x.Value, DX: dx, Target: target, Weight: weight, Scale: scale, Loss: value})
	return t.loss(t.known(x, dx))
}

// NTXent is the contrastive loss of similarities s (2B,2B).
func (t *Tape) NTXent(s *Var, scale float64, value gpu.Buffer) *Loss {
	ds := t.A.Mat(s.Value.Rows, s.Value.Cols)
	t.B.NTXent(gpu.NTXent{S: s.Value, DS: ds, Scale: scale, Loss: value})
	return t.loss(t.known(s, ds))
}

// PairDistance is the mean Euclidean distance between rows of a and b.
func (t *Tape) PairDistance(a, b *Var, eps, scale float64, value gpu.Buffer) *Loss {
	da, db := t.A.Mat(a.Value.Rows, a.Value.Cols), t.A.Mat(b.Value.Rows, b.Value.Cols)
	t.B.PairDistance(gpu.PairDistance{A: a.Value, B: b.Value, DA: da, DB: db, Eps: eps, Scale: scale, Loss: value})
	return t.loss(t.known(a, da), t.known(b, db))
}
