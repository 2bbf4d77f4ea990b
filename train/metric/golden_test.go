package metric

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestScoresOfScikitLearn scores ties and missing labels as scikit-learn does; testdata/make_golden.py writes the numbers.
func TestScoresOfScikitLearn(t *testing.T) {
	content, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Predicted, Labels [][]float64 // label -1 = missing
		AUC               []float64   `json:"roc-auc"`
		RMSE              []float64   `json:"rmse"`
		MAE               []float64   `json:"mae"`
	}
	if err := json.Unmarshal(content, &golden); err != nil {
		t.Fatal(err)
	}
	for _, row := range golden.Labels {
		for j := range row {
			if row[j] < 0 {
				row[j] = math.NaN()
			}
		}
	}
	for name, want := range map[string][]float64{"roc-auc": golden.AUC, "rmse": golden.RMSE, "mae": golden.MAE} {
		r, err := Score(name, golden.Predicted, golden.Labels, []string{"a", "b", "c", "d"})
		if err != nil {
			t.Fatal(name, err)
		}
		sum := 0.0
		for j := range want {
			sum += want[j]
			if !(math.Abs(r.Tasks[j]-want[j]) <= 1e-14) {
				t.Errorf("%s of task %d: %v, want %v", name, j, r.Tasks[j], want[j])
			}
		}
		if !(math.Abs(r.Value-sum/4) <= 1e-14) {
			t.Errorf("%s: mean %v, want %v", name, r.Value, sum/4)
		}
	}
}
