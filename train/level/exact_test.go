package level_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/downstream"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/objective"
	"tapweight/model/pretext"
	"tapweight/train/level"
	"tapweight/train/optim"
)

// Small real molecules: rings, chains, a salt, one atom, stereo centers, a bridged ring, and duplicates that compress.
var smiles = []string{
	"CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C", "C[C@H](N)C(=O)O", "O=C(NCCO)c1ccncc1", "[Na+].[Cl-]", "C1CC2CCC1C2",
	"Clc1ccc(cc1)C(c1ccccc1)N1CCN(CC1)CCO", "FC(F)(F)c1ccccc1", "CCCCCCCC", "N#Cc1ccc(Br)cc1",
}

// set featurises the molecules above.
func set(t testing.TB) *molecule.Set {
	t.Helper()
	f, err := molecule.FeaturesByName("hu")
	if err != nil {
		t.Fatal(err)
	}
	s, bad, err := molecule.Open(context.Background(), t.TempDir(), "test", f, func() ([]molecule.Record, error) {
		var r []molecule.Record
		for i, s := range smiles {
			r = append(r, molecule.Record{SMILES: s, Line: i + 1})
		}
		return r, nil
	}, nil)
	if err != nil || len(bad) > 0 {
		t.Fatalf("featurising: %v %v", err, bad)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// labels are arbitrary numbers, one missing.
func labels(n int) [][]float64 {
	var y [][]float64
	for i := range n {
		y = append(y, []float64{math.Sin(float64(3 * i)), math.Cos(float64(i))})
	}
	y[1][0] = math.NaN()
	return y
}

type setup struct {
	conv       gnn.Conv
	norm       gnn.Norm
	readout    gnn.Readout
	objectives []string
	rule       gpu.Rule
	momentum   float64
	clip       float64
	dropout    float64
	micro      int
	compress   bool
	mode       level.Mode
	terms      int
	jacobian   level.Jacobian
	cosines    bool
	validProx  bool
	family     string // of transformers, for texts; "" for molecules
	options    pretext.Options
	lr         float64 // of the lower levels, 0 for what the rule has
}

func standard() setup {
	return setup{objectives: []string{"cluster-100", "mask-atom", "contrast"}, rule: gpu.SGD, momentum: 0.9, micro: 1, compress: true}
}

// problem is a Level I that makes its own batches.
type problem interface {
	level.Pretraining
	Prepare(step uint32, index []int, micro int) ([]*batch.Micro, error)
}

// problems builds levels I and II at a tiny size.
func problems(t testing.TB, c setup) (problem, *downstream.Problem) {
	t.Helper()
	if c.family != "" {
		return textProblems(t, c)
	}
	s := set(t)
	cfg := gnn.Config{Features: s.Features(), Conv: c.conv, Layers: 3, Width: 6, Norm: c.norm, Readout: c.readout, Dropout: c.dropout}
	pre, err := objective.NewProblem(&objective.Pool{Set: s, Seed: 7, Task: labels(s.Len())}, cfg, c.objectives, c.compress)
	if err != nil {
		t.Fatal(err)
	}
	net, err := downstream.NewMolecules(s, cfg, downstream.MLP, c.compress)
	if err != nil {
		t.Fatal(err)
	}
	fin, err := downstream.NewProblem(net, downstream.Labels{Values: labels(s.Len()), Outputs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return pre, fin
}

// system builds the three levels at a tiny size, with two steps done so that moments and statistics are not at their start.
func system(t testing.TB, b gpu.Backend, c setup) (*level.System, problem, *downstream.Problem) {
	t.Helper()
	pre, fin := problems(t, c)
	opt := optim.Default(c.rule, 0.05)
	opt.Momentum, opt.Clip, opt.WeightDecay = c.momentum, c.clip, 0.01
	if c.rule != gpu.SGD {
		opt.LR, opt.Momentum = 0.01, 0
		opt.Eps = 1e-3 // far from the kink of m/(sqrt(v)+eps), where differences would be the inexact side
	}
	if c.lr > 0 {
		opt.LR = c.lr
	}
	sys, err := level.New(b, pre, fin, level.Options{Pretrain: opt, Finetune: opt, Reweight: optim.Default(gpu.Adam, 0.1),
		PretrainSteps: 10, FinetuneSteps: 10, ReweightSteps: 10, Micro: c.micro, Gamma: 0.3, Mode: c.mode, Terms: c.terms,
		Jacobian: c.jacobian, Radius: 1e-4, Cosines: c.cosines, ValidProx: c.validProx, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sys.Close)
	var a []float64
	for i := range c.objectives {
		a = append(a, 0.3*float64(i%3)-0.2)
	}
	sys.SetLogits(a)
	for step := range uint32(2) {
		p, f, _ := batches(t, pre, fin, step, c.micro)
		if err := sys.PretrainStep(p, nil); err != nil {
			t.Fatal(err)
		}
		if err := sys.FinetuneStep(f, nil); err != nil {
			t.Fatal(err)
		}
	}
	return sys, pre, fin
}

func batches(t testing.TB, pre problem, fin *downstream.Problem, step uint32, micro int) (p, f []*batch.Micro, v *batch.Micro) {
	t.Helper()
	p, err := pre.Prepare(step, []int{0, 2, 4, 5, 8, 9, 1, 7}, micro)
	if err != nil {
		t.Fatal(err)
	}
	f, err = fin.Prepare([]int{1, 3, 5, 8, 10, 0}, micro, true)
	if err != nil {
		t.Fatal(err)
	}
	vs, err := fin.Prepare([]int{2, 6, 7, 9, 11}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	return p, f, vs[0]
}

// prove returns the relative error of the hypergradient against differences of the whole iteration.
func prove(t testing.TB, c setup) (float64, []level.Proof) {
	t.Helper()
	b := ref.Open()
	sys, pre, fin := system(t, b, c)
	p, f, v := batches(t, pre, fin, 2, c.micro)
	rows, err := sys.Prove(p, f, v)
	if err != nil {
		t.Fatal(err)
	}
	return level.RelativeError(rows), rows
}

// rules are the optimisers.
var rules = []struct {
	name     string
	rule     gpu.Rule
	momentum float64
	clip     float64
}{
	{"sgd", gpu.SGD, 0, 0}, {"momentum", gpu.SGD, 0.9, 0}, {"adam", gpu.Adam, 0, 0}, {"adamw", gpu.AdamW, 0, 0},
	{"momentum+clip", gpu.SGD, 0.9, 0.5}, {"adamw+clip", gpu.AdamW, 0, 0.5},
}

// exact proves one configuration.
func exact(t *testing.T, name string, c setup) {
	t.Run(name, func(t *testing.T) {
		err, rows := prove(t, c)
		t.Logf("relative error %.1e", err)
		if !(err <= 1e-6) {
			for _, r := range rows {
				t.Logf("  %-16s computed %+.9e measured %+.9e", r.Objective, r.Computed, r.Measured)
			}
			t.Errorf("relative error %g > 1e-6", err)
		}
	})
}

// TestHypergradientIsExact is the proof without freedom: perturb a logit, redo both steps, difference the validation loss.
func TestHypergradientIsExact(t *testing.T) {
	for _, conv := range []gnn.Conv{gnn.GIN, gnn.GCN, gnn.SAGE, gnn.GAT} {
		for _, r := range rules {
			for _, mode := range []level.Mode{level.Dot, level.JVP} {
				c := standard()
				c.conv, c.rule, c.momentum, c.clip, c.mode = conv, r.rule, r.momentum, r.clip, mode
				exact(t, fmt.Sprintf("%s/%s/%s", mode, conv, r.name), c)
			}
		}
	}
	for _, name := range objective.Names() {
		for _, mode := range []level.Mode{level.Dot, level.JVP} {
			c := standard()
			c.mode, c.objectives = mode, []string{name, "motif"}
			if name == "motif" {
				c.objectives[1] = "edge"
			}
			exact(t, fmt.Sprintf("%s/objective/%s", mode, name), c)
		}
	}
	all := standard()
	all.objectives = objective.Names()
	exact(t, "exact/all-objectives", all)
	for name, edit := range map[string]func(*setup){
		"layer-norm": func(c *setup) { c.norm = gnn.LayerNorm }, "sum": func(c *setup) { c.readout = gnn.Sum },
		"max": func(c *setup) { c.readout = gnn.Max }, "dropout": func(c *setup) { c.dropout = 0.2 },
		"accumulate": func(c *setup) { c.micro = 2 }, "uncompressed": func(c *setup) { c.compress = false }, "proximal validation": func(c *setup) { c.validProx = true },
	} {
		for _, mode := range []level.Mode{level.Dot, level.JVP} {
			c := standard()
			c.mode = mode
			edit(&c)
			exact(t, fmt.Sprintf("%s/%s", mode, name), c)
		}
	}
}

// TestCompare holds an iteration that keeps all gradients apart to the same hypergradient as one that sweeps a shared pass, and
// its cosines to those of mode dot. Without being asked there are none.
func TestCompare(t *testing.T) {
	run := func(mode level.Mode, compare bool) (level.Scalars, []string) {
		c := standard()
		c.objectives = []string{"cluster-100", "mask-atom", "motif", "context"}
		c.mode, c.cosines = mode, true
		sys, pre, fin := system(t, ref.Open(), c)
		p, f, v := batches(t, pre, fin, 2, 1)
		sys.Compare(compare)
		names := sys.GradientNames()
		if err := errors.Join(sys.PretrainStep(p, v), sys.FinetuneStep(f, v), sys.ValidationStep(v), sys.ReweightStep()); err != nil {
			t.Fatal(err)
		}
		rows, err := sys.Read()
		if err != nil {
			t.Fatal(err)
		}
		s := rows[0]
		if (len(s.Cosine) > 0) != compare {
			t.Errorf("asked for cosines: %v; there are %d", compare, len(s.Cosine))
		}
		return s, names
	}
	joint, jointNames := run(level.Exact, false)
	apart, names := run(level.Exact, true)
	dot, _ := run(level.Dot, true)
	if len(jointNames) != 2 || len(names) != 4 {
		t.Fatalf("gradients %v and apart %v, want 2 and 4", jointNames, names)
	}
	for i, h := range joint.H {
		if math.Abs(h-apart.H[i]) > 1e-10*math.Abs(h) {
			t.Errorf("h of %s: %g by a sweep, %g apart", names[i], h, apart.H[i])
		}
	}
	for i := range names {
		for j := range names {
			if math.Abs(apart.Cosine[i][j]-dot.Cosine[i][j]) > 1e-12 {
				t.Errorf("cosine %s|%s: %g apart, %g by dot", names[i], names[j], apart.Cosine[i][j], dot.Cosine[i][j])
			}
		}
	}
	if math.Abs(apart.Cosine[0][2]-1) < 1e-3 {
		t.Errorf("cosine of two objectives is %g: they are not apart", apart.Cosine[0][2])
	}
}
