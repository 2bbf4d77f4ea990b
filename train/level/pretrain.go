package level

import (
	"errors"
	"slices"
	"sort"
	"strings"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Random streams of the two networks' dropout; a pass uses the streams from here on.
const (
	streamPretrain = 1 << 16
	streamFinetune = 2 << 16
)

// PretrainStep takes one step of θ along Σ λ_i ∇L_i over the micro parts of a batch. The last step before Level III is given the
// batch of the validation step that will follow, all others nil. It also keeps what the hypergradient needs: gradients apart, or
// passes, or θ before the step.
func (s *System) PretrainStep(parts []*batch.Micro, val *batch.Micro) error {
	defer s.start(timePretrain)()
	n, last := s.Theta, val != nil
	s.releaseKept()
	if last && s.Method(1) != FD { // joinGradients writes the encoder's part
		s.B.Fill(n.Grad.Slice(n.Params.EncoderLen(), n.Params.Len()), 0)
	} else {
		s.B.Fill(n.Grad, 0)
	}
	s.B.Fill(s.loss, 0)
	s.B.Copy(s.lambda0, s.Lambda)
	s.parts = parts
	s.pass = tape.Pass{States: n.Running, Batch: true, Update: true, Drop: true, Momentum: n.statMomentum(),
		Dropout: gpu.Key{Seed: s.Opts.Seed, Step: uint32(n.Step), Stream: streamPretrain}}
	if last {
		if s.sparse != nil {
			if err := errors.Join(s.reserve(), s.holdValidation(val)); err != nil {
				return err
			}
		}
		s.B.Fill(s.headGrad, 0)
		if !s.before.IsNil() {
			s.B.Copy(s.before, n.Value)
		}
		for _, g := range s.objGrad {
			if !g.vec.IsNil() {
				s.B.Fill(g.vec, 0)
			}
		}
	}
	for _, part := range parts {
		if err := s.dPre.Upload(&part.Host); err != nil {
			return err
		}
		for g := range s.Pre.Groups() {
			s.pretrainGroup(g, part, last)
		}
	}
	if last {
		s.joinGradients()
	}
	if last && s.sparse != nil {
		s.sparseTheta(val)
	} else {
		n.update(last && s.Opts.Jacobian == Optimizer)
	}
	n.Batches++
	return nil
}

// pretrainGroup runs one group forward and backward.
func (s *System) pretrainGroup(g int, part *batch.Micro, last bool) {
	n, group := s.Theta, s.Pre.Groups()[g]
	method := FD
	if last {
		method = s.Method(len(group))
	}
	t, value := s.work, n.Value
	if method == JVP {
		if s.kept[g] == nil {
			s.kept[g] = tape.New(s.B, s.arena)
		}
		// The sweep comes after θ's step and needs the weights of the pass.
		t, value = s.kept[g], s.before
	}
	var apart []param.Binding // before the pass, so that what is kept does not cut up the arena
	if method == Dot {
		for _, i := range group {
			apart = append(apart, s.bindObjective(g, i, part))
		}
	}
	t.Start(n.Params.Bind(value), true)
	losses := s.Pre.Forward(t, g, part, s.dPre, s.pass, s.loss)
	if method == Dot {
		for k := range group {
			t.Backward(apart[k], k < len(group)-1, tape.Seed{Loss: losses[k]})
		}
		return
	}
	grads := n.Params.Bind(n.Grad)
	if method == JVP {
		grads = n.Params.BindSplit(s.objGrad[group[0]].vec, n.Grad.Slice(n.Params.EncoderLen(), n.Params.Len()))
		s.keptLoss[g] = losses
	}
	var seeds []tape.Seed
	for k, i := range group {
		seeds = append(seeds, tape.Seed{Loss: losses[k], Scale: s.Lambda.Slice(i, i+1)})
	}
	t.Backward(grads, method == JVP, seeds...)
}

// joinGradients forms the gradient of the weighted sum from the parts that were kept apart, and their Gram matrix if it was asked
// for. Where they are kept by rows it leaves the encoder's part to the step.
func (s *System) joinGradients() {
	kinds := s.kinds()
	if len(kinds) == 0 {
		return
	}
	n := s.Theta
	parts := make([]gpu.Buffer, len(kinds))
	for k, of := range kinds {
		parts[k] = s.objGrad[of[0]].vec
	}
	weights := s.Lambda
	if !s.allApart() { // the gradient of a pass is weighted already
		weights = s.arena.Alloc(len(kinds))
		defer s.arena.Free(weights)
		for k, of := range kinds {
			if s.byPass(of[0]) {
				s.B.Fill(weights.Slice(k, k+1), 1)
			} else {
				s.B.Copy(weights.Slice(k, k+1), s.Lambda.Slice(of[0], of[0]+1))
			}
		}
	}
	if s.sparse == nil {
		s.B.Combine(n.encoder(n.Grad), weights, parts, false)
	}
	heads := n.Grad.Slice(n.Params.EncoderLen(), n.Params.Len())
	for i, r := range s.headRange {
		if r[1] > r[0] && !s.byPass(i) {
			s.B.Axpy(heads.Slice(r[0], r[1]), 1, s.Lambda.Slice(i, i+1), s.headGrad.Slice(r[0], r[1]))
		}
	}
	if s.compare {
		s.rows[len(s.rows)-1].gradients = s.GradientNames()
		gram := s.gram.Slice(0, len(kinds)*len(kinds))
		if s.sparse != nil {
			s.sparseCosines(gram)
		} else {
			s.B.Gram(gram, parts)
		}
	}
}

// byPass reports whether the derivative of an objective is taken by sweeping its pass.
func (s *System) byPass(objective int) bool {
	for _, g := range s.Pre.Groups() {
		if slices.Contains(g, objective) {
			return s.Method(len(g)) == JVP
		}
	}
	return false
}

// allApart reports whether the gradient of every objective is kept apart.
func (s *System) allApart() bool {
	return !slices.ContainsFunc(s.Pre.Groups(), func(g []int) bool { return s.Method(len(g)) != Dot })
}

// kinds lists the encoder gradients of the iteration, each by the objectives it belongs to: one, or a group that shares a pass.
func (s *System) kinds() [][]int {
	var all [][]int
	for _, g := range s.Pre.Groups() {
		switch s.Method(len(g)) {
		case Dot:
			for _, i := range g {
				all = append(all, []int{i})
			}
		case JVP:
			all = append(all, g)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i][0] < all[j][0] })
	return all
}

// GradientNames names the gradients that Compare compares: objectives, or several joined by "+" that share a pass.
func (s *System) GradientNames() []string {
	var names []string
	for _, kind := range s.kinds() {
		var parts []string
		for _, i := range kind {
			parts = append(parts, s.Pre.Names()[i])
		}
		names = append(names, strings.Join(parts, "+"))
	}
	return names
}

// losses evaluates every objective at a parameter vector on the last pretraining batch, same masks, no statistics updated.
func (s *System) losses(value gpu.Buffer, out gpu.Buffer) error {
	s.B.Fill(out, 0)
	pass := s.pass
	pass.Update = false
	for _, part := range s.parts {
		if len(s.parts) > 1 {
			if err := s.dPre.Upload(&part.Host); err != nil {
				return err
			}
		}
		for g := range s.Pre.Groups() {
			s.work.Start(s.Theta.Params.Bind(value), false)
			s.Pre.Forward(s.work, g, part, s.dPre, pass, out)
		}
	}
	s.work.Release()
	return nil
}
