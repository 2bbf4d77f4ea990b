package level

import (
	"tapweight/gpu"
	"tapweight/train/hypergrad"
)

// ReweightStep computes the hypergradient of the last pretraining, finetuning and validation steps and moves the logits.
//
// The derivative of the steps actually taken. Let v = ∇_ω L_val(ω'), and let an optimiser map a gradient g to new parameters
// with Jacobian J = dω'/dg (diagonal, see gpu.Update, times a rank-one term where clipping was active; Network.pullBack):
//
//	x       = J_ωᵀ v                      through the update of ω
//	y       = −2γ x_enc                   d(2γ(ω−θ'))/dθ' = −2γI on the encoder: exact, no second pass;
//	                                      plus 2γ(θ'−ω')_enc where the validation loss has the proximal term too
//	w       = J_θᵀ (y, 0)                 through the update of θ; heads take part through clipping only
//	h_i     = dL_val/dλ_i = ⟨∇L_i(θ), w⟩  since the gradient of θ's step is Σ λ_i ∇L_i(θ)
//	da_i    = λ_i (h_i − Σ_j λ_j h_j)     through the softmax
//
// With the identity Jacobian J = −I this is the paper's form, u = 2γv and h_i = −⟨∇L_i, u⟩.
func (s *System) ReweightStep() error {
	defer s.start(timeHypergradient)()
	if err := s.Hypergradient(); err != nil {
		return err
	}
	n := s.Logits
	s.B.Copy(n.Grad.Slice(0, s.da.Len()), s.da)
	n.update(false)
	s.B.Softmax(s.Lambda, s.logits())
	return nil
}

// Hypergradient leaves dL_val/dλ and dL_val/da without moving anything.
func (s *System) Hypergradient() error {
	s.B.Fill(s.h, 0)
	if s.Opts.Gamma > 0 { // without the proximal term the levels are not connected and h is 0
		var err error
		switch {
		case s.sparse != nil:
			s.sparseChain()
		case s.Opts.Mode == Darts:
			err = s.darts()
		default:
			err = s.chain()
		}
		if err != nil {
			return err
		}
	}
	s.valHeld = nil
	s.releaseKept()
	for _, t := range s.kept {
		t.Release()
	}
	s.B.SoftmaxGrad(s.da, s.lambda0, s.h)
	return nil
}

// chain computes w and the h_i.
func (s *System) chain() error {
	b, opt := s.B, s.Opts.Jacobian == Optimizer
	x := s.valGrad
	sign := 1.0 // of d(stationary point)/dθ against J·d(gradient)/dθ
	switch {
	case s.Opts.Mode.solves():
		q, err := s.inverse(x)
		if err != nil {
			return err
		}
		x, sign = q, -1
	case opt:
		s.Omega.pullBack(x, s.scratch)
	default:
		sign = -1
	}
	w := s.direction
	enc := s.Theta.encoder(w)
	if s.turns() {
		b.Scale(enc, -2*s.Opts.Gamma*sign, gpu.Buffer{})
		b.Fill(w.Slice(enc.Len(), w.Len()), 0)
	} else {
		b.Fill(w, 0)
		b.Axpy(enc, -2*s.Opts.Gamma*sign, gpu.Buffer{}, s.Omega.encoder(x))
	}
	if s.Opts.ValidProx { // what the validation loss takes from θ' itself, 2γ(θ'−ω')
		b.Prox(enc, s.Theta.encoder(s.Theta.Value), s.Omega.encoder(s.Omega.Value), s.Opts.Gamma, gpu.Buffer{})
	}
	if opt {
		s.Theta.pullBack(w, s.scratch)
	} else {
		b.Scale(w, -1, gpu.Buffer{})
	}
	if s.Opts.Mode == FD {
		return s.differences(s.before, w)
	}
	s.derivatives(w)
	return nil
}

// derivatives adds ⟨∇L_i, w⟩ to h_i, from the gradients kept apart or by a tangent sweep over the passes kept.
func (s *System) derivatives(w gpu.Buffer) {
	n := s.Theta
	enc, all := n.Params.EncoderLen(), n.Params.Len()
	if s.allApart() {
		s.B.Dots(s.h, 1, s.whole(), w.Slice(0, enc))
	}
	for g, group := range s.Pre.Groups() {
		if s.Method(len(group)) == JVP {
			direction := n.Params.BindSplit(w.Slice(0, enc), gpu.Buffer{})
			if n.clips { // only then is w other than zero on the heads
				direction = n.Params.Bind(w)
			}
			var out []gpu.Buffer
			for _, i := range group {
				out = append(out, s.h.Slice(i, i+1))
			}
			s.kept[g].Tangent(direction, 1, s.keptLoss[g], out)
			continue
		}
		for _, i := range group {
			h := s.h.Slice(i, i+1)
			if !s.allApart() {
				s.B.Dot(h, 1, s.objGrad[i].vec, w.Slice(0, enc), true)
			}
			if r := s.headRange[i]; n.clips && r[1] > r[0] {
				s.B.Dot(h, 1, s.headGrad.Slice(r[0], r[1]), w.Slice(enc, all).Slice(r[0], r[1]), true)
			}
		}
	}
}

// whole returns the gradients of all objectives, none of which is kept by rows.
func (s *System) whole() []gpu.Buffer {
	var all []gpu.Buffer
	for _, g := range s.objGrad {
		all = append(all, g.vec)
	}
	return all
}

// step leaves the step ε of a central difference along x with |εx| = Radius, and 1/2ε, on the device.
func (s *System) step(x gpu.Buffer) (eps, inverse gpu.Buffer) {
	norm2, out := s.scratch.Slice(0, 1), s.scratch.Slice(1, 3)
	s.B.Dot(norm2, 1, x, x, false)
	s.B.StepSize(out, norm2, s.Opts.Radius)
	return out.Slice(0, 1), out.Slice(1, 2)
}

// differences sets h_i to the central difference of L_i along w at base: (L_i(base+εw) − L_i(base−εw))/2ε, |εw| = Radius.
func (s *System) differences(base, w gpu.Buffer) error {
	minus := s.arena.Alloc(len(s.Pre.Names()))
	defer s.arena.Free(minus)
	eps, inverse := s.step(w)
	if err := s.perturbed(base, -1, eps, w, minus); err != nil {
		return err
	}
	if err := s.perturbed(base, 1, eps, w, s.h); err != nil {
		return err
	}
	s.B.Axpy(s.h, -1, gpu.Buffer{}, minus)
	s.B.Scale(s.h, 1, inverse)
	return nil
}

// perturbed leaves the losses at base + c*eps*w in out; the point is written to a second vector: base itself stays as it is.
func (s *System) perturbed(base gpu.Buffer, c float64, eps, w, out gpu.Buffer) error {
	at := s.arena.Alloc(base.Len())
	defer s.arena.Free(at)
	s.B.Perturb(at, base, c, eps, w)
	return s.losses(at, out)
}

// darts is what the reference implementation does, literally (ruz048/TapWeight, betty's darts): a finite-difference pair
// for the mixed second derivative of the finetuning loss at ω' and one for the losses at θ', both after their steps, with
// the identity for every inverse Hessian and no learning rate. Its dropout masks are ours: equal in both passes of a pair.
func (s *System) darts() error {
	b, v := s.B, s.valGrad
	eps, inverse := s.step(v)
	enc := s.Theta.Params.EncoderLen()
	u := s.direction
	b.Fill(u, 0)
	p, g := s.arena.Alloc(enc), s.arena.Alloc(enc)
	for _, side := range []float64{1, -1} {
		// ∇_θ of γ|ω−θ|² at ω' ± εv; the finetuning loss itself does not depend on θ.
		b.Perturb(p, s.Omega.encoder(s.Omega.Value), side, eps, s.Omega.encoder(v))
		b.Fill(g, 0)
		b.Prox(g, s.Theta.encoder(s.Theta.Value), p, s.Opts.Gamma, gpu.Buffer{})
		b.Axpy(s.Theta.encoder(u), side, gpu.Buffer{}, g)
	}
	s.arena.Free(p)
	s.arena.Free(g)
	b.Scale(u, 1, inverse)
	if s.Opts.ValidProx {
		b.Prox(s.Theta.encoder(u), s.Omega.encoder(s.Omega.Value), s.Theta.encoder(s.Theta.Value), s.Opts.Gamma, gpu.Buffer{})
	}
	return s.differences(s.Theta.Value, u) // h_i = −⟨∇L_i, −u⟩
}

// inverse returns q ≈ (∇²L_ft + 2γI_enc)⁻¹ v at ω' on the last finetuning batch, Hessian-vector products by central
// differences of gradients with the same masks.
func (s *System) inverse(v gpu.Buffer) (gpu.Buffer, error) {
	b, n := s.B, s.Omega
	pass := s.finPass
	pass.Update = false
	at := s.arena.Alloc(v.Len())
	side := s.arena.Alloc(v.Len())
	ignored := s.arena.Alloc(1)
	defer func() {
		s.arena.Free(at)
		s.arena.Free(side)
		s.arena.Free(ignored)
	}()
	b.Fill(ignored, 0)
	product := func(dst, x gpu.Buffer) error {
		eps, inverse := s.step(x)
		b.Fill(dst, 0)
		for _, c := range []float64{1, -1} {
			b.Perturb(at, n.Value, c, eps, x)
			if err := s.finetuneGradient(at, side, ignored, pass); err != nil {
				return err
			}
			b.Axpy(dst, c, gpu.Buffer{}, side)
		}
		b.Scale(dst, 1, inverse)
		b.Axpy(n.encoder(dst), 2*s.Opts.Gamma, gpu.Buffer{}, n.encoder(x))
		return nil
	}
	var err error
	if s.Opts.Mode == Neumann {
		err = hypergrad.Neumann(b, product, s.solve[0], v, s.solve[1:], s.Opts.Terms, n.Opt.LR, s.residual)
	} else {
		err = hypergrad.CG(b, product, s.solve[0], v, s.solve[1:], s.Opts.Terms, s.residual)
	}
	return s.solve[0], err
}
