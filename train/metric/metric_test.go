package metric

import (
	"math"
	"strings"
	"testing"
)

func column(v ...float64) [][]float64 {
	var rows [][]float64
	for _, x := range v {
		rows = append(rows, []float64{x})
	}
	return rows
}

// TestROCAUC holds values that scikit-learn's roc_auc_score gives for the same inputs.
func TestROCAUC(t *testing.T) {
	for _, c := range []struct {
		score, label []float64
		want         float64
	}{
		{[]float64{0.1, 0.4, 0.35, 0.8}, []float64{0, 0, 1, 1}, 0.75},
		{[]float64{1, 1, 1, 1}, []float64{0, 1, 0, 1}, 0.5},
		{[]float64{0.5, 0.5, 0.2, 0.9, 0.7}, []float64{1, 0, 0, 1, 0}, 0.75},
		{[]float64{3, 2, 1}, []float64{0, 1, 1}, 0},
	} {
		r, err := Score("roc-auc", column(c.score...), column(c.label...), []string{"t"})
		if err != nil || !(math.Abs(r.Value-c.want) < 1e-15) {
			t.Errorf("%v %v: %v %v, want %v", c.score, c.label, r.Value, err, c.want)
		}
	}
}

func TestRegressionMetrics(t *testing.T) {
	p, y := column(1, 2, 7), column(0, 4, math.NaN())
	for name, want := range map[string]float64{"rmse": math.Sqrt(2.5), "mae": 1.5} {
		if r, err := Score(name, p, y, []string{"t"}); err != nil || !(math.Abs(r.Value-want) < 1e-15) {
			t.Errorf("%s: %v %v, want %v", name, r.Value, err, want)
		}
	}
}

func TestUndefinedTasksAreNamed(t *testing.T) {
	p := [][]float64{{1, 1}, {2, 2}}
	r, err := Score("roc-auc", p, [][]float64{{0, 1}, {1, 1}}, []string{"good", "one-class"})
	if err != nil || r.Value != 1 || strings.Join(r.Skipped, " ") != "one-class" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := Score("roc-auc", p, [][]float64{{1, 1}, {1, 1}}, []string{"a", "b"}); err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("no defined task: %v", err)
	}
}

func TestDefined(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		labels            []float64
		auc, pearson, mae bool
	}{
		{nil, false, false, false}, {[]float64{nan}, false, false, false}, {[]float64{0, nan, 0}, false, false, true}, {[]float64{1}, false, false, true},
		{[]float64{nan, 1, 0}, true, true, true}, {[]float64{1, nan, 2}, false, true, true},
	} {
		if auc, pearson, mae := Defined("roc-auc", c.labels), Defined("pearson,spearman", c.labels), Defined("mae", c.labels); auc != c.auc || pearson != c.pearson || mae != c.mae {
			t.Errorf("%v: ROC-AUC %v, Pearson %v, MAE %v", c.labels, auc, pearson, mae)
		}
	}
}

// TestDivergedPredictions: NaN compares false with itself, so a rank sum over it would never end, and a mean over it would look
// like a task without labels.
func TestDivergedPredictions(t *testing.T) {
	p, y := [][]float64{{1, 1}, {0, math.NaN()}}, [][]float64{{0, 0}, {1, 1}}
	for _, name := range Names {
		if r, err := Score(name, p, y, []string{"good", "diverged"}); err == nil || !strings.Contains(err.Error(), `"diverged": prediction 2`) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

func TestSpread(t *testing.T) {
	if s := Summarise([]float64{1, 2, 3}); s.Mean != 2 || s.Std != 1 || s.N != 3 {
		t.Errorf("%+v", s)
	}
	if s := Summarise([]float64{4}); s.Mean != 4 || s.Std != 0 {
		t.Errorf("%+v", s)
	}
	if s := Paired([]float64{1, 2}, []float64{3, 4}); s.Mean != -2 || s.Std != 0 {
		t.Errorf("%+v", s)
	}
	if !Better("rmse", 1, 2) || !Better("roc-auc", 2, 1) || !Better("f1,accuracy", 2, 1) {
		t.Error("direction")
	}
}

// TestConstantPredictions: a network may begin with the same answer for every row, and a run must get over it.
func TestConstantPredictions(t *testing.T) {
	for _, name := range []string{"pearson", "spearman", "matthews", "f1"} {
		if r, err := Score(name, column(-1, -1, -1), column(0, 1, 0), []string{"t"}); err != nil || r.Value != 0 {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	for _, name := range []string{"pearson", "spearman"} {
		if _, err := Score(name, column(1, 2), column(3, 3), []string{"t"}); err == nil || !strings.Contains(err.Error(), "undefined") {
			t.Errorf("%s of constant labels: %v", name, err)
		}
	}
}

func TestScoreErrors(t *testing.T) {
	two := [][]float64{{0, 1}, {1, 0}}
	for _, c := range []struct {
		name   string
		p      [][]float64
		labels []float64
		want   string
	}{
		{"nonsense", two, []float64{0, 1}, `"nonsense" is not one of roc-auc, rmse`},
		{"accuracy,nonsense", two, []float64{0, 1}, `"nonsense" is not one of`},
		{"pearson", two, []float64{0, 1}, "pearson does not fit 2 classes"},
		{"roc-auc", [][]float64{{0, 1, 2}, {1, 0, 2}}, []float64{0, 1}, "roc-auc does not fit 3 classes"},
		{"accuracy", two, []float64{0, 2}, "label 2 is not one of 2 classes"},
		{"accuracy", two, []float64{0, 0.5}, "label 0.5 is not one of 2 classes"},
		{"accuracy", [][]float64{{0, 1}, {0, math.Inf(1)}}, []float64{0, 1}, "prediction 2 is not finite"},
	} {
		if _, err := Score(c.name, c.p, column(c.labels...), []string{"t"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if r, err := Score("roc-auc", [][]float64{{5, 1}, {1, 0}, {2, 3}}, column(0, 1, 1), []string{"t"}); err != nil || r.Value != 1 {
		t.Errorf("ROC-AUC of two logits: %+v %v", r, err)
	}
}
