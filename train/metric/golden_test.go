package metric

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestScoresOfScikitLearn scores ties, missing labels, classes and constant predictions as scikit-learn and scipy do;
// testdata/make_golden.py writes the numbers.
func TestScoresOfScikitLearn(t *testing.T) {
	content, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Predicted, Labels [][]float64 // label -1 = missing
		Similarity        struct {
			Predicted, Labels []float64
			Pearson, Spearman float64
		}
		Classes []struct {
			Predicted              [][]float64
			Labels                 []float64
			Accuracy, F1, Matthews float64
		}
	}
	if err := json.Unmarshal(content, &golden); err != nil {
		t.Fatal(err)
	}
	var byTask map[string]json.RawMessage
	if err := json.Unmarshal(content, &byTask); err != nil {
		t.Fatal(err)
	}
	for _, row := range golden.Labels {
		for j := range row {
			if row[j] < 0 {
				row[j] = math.NaN()
			}
		}
	}
	for _, name := range Names {
		var want []float64
		if err := json.Unmarshal(byTask[name], &want); err != nil {
			t.Fatal(name, err)
		}
		r, err := Score(name, golden.Predicted, golden.Labels, []string{"a", "b", "c", "d"})
		if err != nil {
			t.Fatal(name, err)
		}
		sum := 0.0
		for j := range want {
			sum += want[j]
			same(t, name, r.Tasks[j], want[j])
		}
		same(t, name+" of all", r.Value, sum/4)
	}
	s := golden.Similarity
	r, err := Score("pearson,spearman", column(s.Predicted...), column(s.Labels...), []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "pearson", r.Value, s.Pearson)
	same(t, "spearman", r.Also["spearman"], s.Spearman)
	for _, c := range golden.Classes {
		r, err := Score("f1,accuracy,matthews", c.Predicted, column(c.Labels...), []string{"t"})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "f1", r.Value, c.F1)
		same(t, "accuracy", r.Also["accuracy"], c.Accuracy)
		same(t, "matthews", r.Also["matthews"], c.Matthews)
	}
}

// same allows the rounding of sums over 200 values in another order.
func same(t *testing.T, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-14) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}
