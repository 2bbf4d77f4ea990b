package level_test

import (
	"fmt"
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
	"tapweight/gpu/ref"
	"tapweight/model/gnn"
	"tapweight/model/objective"
	"tapweight/train/level"
)

// iterate runs three whole iterations and returns the scalars of the last.
func iterate(t *testing.T, b gpu.Backend, c setup) level.Scalars {
	t.Helper()
	sys, pre, fin := system(t, b, c)
	for step := range uint32(3) {
		p, f, v := batches(t, pre, fin, 2+step, c.micro)
		for _, err := range []error{sys.PretrainStep(p, v), sys.FinetuneStep(f, v), sys.ValidationStep(v), sys.ReweightStep()} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := sys.Read()
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	r.Elapsed = level.Times{} // of the machine, not of the numbers
	return r
}

func openCPU(t testing.TB, threads int) gpu.Backend {
	t.Helper()
	b, err := cpu.Open(threads)
	if err != nil {
		t.Skipf("cpu: %v", err)
	}
	return b
}

// TestBackendsAgree compares whole iterations in float32 with the float64 oracle, and one thread with two bit for bit.
func TestBackendsAgree(t *testing.T) {
	for _, mode := range []level.Mode{level.Exact, level.JVP, level.Dot} {
		for _, conv := range []gnn.Conv{gnn.GIN, gnn.GCN, gnn.SAGE, gnn.GAT} {
			c := standard()
			c.conv, c.mode, c.objectives, c.dropout = conv, mode, objective.Names(), 0.1
			backendsAgree(t, fmt.Sprintf("%s/%s", conv, mode), c)
		}
		for _, family := range []string{"bert", "roberta", "distilbert"} {
			c := standardText()
			c.family, c.mode = family, mode
			backendsAgree(t, fmt.Sprintf("%s/%s", family, mode), c)
		}
	}
}

func backendsAgree(t *testing.T, name string, c setup) {
	t.Run(name, func(t *testing.T) {
		want := iterate(t, ref.Open(), c)
		got := iterate(t, openCPU(t, 2), c)
		one := iterate(t, openCPU(t, 1), c)
		near := func(name string, a, b []float64, tol float64) {
			scale := 0.0
			for _, v := range b {
				scale = math.Max(scale, math.Abs(v))
			}
			for i := range a {
				if d := math.Abs(a[i] - b[i]); !(d <= tol*scale) {
					t.Errorf("%s[%d]: cpu %g, oracle %g", name, i, a[i], b[i])
				}
			}
		}
		near("loss", got.Pretrain, want.Pretrain, 1e-5)
		near("λ", got.Lambda, want.Lambda, 1e-3) // Adam on a: the sign of a tiny hypergradient is worth a whole step
		near("validation", []float64{got.Validation}, []float64{want.Validation}, 1e-5)
		near("finetune", []float64{got.Finetune}, []float64{want.Finetune}, 1e-5)
		if fmt.Sprint(one) != fmt.Sprint(got) {
			t.Errorf("one thread and two differ:\n%v\n%v", one, got)
		}
	})
}
