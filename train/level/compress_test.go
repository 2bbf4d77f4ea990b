package level_test

import (
	"fmt"
	"math"
	"testing"

	"tapweight/gpu/ref"
	"tapweight/model/gnn"
	"tapweight/model/objective"
	"tapweight/train/level"
)

// gradients runs one pretraining and one finetuning step and returns the losses and both gradients.
func gradients(t *testing.T, c setup) (loss, theta, omega []float64) {
	t.Helper()
	b := ref.Open()
	sys, pre, fin := system(t, b, c)
	p, f, _ := batches(t, pre, fin, 2, c.micro)
	if err := sys.PretrainStep(p, nil); err != nil {
		t.Fatal(err)
	}
	theta = make([]float64, sys.Theta.Grad.Len())
	if err := b.Download(theta, sys.Theta.Grad); err != nil {
		t.Fatal(err)
	}
	if err := sys.FinetuneStep(f, nil); err != nil {
		t.Fatal(err)
	}
	omega = make([]float64, sys.Omega.Grad.Len())
	if err := b.Download(omega, sys.Omega.Grad); err != nil {
		t.Fatal(err)
	}
	rows, err := sys.Read()
	if err != nil {
		t.Fatal(err)
	}
	s := rows[0]
	return append(s.Pretrain, s.Finetune), theta, omega
}

// TestCompressionIsExact compares one row per distinct neighbourhood with one row per atom: every loss and every element of
// both gradients, for every network and readout with all objectives at once.
func TestCompressionIsExact(t *testing.T) {
	for _, conv := range []gnn.Conv{gnn.GIN, gnn.GCN, gnn.SAGE, gnn.GAT} {
		for _, readout := range []gnn.Readout{gnn.Mean, gnn.Sum, gnn.Max} {
			for _, dropout := range []float64{0, 0.2} {
				t.Run(fmt.Sprintf("%s/%s/dropout=%g", conv, readout, dropout), func(t *testing.T) {
					c := standard()
					c.conv, c.readout, c.dropout, c.objectives = conv, readout, dropout, objective.Names()
					c.mode = level.Exact
					loss, theta, omega := gradients(t, c)
					c.compress = false
					loss0, theta0, omega0 := gradients(t, c)
					same(t, [3][]float64{loss, theta, omega}, [3][]float64{loss0, theta0, omega0})
				})
			}
		}
	}
}

// same compares losses and both gradients within rounding.
func same(t *testing.T, got, want [3][]float64) {
	t.Helper()
	for k, name := range []string{"losses", "θ", "ω"} {
		scale, worst := 0.0, 0.0
		for i, v := range want[k] {
			scale = math.Max(scale, math.Abs(v))
			if d := math.Abs(v - got[k][i]); !(d <= worst) {
				worst = d
			}
		}
		if !(worst <= 1e-10*scale) {
			t.Errorf("%s: differ by %g of %g", name, worst, scale)
		}
	}
}

// TestAccumulationIsExact compares a batch in one piece with the same batch in parts, masks and draws included, for all that does
// not look at a batch as a whole: layer norm, and objectives whose terms are single molecules.
func TestAccumulationIsExact(t *testing.T) {
	c := standard()
	c.norm, c.objectives = gnn.LayerNorm, []string{"cluster-100", "mask-atom", "edge", "masked-contrast", "motif", "noise", "oracle"}
	accumulationIsExact(t, c)
}

func accumulationIsExact(t *testing.T, c setup) {
	t.Helper()
	loss, theta, omega := gradients(t, c)
	for _, c.micro = range []int{2, 4} {
		got, gotTheta, gotOmega := gradients(t, c)
		same(t, [3][]float64{got, gotTheta, gotOmega}, [3][]float64{loss, theta, omega})
	}
}
