package level

import "tapweight/train/optim"

// BeginRetraining prepares ω for finetuning from the pretrained encoder, without the proximal term: a fresh head, the encoder
// and running statistics of θ, a fresh optimiser with a schedule over total updates.
func (s *System) BeginRetraining(opt optim.Config, total int) error {
	n := s.Omega
	s.SetRetraining(opt, total)
	if err := Initialize(s.B, s.Fin, n.Params, n.Params.EncoderLen(), s.Opts.Seed, n.Value); err != nil {
		return err
	}
	s.B.Copy(n.encoder(n.Value), s.Theta.encoder(s.Theta.Value))
	for _, v := range n.Vectors() {
		if v.Name == "moment" || v.Name == "second" {
			s.B.Fill(v.Buf, 0)
		}
	}
	n.Step, n.Batches = 0, 0
	if k := n.States.EncoderLen(); k > 0 {
		s.B.Copy(n.Running.Slice(0, k), s.Theta.Running.Slice(0, k))
		n.Batches = s.Theta.Batches
	}
	return nil
}

// SetRetraining switches to the settings of retraining without touching the state: for a resumed run.
func (s *System) SetRetraining(opt optim.Config, total int) {
	s.Settle()
	s.retraining, s.Opts.Gamma = true, 0
	s.Omega.Opt, s.Omega.Total = opt, total
	s.Omega.clips = opt.Clip > 0
}

// FinetuneLoss returns the loss of the last finetuning step.
func (s *System) FinetuneLoss() (float64, error) {
	var v [1]float64
	err := s.B.Download(v[:], s.ftLoss)
	return v[0], err
}
