package level

import (
	"time"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/tape"
)

// Random streams of the two networks' dropout; a pass uses the streams from here on.
const (
	streamPretrain = 1 << 16
	streamFinetune = 2 << 16
)

// since adds the time since start to a level's account. Queued work is waited for, so that it lands in the right one.
func (s *System) since(start time.Time, account *time.Duration) error {
	err := s.B.Sync()
	*account += time.Since(start)
	return err
}

// PretrainStep takes one step of θ along Σ λ_i ∇L_i over the micro parts of a batch. With last true (the last step before
// Level III) it also keeps what the hypergradient needs: gradients apart, or passes, or θ before the step.
func (s *System) PretrainStep(parts []*batch.Micro, last bool) error {
	start := time.Now()
	n := s.Theta
	s.B.Fill(n.Grad, 0)
	s.B.Fill(s.loss, 0)
	s.B.Copy(s.lambda0, s.Lambda)
	s.parts = parts
	s.pass = tape.Pass{States: n.Running, Batch: true, Update: true, Drop: true, Momentum: n.statMomentum(),
		Dropout: gpu.Key{Seed: s.Opts.Seed, Step: uint32(n.Step), Stream: streamPretrain}}
	if last {
		s.B.Fill(s.headGrad, 0)
		if !s.before.IsNil() {
			s.B.Copy(s.before, n.Value)
		}
		for _, g := range s.objGrad {
			if !g.IsNil() {
				s.B.Fill(g, 0)
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
	n.update(last && s.Opts.Jacobian == Optimizer)
	n.Batches++
	return s.since(start, &s.Elapsed.Pretrain)
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
	t.Start(n.Params.Bind(value), true)
	losses := s.Pre.Forward(t, g, part, s.dPre, s.pass, s.loss)
	if method == Dot {
		for k, i := range group {
			t.Backward(n.Params.BindSplit(s.objGrad[i], s.headGrad), k < len(group)-1, tape.Seed{Loss: losses[k]})
		}
		return
	}
	grads := n.Params.Bind(n.Grad)
	if method == JVP {
		grads = n.Params.BindSplit(s.objGrad[group[0]], n.Grad.Slice(n.Params.EncoderLen(), n.Params.Len()))
		s.keptLoss[g] = losses
	}
	var seeds []tape.Seed
	for k, i := range group {
		seeds = append(seeds, tape.Seed{Loss: losses[k], Scale: s.Lambda.Slice(i, i+1)})
	}
	t.Backward(grads, method == JVP, seeds...)
}

// joinGradients forms the gradient of the weighted sum from the parts that were kept apart, and their Gram matrix.
func (s *System) joinGradients() {
	n := s.Theta
	enc := n.encoder(n.Grad)
	heads := n.Grad.Slice(n.Params.EncoderLen(), n.Params.Len())
	for _, group := range s.Pre.Groups() {
		switch s.Method(len(group)) {
		case Dot:
			for _, i := range group {
				weight := s.Lambda.Slice(i, i+1)
				s.B.Axpy(enc, 1, weight, s.objGrad[i])
				if r := s.headRange[i]; r[1] > r[0] {
					s.B.Axpy(heads.Slice(r[0], r[1]), 1, weight, s.headGrad.Slice(r[0], r[1]))
				}
			}
		case JVP:
			s.B.Axpy(enc, 1, gpu.Buffer{}, s.objGrad[group[0]])
		}
	}
	gs := s.gradients()
	for i := range gs {
		for j := range i + 1 {
			s.B.Dot(s.gram(i, j), 1, gs[i], gs[j], false)
			s.B.Copy(s.gram(j, i), s.gram(i, j))
		}
	}
}

// gram is the entry (i, j) of the Gram matrix.
func (s *System) gram(i, j int) gpu.Buffer {
	n := len(s.gradients())
	return s.cosine.Slice(i*n+j, i*n+j+1)
}

// gradients lists the encoder gradients that are kept apart: one for each objective, or for each group that shares a pass.
func (s *System) gradients() []gpu.Buffer {
	var gs []gpu.Buffer
	for _, g := range s.objGrad {
		if !g.IsNil() {
			gs = append(gs, g)
		}
	}
	return gs
}

// GradientNames names the gradients whose cosines are logged: objectives, or several joined by "+" that share a pass.
func (s *System) GradientNames() []string {
	groupOf := map[int][]int{}
	for _, g := range s.Pre.Groups() {
		groupOf[g[0]] = g
	}
	var names []string
	for i, buf := range s.objGrad {
		if buf.IsNil() {
			continue
		}
		name := s.Pre.Names()[i]
		if g := groupOf[i]; len(g) > 1 && s.Method(len(g)) == JVP {
			for _, j := range g[1:] {
				name += "+" + s.Pre.Names()[j]
			}
		}
		names = append(names, name)
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
