package level

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/train/optim"
)

// Options configure the three levels.
type Options struct {
	Pretrain, Finetune, Reweight optim.Config
	PretrainSteps, FinetuneSteps int     // updates that the schedules of the lower levels span
	ReweightSteps                int     // updates of the logits
	Micro                        int     // parts of a pretraining batch, 1 without gradient accumulation
	Gamma                        float64 // coefficient of the proximal term, a plain sum of squares
	ValidProx                    bool    // whether Level III's loss has the proximal term too, as in the reference implementation
	Mode                         Mode
	Jacobian                     Jacobian
	Terms                        int     // of neumann and cg
	Radius                       float64 // length of the perturbation of finite differences
	Cosines                      bool    // whether Compare will be asked for
	Rows                         int     // iterations whose numbers are kept on the device until Read, at least 1
	Seed                         uint64
	Blank                        bool // whether parameters stay zero: for a plan, or where a saved state follows
}

// System is the state of the three levels on one device. It is driven by one goroutine.
type System struct {
	B    gpu.Backend
	Opts Options
	Pre  Pretraining
	Fin  Finetuning

	Theta, Omega, Logits *Network
	Lambda               gpu.Buffer // (K)

	arena    *gpu.Arena
	work     *tape.Tape
	kept     map[int]*tape.Tape   // groups whose pass is kept for a tangent
	keptLoss map[int][]*tape.Loss // and their losses
	parts    []*batch.Micro       // of the last pretraining step
	pass     tape.Pass            // of the last pretraining step
	dPre     *batch.Device
	dFin     *batch.Device
	dVal     *batch.Device

	compare   bool         // the next last step keeps all gradients apart and compares them
	objGrad   []gradient   // per objective or jvp group: of the encoder
	headGrad  gpu.Buffer   // unweighted gradients of the heads
	headRange [][2]int     // of each objective within the heads' part
	before    gpu.Buffer   // θ before its step, for passes kept and finite differences
	direction gpu.Buffer   // (θ) what h_i is the derivative along
	valGrad   gpu.Buffer   // (ω)
	valHeld   *batch.Micro // the validation batch on the device
	sparse    *sparse      // nil where all gradients are whole; otherwise valGrad and direction are nil
	solve     []gpu.Buffer // (ω) vectors of the solvers
	finParts  []*batch.Micro
	finHeld   *batch.Micro // of them, the one on the device
	finPass   tape.Pass

	retraining bool
	late       *late // nil where no steps are put off

	scratch gpu.Buffer // (4)
	scalars gpu.Buffer // (Options.Rows, …) numbers of the iterations since the last Read
	rows    []iteration
	marks   int // in use since the last Read
	numbers     // of the iteration under way
}

// New allocates the system's vectors and fills in the starting values. The encoder of the finetuning network starts as a
// copy of the pretraining one's.
func New(b gpu.Backend, pre Pretraining, fin Finetuning, o Options) (*System, error) {
	enc := pre.Params().EncoderLen()
	if n := fin.Params().EncoderLen(); n != enc {
		return nil, fmt.Errorf("the encoders of pretraining (%d) and finetuning (%d parameters) differ", enc, n)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Rows = max(o.Rows, 1)
	s := &System{B: b, Opts: o, Pre: pre, Fin: fin, kept: map[int]*tape.Tape{}, keptLoss: map[int][]*tape.Loss{},
		dPre: batch.NewDevice(b), dFin: batch.NewDevice(b), dVal: batch.NewDevice(b)}
	k := len(pre.Names())
	logits := param.NewTable()
	logits.Vector("logits", k, param.Zeros, 0)
	var err error
	if s.arena, err = gpu.NewArena(b, 0, b.Info().FloatBytes); err != nil {
		return nil, err
	}
	s.work = tape.New(b, s.arena)
	if s.Logits, err = newNetwork(b, logits, param.NewTable(), o.Reweight, o.ReweightSteps, gpu.Buffer{}); err != nil {
		return nil, err
	}
	var grad gpu.Buffer
	if s.sparse = findSparse(pre, fin, o); s.sparse != nil { // ω's is whole only in retraining, when θ moves no more
		if grad, err = s.Logits.alloc(max(pre.Params().Len(), fin.Params().Len())); err != nil {
			return nil, err
		}
	}
	if s.Theta, err = newNetwork(b, pre.Params(), pre.States(), o.Pretrain, o.PretrainSteps, grad); err != nil {
		return nil, err
	}
	if s.Omega, err = newNetwork(b, fin.Params(), fin.States(), o.Finetune, o.FinetuneSteps, grad); err != nil {
		return nil, err
	}
	if !o.Blank { // first, while there is room for what it takes on the host
		if err := errors.Join(Initialize(b, pre, pre.Params(), 0, o.Seed, s.Theta.Value), Initialize(b, fin, fin.Params(), enc, o.Seed, s.Omega.Value)); err != nil {
			return nil, err
		}
		b.Copy(s.Omega.encoder(s.Omega.Value), s.Theta.encoder(s.Theta.Value))
	}
	if err := s.allocate(); err != nil {
		return nil, err
	}
	s.Begin()
	b.Softmax(s.Lambda, s.logits())
	return s, b.Sync()
}

func (o Options) check() error {
	if !(o.Gamma >= 0) || math.IsInf(o.Gamma, 0) {
		return fmt.Errorf("gamma %g: the coefficient of the proximal term must be 0 or positive", o.Gamma)
	}
	if o.Reweight.WeightDecay != 0 {
		return errors.New("reweight: weight decay would pull the weights back to uniform; leave it at 0")
	}
	return nil
}

func (s *System) allocate() error {
	k, enc := len(s.Pre.Names()), s.Pre.Params().EncoderLen()
	theta, omega := s.Pre.Params().Len(), s.Fin.Params().Len()
	alloc := func(n int) (buf gpu.Buffer, err error) { return s.Logits.alloc(n) }
	get := func(dst *gpu.Buffer, n int) (err error) {
		*dst, err = alloc(max(n, 1))
		return err
	}
	s.objGrad = make([]gradient, k)
	old := s.Opts.Mode == FD // whether θ before its step is needed
	parts := 0
	for _, g := range s.Pre.Groups() {
		method := s.Method(len(g))
		old = old || method == JVP
		for j, i := range g {
			if s.Opts.Cosines && s.Opts.Mode.chooses() || method == Dot || j == 0 && method == JVP {
				parts++
				if s.sparse != nil {
					continue
				}
				if err := get(&s.objGrad[i].vec, enc); err != nil {
					return err
				}
			}
		}
	}
	grams := 0
	if s.Opts.Cosines {
		grams = parts * parts
	}
	err := errors.Join(
		get(&s.headGrad, theta-enc), get(&s.Lambda, k),
		get(&s.scalars, s.Opts.Rows*(4*k+4+grams)), get(&s.scratch, 4), s.allocateLate())
	if old {
		err = errors.Join(err, get(&s.before, theta))
	}
	switch {
	case s.sparse != nil:
		err = errors.Join(err, s.allocateSparse(get))
	case s.turns():
		err = errors.Join(err, get(&s.valGrad, max(theta, omega)))
	default:
		err = errors.Join(err, get(&s.valGrad, omega), get(&s.direction, theta))
	}
	if s.Opts.Mode.solves() {
		s.solve = make([]gpu.Buffer, 5)
		for i := range s.solve {
			err = errors.Join(err, get(&s.solve[i], omega))
		}
	}
	if err != nil {
		return err
	}
	if s.sparse == nil && s.turns() {
		s.direction, s.valGrad = s.valGrad.Slice(0, theta), s.valGrad.Slice(0, omega)
	}
	for _, name := range s.Pre.Names() {
		r := [2]int{theta, enc}
		for _, e := range s.Pre.Params().Entries() {
			if strings.HasPrefix(e.Name, "heads."+name+".") {
				r[0], r[1] = min(r[0], e.Offset), max(r[1], e.Offset+e.Len())
			}
		}
		if r[0] > r[1] {
			r = [2]int{enc, enc}
		}
		s.headRange = append(s.headRange, [2]int{r[0] - enc, r[1] - enc})
	}
	return nil
}

// turns reports whether the gradient of the validation loss is turned into the direction of the h_i where it lies. The reference's
// way and solvers need both.
func (s *System) turns() bool { return s.Opts.Mode != Darts && !s.Opts.Mode.solves() }

// logits returns the K logits without padding.
func (s *System) logits() gpu.Buffer { return s.Logits.Value.Slice(0, len(s.Pre.Names())) }

// SetLogits fixes the logits and with them λ.
func (s *System) SetLogits(a []float64) {
	s.B.Upload(s.logits(), a)
	s.B.Softmax(s.Lambda, s.logits())
}

// RefreshLambda recomputes λ from the logits, after they were loaded.
func (s *System) RefreshLambda() { s.B.Softmax(s.Lambda, s.logits()) }

// ArenaPeakBytes returns the most memory that activations took.
func (s *System) ArenaPeakBytes() int64 { return s.arena.PeakBytes() }

// Close frees the device memory.
func (s *System) Close() {
	s.work.Release()
	for _, t := range s.kept {
		t.Release()
	}
	for _, n := range []*Network{s.Theta, s.Omega, s.Logits} {
		n.close()
	}
	s.dPre.Close()
	s.dFin.Close()
	s.dVal.Close()
	s.arena.Close()
}
