package level

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// FinetuneStep takes one step of ω along ∇L_ft + 2γ(ω_enc − θ_enc) over the micro parts of a batch. val is as in PretrainStep.
func (s *System) FinetuneStep(parts []*batch.Micro, val *batch.Micro) error {
	defer s.start(timeFinetune)()
	n, last := s.Omega, val != nil
	s.B.Fill(s.ftLoss, 0)
	s.B.Fill(s.prox, 0)
	s.finParts, s.finHeld = parts, nil
	s.finPass = tape.Pass{States: n.Running, Batch: true, Update: true, Drop: true, Momentum: n.statMomentum(),
		Dropout: gpu.Key{Seed: s.Opts.Seed, Step: uint32(n.Step), Stream: streamFinetune}}
	n.Batches++
	if s.retraining && s.late != nil && len(parts) == 1 && !last {
		return s.lateStep(parts[0])
	}
	s.Settle()
	if s.sparse != nil && !s.retraining {
		return s.sparseOmega(parts, last && s.Opts.Jacobian == Optimizer)
	}
	if err := s.finetuneGradient(n.Value, n.Grad, s.ftLoss, s.finPass); err != nil {
		return err
	}
	if s.Opts.Gamma > 0 {
		s.B.Prox(n.encoder(n.Grad), n.encoder(n.Value), s.Theta.encoder(s.Theta.Value), s.Opts.Gamma, s.prox)
	}
	n.update(last && s.Opts.Jacobian == Optimizer)
	return nil
}

// finetuneGradient overwrites grad with ∇L_ft at value on the last finetuning batch.
func (s *System) finetuneGradient(value, grad, loss gpu.Buffer, pass tape.Pass) error {
	s.B.Fill(grad, 0)
	return s.addFinetuneGradient(value, s.Omega.Params.Bind(grad), loss, pass)
}

// addFinetuneGradient adds ∇L_ft at value on the last finetuning batch to grad.
func (s *System) addFinetuneGradient(value gpu.Buffer, grad param.Binding, loss gpu.Buffer, pass tape.Pass) error {
	for _, part := range s.finParts {
		if err := s.holdFinetune(part); err != nil {
			return err
		}
		s.work.Start(s.Omega.Params.Bind(value), true)
		l := s.Fin.Loss(s.work, part, s.dFin, pass, loss)
		s.work.Backward(grad, false, tape.Seed{Loss: l})
	}
	return nil
}

// holdFinetune has a part of the finetuning batch on the device.
func (s *System) holdFinetune(part *batch.Micro) error {
	if part == s.finHeld {
		return nil
	}
	s.finHeld = part
	return s.dFin.Upload(&part.Host)
}

// validationPass normalises by the validation batch's own statistics, as the reference does: running statistics lag behind ω,
// and what they add to the gradient is that lag. No dropout, nothing is updated.
func (s *System) validationPass() tape.Pass {
	return tape.Pass{States: s.Omega.Running, Batch: true}
}

// ValidationStep leaves the validation loss and its gradient with respect to ω.
func (s *System) ValidationStep(part *batch.Micro) error {
	defer s.start(timeValidation)()
	s.Settle()
	s.B.Fill(s.valLoss, 0)
	if err := s.holdValidation(part); err != nil {
		return err
	}
	if s.sparse != nil {
		return s.sparseValidation(part)
	}
	s.B.Fill(s.valGrad, 0)
	s.validationGradient(part, s.Omega.Params.Bind(s.valGrad))
	if s.Opts.ValidProx {
		s.B.Prox(s.Omega.encoder(s.valGrad), s.Omega.encoder(s.Omega.Value), s.Theta.encoder(s.Theta.Value), s.Opts.Gamma, s.valLoss)
	}
	return nil
}

// validationGradient adds the gradient of the validation loss to a vector.
func (s *System) validationGradient(part *batch.Micro, to param.Binding) {
	s.work.Start(s.Omega.Params.Bind(s.Omega.Value), true)
	l := s.Fin.Loss(s.work, part, s.dVal, s.validationPass(), s.valLoss)
	s.work.Backward(to, false, tape.Seed{Loss: l})
}

// holdValidation has a validation batch on the device.
func (s *System) holdValidation(part *batch.Micro) error {
	if part == s.valHeld {
		return nil
	}
	s.valHeld = part
	return s.dVal.Upload(&part.Host)
}

// ValidationLoss returns the validation loss of the current ω without a gradient.
func (s *System) ValidationLoss(part *batch.Micro) (float64, error) {
	s.Settle()
	s.B.Fill(s.valLoss, 0)
	if err := s.holdValidation(part); err != nil {
		return 0, err
	}
	s.work.Start(s.Omega.Params.Bind(s.Omega.Value), false)
	s.Fin.Loss(s.work, part, s.dVal, s.validationPass(), s.valLoss)
	s.work.Release()
	if s.Opts.ValidProx {
		apart := s.Theta.encoder(s.direction)
		s.B.Perturb(apart, s.Omega.encoder(s.Omega.Value), -1, gpu.Buffer{}, s.Theta.encoder(s.Theta.Value))
		s.B.Dot(s.valLoss, s.Opts.Gamma, apart, apart, true)
	}
	var v [1]float64
	err := s.B.Download(v[:], s.valLoss)
	return v[0], err
}
