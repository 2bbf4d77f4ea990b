//go:build cuda

package level_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cuda"
	"tapweight/gpu/gputest"
	"tapweight/model/gnn"
	"tapweight/model/objective"
	"tapweight/train/level"
)

var update = flag.Bool("update", false, "write testdata/traffic.txt")

func openCUDA(t *testing.T) *cuda.Backend {
	t.Helper()
	return gputest.Open(t, "cuda", func() (*cuda.Backend, error) { return cuda.Open(0) })
}

// search runs whole iterations and returns the numbers of each.
func search(t *testing.T, b gpu.Backend, c setup, iterations int) []level.Scalars {
	t.Helper()
	sys, pre, fin := system(t, b, c)
	var all []level.Scalars
	for step := range iterations {
		p, f, v := batches(t, pre, fin, uint32(2+step), c.micro)
		for _, err := range []error{sys.PretrainStep(p, v), sys.FinetuneStep(f, v), sys.ValidationStep(v), sys.ReweightStep()} {
			if err != nil {
				t.Fatal(err)
			}
		}
		rows, err := sys.Read()
		if err != nil {
			t.Fatal(err)
		}
		rows[0].Elapsed = level.Times{}
		all = append(all, rows[0])
	}
	return all
}

// TestCUDAAgreesWithCPU follows 20 iterations with all objectives on both devices, and the CUDA device twice.
func TestCUDAAgreesWithCPU(t *testing.T) {
	c := standard()
	c.mode, c.objectives, c.dropout = level.Exact, objective.Names(), 0.1
	c.lr = 0.002 // at the 0.05 of other tests differences of rounding outgrow the bounds within 20 iterations
	agrees(t, c, 20)
}

// TestCUDATextAgreesWithCPU does the same with texts, for fewer iterations: an interpreted transformer takes longer.
func TestCUDATextAgreesWithCPU(t *testing.T) {
	c := standardText()
	c.mode, c.lr = level.Exact, 0.002
	agrees(t, c, 5)
}

// agrees holds iterations on the CUDA device to those on the CPU and to a second run.
func agrees(t *testing.T, c setup, iterations int) {
	t.Helper()
	got := search(t, openCUDA(t), c, iterations)
	again := search(t, openCUDA(t), c, iterations)
	want := search(t, openCPU(t, 2), c, iterations)
	worst := map[string]float64{}
	near := func(i int, name string, a, b, tol float64) {
		worst[name] = math.Max(worst[name], math.Abs(a-b)/tol)
		if !(math.Abs(a-b) <= tol) {
			t.Errorf("iteration %d: %s is %.9g on cuda and %.9g on the CPU", i, name, a, b)
		}
	}
	for i := range iterations {
		if fmt.Sprint(got[i]) != fmt.Sprint(again[i]) {
			t.Errorf("iteration %d: two runs differ:\n%v\n%v", i, got[i], again[i])
		}
		g, w := got[i], want[i]
		for j, name := range c.objectives {
			near(i, "the loss of "+name, g.Pretrain[j], w.Pretrain[j], 1e-5*math.Abs(w.Pretrain[j]))
			near(i, "λ of "+name, g.Lambda[j], w.Lambda[j], 1e-6)
		}
		near(i, "the finetuning loss", g.Finetune, w.Finetune, 1e-5*math.Abs(w.Finetune))
		near(i, "the validation loss", g.Validation, w.Validation, 1e-5*math.Abs(w.Validation))
	}
	for name, d := range worst {
		t.Logf("%s: the largest difference is %.2g of what is allowed", name, d)
	}
}

// TestCUDANetworks compares one iteration of every kind of network and hypergradient with the CPU.
func TestCUDANetworks(t *testing.T) {
	b := openCUDA(t)
	for _, mode := range []level.Mode{level.JVP, level.Dot} {
		for _, conv := range []gnn.Conv{gnn.GIN, gnn.GCN, gnn.SAGE, gnn.GAT} {
			c := standard()
			c.conv, c.mode, c.objectives, c.dropout = conv, mode, objective.Names(), 0.1
			iterationAgrees(t, fmt.Sprintf("%s/%s", conv, mode), b, c)
		}
		for _, family := range []string{"bert", "roberta", "distilbert"} {
			c := standardText()
			c.family, c.mode = family, mode
			iterationAgrees(t, fmt.Sprintf("%s/%s", family, mode), b, c)
		}
	}
}

// iterationAgrees compares the losses and the hypergradient of one iteration with the CPU's.
func iterationAgrees(t *testing.T, name string, b gpu.Backend, c setup) {
	t.Run(name, func(t *testing.T) {
		got, want := search(t, b, c, 1)[0], search(t, openCPU(t, 2), c, 1)[0]
		scale := 0.0
		for _, h := range want.H {
			scale = math.Max(scale, math.Abs(h))
		}
		for i, name := range c.objectives {
			if d := math.Abs(got.Pretrain[i] - want.Pretrain[i]); !(d <= 1e-5*math.Abs(want.Pretrain[i])) {
				t.Errorf("the loss of %s is %g on cuda and %g on the CPU", name, got.Pretrain[i], want.Pretrain[i])
			}
			if d := math.Abs(got.H[i] - want.H[i]); !(d <= 1e-4*scale) {
				t.Errorf("the hypergradient of %s is %g on cuda and %g on the CPU", name, got.H[i], want.H[i])
			}
		}
	})
}

// TestCUDATraffic pins what a warm iteration asks of the driver, by level and kind of hypergradient.
func TestCUDATraffic(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-9s %-10s %8s %10s %8s %8s %8s %8s\n", "mode", "level", "uploads", "downloads", "syncs", "waits", "kernels", "flushes")
	for _, mode := range []struct {
		name  string
		mode  level.Mode
		terms int
	}{{"exact", level.Exact, 0}, {"dot", level.Dot, 0}, {"jvp", level.JVP, 0}, {"fd", level.FD, 0}, {"darts", level.Darts, 0}, {"neumann-2", level.Neumann, 2}, {"cg-2", level.CG, 2}} {
		b := openCUDA(t)
		c := standard()
		c.mode, c.terms, c.objectives, c.dropout = mode.mode, mode.terms, objective.Names(), 0.1
		if mode.mode == level.Darts || mode.terms > 0 {
			c.jacobian = level.Identity
		}
		sys, pre, fin := system(t, b, c)
		p, f, v := batches(t, pre, fin, 2, 1)
		work := func() cuda.Work {
			w, err := b.Work()
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		for warm := range 3 {
			for _, l := range []struct {
				name string
				run  func() error
			}{
				{"pretrain", func() error { return sys.PretrainStep(p, v) }},
				{"finetune", func() error { return sys.FinetuneStep(f, v) }},
				{"validate", func() error { return sys.ValidationStep(v) }},
				{"reweight", sys.ReweightStep},
				{"read", func() error { _, err := sys.Read(); return err }},
			} {
				w0, s0 := work(), b.Stats()
				if err := l.run(); err != nil {
					t.Fatal(err)
				}
				s1, w1 := b.Stats(), work()
				if warm == 2 {
					fmt.Fprintf(&table, "%-9s %-10s %8d %10d %8d %8d %8d %8d\n", mode.name, l.name, s1.Uploads-s0.Uploads, s1.Downloads-s0.Downloads,
						s1.Syncs-s0.Syncs, w1.Waits-w0.Waits, w1.Kernels-w0.Kernels, w1.Flushes-w0.Flushes)
				}
			}
		}
	}
	const path = "testdata/traffic.txt"
	if *update {
		if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("an iteration asks other things of the driver than %s says (-update writes it anew):\n%s", path, table.String())
	}
}
