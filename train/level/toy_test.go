package level_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/train/level"
	"tapweight/train/optim"
)

// The toy of three nested least-squares problems: every derivative has a closed form.
//
//	L_i(θ) = |X_i θ − y_i|²/n,  L_ft(ω) = |X ω − y|²/n,  L_val(ω) = |Z ω − z|²/n
const (
	toyDim  = 5
	toyRows = 7
	toyLR   = 0.05
	toyG    = 0.4
)

type leastSquares struct {
	x *mat.Dense
	y *mat.VecDense
}

func newLeastSquares(rng *rand.Rand) leastSquares {
	p := leastSquares{mat.NewDense(toyRows, toyDim, nil), mat.NewVecDense(toyRows, nil)}
	for i := range toyRows {
		p.y.SetVec(i, rng.NormFloat64())
		for j := range toyDim {
			p.x.Set(i, j, rng.NormFloat64())
		}
	}
	return p
}

// gradient returns 2Xᵀ(Xw − y)/n.
func (p leastSquares) gradient(w *mat.VecDense) *mat.VecDense {
	var r, g mat.VecDense
	r.MulVec(p.x, w)
	r.SubVec(&r, p.y)
	g.MulVec(p.x.T(), &r)
	g.ScaleVec(2.0/toyRows, &g)
	return &g
}

// packed holds a problem's data in a batch.
type packed struct{ x, y batch.Floats }

func (p leastSquares) pack(h *batch.Host) packed {
	ld := gpu.PadCols(toyDim)
	x := make([]float64, toyRows*ld)
	for i := range toyRows {
		for j := range toyDim {
			x[i*ld+j] = p.x.At(i, j)
		}
	}
	return packed{h.Floats(x), h.Floats(p.y.RawVector().Data)}
}

func lossOf(t *tape.Tape, d *batch.Device, p packed, w *param.Entry, value gpu.Buffer) *tape.Loss {
	x := t.Constant(gpu.MatOf(d.Floats(p.x), toyRows, toyDim, gpu.PadCols(toyDim)))
	return t.ElementLoss(gpu.MSE, t.Linear(x, t.Param(w), nil, gpu.Identity), d.Floats(p.y), gpu.Buffer{}, 1.0/toyRows, value)
}

// toyNet is a network of one weight vector; it serves as either lower level.
type toyNet struct {
	params, states *param.Table
	w              *param.Entry
	names          []string
}

func newToyNet(names ...string) *toyNet {
	n := &toyNet{params: param.NewTable(), states: param.NewTable(), names: names}
	n.w = n.params.Matrix("encoder.w", 1, toyDim, param.Xavier)
	n.params.EndEncoder()
	return n
}

func (n *toyNet) Params() *param.Table { return n.params }
func (n *toyNet) States() *param.Table { return n.states }
func (n *toyNet) Names() []string      { return n.names }
func (n *toyNet) Groups() [][]int      { return [][]int{{0, 1, 2}} }

func (n *toyNet) Initial(seed uint64, e *param.Entry, values []float64) error {
	e.Initial(seed, values)
	return nil
}

func (n *toyNet) Forward(t *tape.Tape, _ int, part *batch.Micro, d *batch.Device, _ tape.Pass, value gpu.Buffer) []*tape.Loss {
	var ls []*tape.Loss
	for i, p := range part.Detail.([]packed) {
		ls = append(ls, lossOf(t, d, p, n.w, value.Slice(i, i+1)))
	}
	return ls
}

func (n *toyNet) Loss(t *tape.Tape, part *batch.Micro, d *batch.Device, _ tape.Pass, value gpu.Buffer) *tape.Loss {
	return lossOf(t, d, part.Detail.([]packed)[0], n.w, value)
}

// TestToyModes holds every mode against its closed form.
func TestToyModes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	problems := []leastSquares{newLeastSquares(rng), newLeastSquares(rng), newLeastSquares(rng), newLeastSquares(rng), newLeastSquares(rng)}
	micro := func(ps ...leastSquares) *batch.Micro {
		m := &batch.Micro{}
		var detail []packed
		for _, p := range ps {
			detail = append(detail, p.pack(&m.Host))
		}
		m.Detail = detail
		return m
	}
	vector := func(b gpu.Backend, buf gpu.Buffer) *mat.VecDense {
		v := make([]float64, buf.Len())
		if err := b.Download(v, buf); err != nil {
			t.Fatal(err)
		}
		return mat.NewVecDense(toyDim, v[:toyDim])
	}
	for _, c := range []struct {
		mode     level.Mode
		terms    int
		jacobian level.Jacobian
		tol      float64
	}{
		{level.Exact, 0, level.Optimizer, 1e-12}, {level.Dot, 0, level.Optimizer, 1e-12}, {level.JVP, 0, level.Identity, 1e-12},
		{level.Dot, 0, level.Identity, 1e-12}, {level.FD, 0, level.Optimizer, 1e-9}, {level.Darts, 0, level.Identity, 1e-9},
		{level.CG, toyDim, level.Identity, 1e-6}, {level.Neumann, 2000, level.Identity, 1e-6},
	} {
		t.Run(c.mode.String()+"/"+c.jacobian.String(), func(t *testing.T) {
			b := ref.Open()
			opt := optim.Default(gpu.SGD, toyLR)
			opt.Momentum = 0
			sys, err := level.New(b, newToyNet("a", "b", "c"), newToyNet(), level.Options{Pretrain: opt, Finetune: opt, Reweight: opt, Micro: 1, Gamma: toyG,
				Mode: c.mode, Jacobian: c.jacobian, Terms: c.terms, Radius: 1e-3, Seed: 5})
			if err != nil {
				t.Fatal(err)
			}
			defer sys.Close()
			sys.SetLogits([]float64{0.1, -0.2, 0.3})
			theta := vector(b, sys.Theta.Value)
			val := micro(problems[4])
			for _, err := range []error{sys.PretrainStep([]*batch.Micro{micro(problems[:3]...)}, val), sys.FinetuneStep([]*batch.Micro{micro(problems[3])}, val),
				sys.ValidationStep(val), sys.Hypergradient()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			rows, err := sys.Read()
			if err != nil {
				t.Fatal(err)
			}
			r := rows[0]
			after, v := vector(b, sys.Theta.Value), problems[4].gradient(vector(b, sys.Omega.Value))
			scale, at := -2*toyG, theta // the identity form: h_i = −2γ⟨v,∇L_i(θ)⟩
			switch {
			case c.jacobian == level.Optimizer:
				scale *= toyLR * toyLR
			case c.mode == level.Darts:
				at = after
			case c.mode == level.CG || c.mode == level.Neumann:
				a := mat.NewDense(toyDim, toyDim, nil)
				a.Mul(problems[3].x.T(), problems[3].x)
				a.Scale(2.0/toyRows, a)
				for i := range toyDim {
					a.Set(i, i, a.At(i, i)+2*toyG)
				}
				var q mat.VecDense
				if err := q.SolveVec(a, v); err != nil {
					t.Fatal(err)
				}
				v = &q
				if !(r.Residual <= 1e-5) {
					t.Errorf("residual %g", r.Residual)
				}
			}
			want := make([]float64, 3)
			largest := 0.0
			for i := range want {
				want[i] = scale * mat.Dot(v, problems[i].gradient(at))
				largest = math.Max(largest, math.Abs(want[i]))
			}
			agrees := func(w []float64) bool {
				for i := range w {
					if !(math.Abs(r.H[i]-w[i]) <= c.tol*largest) {
						return false
					}
				}
				return true
			}
			if !agrees(want) {
				t.Errorf("h = %v, closed form %v", r.H, want)
			}
			// What public codes have shipped instead must not pass.
			for name, mutant := range map[string]func(h float64, i int) float64{
				"/2*eps for /(2*eps)":    func(h float64, _ int) float64 { return h * 1e-3 * 1e-3 },
				"sign flipped":           func(h float64, _ int) float64 { return -h },
				"proximal factor 2 lost": func(h float64, _ int) float64 { return h / 2 },
				"proximal term dropped":  func(float64, int) float64 { return 0 },
				"objectives shifted":     func(_ float64, i int) float64 { return want[(i+1)%3] },
			} {
				wrong := make([]float64, 3)
				for i, h := range want {
					wrong[i] = mutant(h, i)
				}
				if agrees(wrong) {
					t.Errorf("the mutant %q passes", name)
				}
			}
		})
	}
}
