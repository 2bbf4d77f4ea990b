package level

import (
	"math"
	"math/rand/v2"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/tape"
)

// counters are a network's place in its schedules.
type counters struct{ step, batches int }

// Snapshot is a copy of the system's state on the device.
type Snapshot struct {
	vectors []gpu.Buffer
	counts  [3]counters
}

// state lists the vectors that make up the state, in a fixed order.
func (s *System) state() []gpu.Buffer {
	var bufs []gpu.Buffer
	for _, n := range []*Network{s.Theta, s.Omega, s.Logits} {
		for _, v := range n.Vectors() {
			bufs = append(bufs, v.Buf)
		}
	}
	return bufs
}

// StateBytes returns the device memory of a Snapshot.
func (s *System) StateBytes() int64 {
	n := 0
	for _, v := range s.state() {
		n += v.Len()
	}
	return int64(n * s.B.Info().FloatBytes)
}

// Save copies the state into snap, allocating it when nil.
func (s *System) Save(snap *Snapshot) (*Snapshot, error) {
	s.Settle()
	vectors := s.state()
	if snap == nil {
		snap = &Snapshot{}
		for _, v := range vectors {
			buf, err := s.Logits.alloc(v.Len())
			if err != nil {
				return nil, err
			}
			snap.vectors = append(snap.vectors, buf)
		}
	}
	for i, v := range vectors {
		s.B.Copy(snap.vectors[i], v)
	}
	for i, n := range []*Network{s.Theta, s.Omega, s.Logits} {
		snap.counts[i] = counters{n.Step, n.Batches}
	}
	return snap, nil
}

// Restore brings a saved state back.
func (s *System) Restore(snap *Snapshot) {
	s.Settle()
	for i, v := range s.state() {
		s.B.Copy(v, snap.vectors[i])
	}
	for i, n := range []*Network{s.Theta, s.Omega, s.Logits} {
		n.Step, n.Batches = snap.counts[i].step, snap.counts[i].batches
	}
	s.B.Softmax(s.Lambda, s.logits())
}

// Proof compares the hypergradient of one objective's logit with differences of the whole iteration.
type Proof struct {
	Objective string  `json:"objective"`
	Computed  float64 `json:"computed"`
	Measured  float64 `json:"measured"`
}

// Prove checks the hypergradient without any freedom: it perturbs each logit, redoes the pretraining step and the
// finetuning step from the saved state with the same batches and masks, evaluates the validation loss and takes
// central differences. The state is left as it was. On the float64 backend the two columns agree to rounding.
func (s *System) Prove(pre, fin []*batch.Micro, val *batch.Micro) ([]Proof, error) {
	snap, err := s.Save(nil)
	if err != nil {
		return nil, err
	}
	if err := s.PretrainStep(pre, val); err != nil {
		return nil, err
	}
	if err := s.FinetuneStep(fin, val); err != nil {
		return nil, err
	}
	if err := s.ValidationStep(val); err != nil {
		return nil, err
	}
	if err := s.Hypergradient(); err != nil {
		return nil, err
	}
	rows, err := s.Read()
	if err != nil {
		return nil, err
	}
	scalars := rows[0]
	s.Restore(snap)
	k := len(s.Pre.Names())
	a := make([]float64, k)
	if err := s.B.Download(a, s.logits()); err != nil {
		return nil, err
	}
	var out []Proof
	for i, name := range s.Pre.Names() {
		measured, err := derivative([3]float64{1e-2, 1e-3, 1e-4}, func(d float64) (float64, error) {
			moved := append([]float64(nil), a...)
			moved[i] += d
			s.SetLogits(moved)
			if err := s.PretrainStep(pre, nil); err != nil {
				return 0, err
			}
			if err := s.FinetuneStep(fin, nil); err != nil {
				return 0, err
			}
			loss, err := s.ValidationLoss(val)
			s.Restore(snap)
			return loss, err
		})
		if err != nil {
			return nil, err
		}
		out = append(out, Proof{name, scalars.Hypergradient[i], measured})
	}
	return out, nil
}

// derivative returns f'(0) by fourth-order central differences. Large steps run into kinks of ReLU and truncation, small ones
// into rounding: of three steps the two that agree best are believed.
func derivative(steps [3]float64, f func(d float64) (float64, error)) (float64, error) {
	var d4 []float64
	for _, d := range steps {
		var v [4]float64
		for j, x := range []float64{d, -d, 2 * d, -2 * d} {
			var err error
			if v[j], err = f(x); err != nil {
				return 0, err
			}
		}
		d4 = append(d4, (8*(v[0]-v[1])-(v[2]-v[3]))/(12*d))
	}
	if math.Abs(d4[0]-d4[1]) < math.Abs(d4[1]-d4[2]) {
		return d4[1], nil
	}
	return d4[2], nil
}

// RelativeError returns the error of the worst row against the largest hypergradient among them.
func RelativeError(rows []Proof) float64 {
	scale, worst := 0.0, 0.0
	for _, r := range rows {
		scale = math.Max(scale, math.Abs(r.Measured))
		if d := math.Abs(r.Computed - r.Measured); !(d <= worst) {
			worst = d
		}
	}
	if scale == 0 {
		return worst
	}
	return worst / scale
}

// gradientSteps suit losses and slopes of order one along a unit direction.
var gradientSteps = [3]float64{1e-4, 1e-5, 1e-6}

// ProveGradients compares the gradient of every objective and of the finetuning loss with central differences along a
// random unit direction over all parameters, on the given batches. Nothing is updated. The parameters are moved a little first:
// while biases are 0, a channel without spread stands on the very kink of ReLU, where no difference is a derivative.
func (s *System) ProveGradients(pre, fin []*batch.Micro, seed uint64) ([]Proof, error) {
	rng := rand.New(rand.NewPCG(seed, 0x67726164))
	s.parts, s.finParts = pre, fin
	s.pass = tape.Pass{States: s.Theta.Running, Batch: true, Drop: true, Dropout: gpu.Key{Seed: s.Opts.Seed, Stream: streamPretrain}}
	if err := s.dPre.Upload(&pre[0].Host); err != nil {
		return nil, err
	}
	direction := func(n *Network) (gpu.Buffer, error) {
		v := make([]float64, n.Params.Len())
		length := math.Sqrt(float64(n.Params.Count()))
		for _, e := range n.Params.Entries() {
			for i := range e.Rows {
				for j := range e.Cols {
					v[e.Offset+i*e.LD+j] = rng.NormFloat64() / length
				}
			}
		}
		buf, err := n.alloc(len(v))
		if err == nil {
			s.B.Upload(buf, v)
		}
		return buf, err
	}
	snap, err := s.Save(nil)
	if err != nil {
		return nil, err
	}
	defer s.Restore(snap)
	for _, n := range []*Network{s.Theta, s.Omega} {
		off, err := direction(n)
		if err != nil {
			return nil, err
		}
		s.B.Axpy(n.Value, 0.1, gpu.Buffer{}, off)
	}
	var out []Proof

	w, err := direction(s.Theta)
	if err != nil {
		return nil, err
	}
	k := len(s.Pre.Names())
	values := s.arena.Alloc(k)
	defer s.arena.Free(values)
	measured := make([]float64, k)
	for i := range measured {
		if measured[i], err = derivative(gradientSteps, func(d float64) (float64, error) {
			if err := s.perturbed(s.Theta.Value, d, gpu.Buffer{}, w, values); err != nil {
				return 0, err
			}
			losses := make([]float64, k)
			err := s.B.Download(losses, values)
			return losses[i], err
		}); err != nil {
			return nil, err
		}
	}
	computed := make([]float64, k)
	for g, group := range s.Pre.Groups() {
		for i, obj := range group {
			for _, part := range pre {
				if err := s.dPre.Upload(&part.Host); err != nil {
					return nil, err
				}
				s.B.Fill(s.Theta.Grad, 0)
				s.B.Fill(s.loss, 0)
				s.work.Start(s.Theta.Params.Bind(s.Theta.Value), true)
				losses := s.Pre.Forward(s.work, g, part, s.dPre, s.pass, s.loss)
				s.work.Backward(s.Theta.Params.Bind(s.Theta.Grad), false, tape.Seed{Loss: losses[i]})
				slope, err := s.inner(s.Theta.Grad, w)
				if err != nil {
					return nil, err
				}
				computed[obj] += slope
			}
		}
	}
	for i, name := range s.Pre.Names() {
		out = append(out, Proof{name, computed[i], measured[i]})
	}

	u, err := direction(s.Omega)
	if err != nil {
		return nil, err
	}
	pass := tape.Pass{States: s.Omega.Running, Batch: true, Drop: true, Dropout: gpu.Key{Seed: s.Opts.Seed, Stream: streamFinetune}}
	at := s.arena.Alloc(s.Omega.Value.Len())
	defer s.arena.Free(at)
	loss := func(d float64) (float64, error) {
		s.B.Perturb(at, s.Omega.Value, d, gpu.Buffer{}, u)
		s.B.Fill(s.ftLoss, 0)
		if err := s.finetuneGradient(at, s.Omega.Grad, s.ftLoss, pass); err != nil {
			return 0, err
		}
		return s.FinetuneLoss()
	}
	task, err := derivative(gradientSteps, loss)
	if err != nil {
		return nil, err
	}
	if _, err := loss(0); err != nil { // leaves the gradient
		return nil, err
	}
	slope, err := s.inner(s.Omega.Grad, u)
	return append(out, Proof{"task", slope, task}), err
}

// inner returns <x,y> on the host.
func (s *System) inner(x, y gpu.Buffer) (float64, error) {
	out := s.scratch.Slice(0, 1)
	s.B.Dot(out, 1, x, y, false)
	var v [1]float64
	err := s.B.Download(v[:], out)
	return v[0], err
}
