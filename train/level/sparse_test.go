package level_test

import (
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/train/level"
	"tapweight/train/optim"
)

// whole hides which rows objectives read.
type whole struct{ level.Pretraining }

// searched takes iterations with two steps of each lower level and returns their numbers and the vectors at the end.
func searched(t *testing.T, c setup, sparse bool) (numbers []float64) {
	t.Helper()
	b := ref.Open()
	pre, fin := textProblems(t, c)
	var p level.Pretraining = pre
	if !sparse {
		p = whole{pre}
	}
	opt := optim.Default(c.rule, 0.01)
	opt.Momentum, opt.WeightDecay = c.momentum, 0.01
	sys, err := level.New(b, p, fin, level.Options{Pretrain: opt, Finetune: opt, Reweight: optim.Default(gpu.Adam, 0.1), PretrainSteps: 6, FinetuneSteps: 6, ReweightSteps: 3,
		Micro: 1, Gamma: 0.3, Mode: c.mode, Jacobian: c.jacobian, Cosines: true, Rows: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	var do []func() error
	for step := range uint32(3) {
		x, f, v := batches(t, pre, fin, 2*step, 1)
		y, g, _ := batches(t, pre, fin, 2*step+1, 1)
		do = append(do, func() error { sys.Compare(step == 1); return sys.PretrainStep(y, nil) },
			func() error { return sys.PretrainStep(x, v) }, func() error { return sys.FinetuneStep(g, nil) },
			func() error { return sys.FinetuneStep(f, v) }, func() error { return sys.ValidationStep(v) }, sys.ReweightStep,
			func() error {
				rows, err := sys.Read()
				if err != nil {
					return err
				}
				r := rows[0]
				if got := len(r.Cosine); got != map[bool]int{true: len(r.H)}[step == 1] {
					t.Errorf("%d cosines", got)
				}
				numbers = append(append(append(append(numbers, r.Pretrain...), r.H...), r.Hypergradient...), r.Finetune, r.Prox, r.Validation)
				for _, row := range r.Cosine {
					numbers = append(numbers, row...)
				}
				return nil
			})
	}
	for _, f := range do {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*level.Network{sys.Theta, sys.Omega, sys.Logits} {
		for _, v := range n.Vectors() {
			x := make([]float64, v.Buf.Len())
			if err := b.Download(x, v.Buf); err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, x...)
		}
	}
	return numbers
}

// TestRowsAreExact holds iterations whose gradients are kept by rows of the embeddings to those with whole gradients: every number
// of every iteration, and all vectors at the end.
func TestRowsAreExact(t *testing.T) {
	for name, edit := range map[string]func(*setup){
		"adamw": func(c *setup) { c.rule = gpu.AdamW }, "adam": func(c *setup) { c.rule = gpu.Adam }, "sgd": func(*setup) {},
		"dot": func(c *setup) { c.mode = level.Dot }, "identity": func(c *setup) { c.jacobian = level.Identity },
		"no objective with a whole gradient": func(c *setup) { c.objectives = []string{"sop", "simcse"} },
		"one objective":                      func(c *setup) { c.objectives = []string{"mlm"} },
		"distilbert":                         func(c *setup) { c.family = "distilbert" },
	} {
		c := standardText()
		edit(&c)
		got, want := searched(t, c, true), searched(t, c, false)
		if len(got) != len(want) {
			t.Fatalf("%s: %d numbers, want %d", name, len(got), len(want))
		}
		for i, v := range want {
			if !(math.Abs(got[i]-v) <= 1e-11*(1+math.Abs(v))) { // sums of some thousand terms in another order
				t.Errorf("%s: number %d is %v, want %v", name, i, got[i], v)
				break
			}
		}
	}
}

// TestRowsTakeLessMemory: what the levels allocate for good has no whole gradient but one.
func TestRowsTakeLessMemory(t *testing.T) {
	c := standardText()
	pre, fin := textProblems(t, c)
	opt := optim.Default(gpu.AdamW, 0.01)
	o := level.Options{Pretrain: opt, Finetune: opt, Reweight: opt, Micro: 1, Mode: level.Exact}
	o.Reweight.WeightDecay = 0
	bytes := func(p level.Pretraining) int {
		b := &counted{Device: ref.Open()}
		sys, err := level.New(b, p, fin, o)
		if err != nil {
			t.Fatal(err)
		}
		sys.Close()
		return b.elements
	}
	table, theta, omega := fin.Table().Len(), pre.Params().Len(), fin.Params().Len()
	enc := pre.Params().EncoderLen()
	sparse, dense := bytes(pre), bytes(whole{pre})
	// Whole: gradients of both networks, of three objectives, of the validation loss. By rows: one gradient that is shared, two
	// objectives behind the table, and the room for a piece.
	room := max((1<<19)/fin.Table().LD, 1) * fin.Table().LD
	want := (theta + omega + 3*enc + max(theta, omega)) - (max(theta, omega) + 2*(enc-table) + room)
	if got := dense - sparse; got != want {
		t.Errorf("%d elements less, want %d", got, want)
	}
}

// counted counts the elements that are allocated.
type counted struct {
	*ref.Device[float64]
	elements int
}

func (c *counted) Alloc(n, elem int) (gpu.Buffer, error) {
	c.elements += n
	return c.Device.Alloc(n, elem)
}

// TestRowsRefuse: batches that do not suit rows are errors.
func TestRowsRefuse(t *testing.T) {
	sys, pre, fin := system(t, ref.Open(), standardText())
	p, f, v := batches(t, pre, fin, 2, 1)
	_, two, other := batches(t, pre, fin, 2, 2)
	for _, err := range []error{sys.PretrainStep(p, v), sys.FinetuneStep(f, v)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func() error{
		"two parts":     func() error { return sys.FinetuneStep(two, nil) },
		"another batch": func() error { return sys.ValidationStep(other) },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
