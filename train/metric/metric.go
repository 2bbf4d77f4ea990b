// Package metric scores predictions: ROC-AUC, RMSE and MAE over tasks with missing labels, and mean ± spread over seeds.
package metric

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/stat"
)

// Result is a score over the tasks for which it is defined.
type Result struct {
	Metric  string    `json:"metric"`
	Value   float64   `json:"value"`
	Tasks   []float64 `json:"-"` // per task; NaN where undefined
	Skipped []string  `json:"skipped,omitempty"`
}

// HigherIsBetter reports the direction of a metric.
func HigherIsBetter(name string) bool { return name == "roc-auc" }

// Better reports whether a beats b.
func Better(name string, a, b float64) bool {
	if HigherIsBetter(name) {
		return a > b
	}
	return a < b
}

// Score averages a metric over tasks. Missing labels (NaN) are left out; a task with nothing to score, or for ROC-AUC with one
// class only, is skipped and named. It is an error if no task remains, or if a prediction
// is NaN: a task that diverged must not drop out of the average.
func Score(name string, predicted, labels [][]float64, tasks []string) (Result, error) {
	r := Result{Metric: name}
	sum, n := 0.0, 0
	for j, task := range tasks {
		var p, y []float64
		for i := range labels {
			if math.IsNaN(predicted[i][j]) {
				return r, fmt.Errorf("%s of task %q: prediction %d is not a number", name, task, i+1)
			}
			if !math.IsNaN(labels[i][j]) {
				p, y = append(p, predicted[i][j]), append(y, labels[i][j])
			}
		}
		v := math.NaN()
		switch name {
		case "roc-auc":
			v = auc(p, y)
		case "rmse":
			v = math.Sqrt(mean(p, y, func(d float64) float64 { return d * d }))
		case "mae":
			v = mean(p, y, math.Abs)
		default:
			return r, fmt.Errorf("metric %q is not one of roc-auc, rmse, mae", name)
		}
		r.Tasks = append(r.Tasks, v)
		if math.IsNaN(v) {
			r.Skipped = append(r.Skipped, task)
			continue
		}
		sum += v
		n++
	}
	if n == 0 {
		return r, fmt.Errorf("%s is undefined for every task: no labels, or one class only", name)
	}
	r.Value = sum / float64(n)
	return r, nil
}

// Defined reports whether a metric can be computed from labels (NaN = missing): there is one, and for ROC-AUC one of each class.
func Defined(name string, labels []float64) bool {
	positive, negative := false, false
	for _, v := range labels {
		positive = positive || v > 0
		negative = negative || v <= 0
	}
	return positive && negative || name != "roc-auc" && (positive || negative)
}

func mean(p, y []float64, f func(float64) float64) float64 {
	s := 0.0
	for i := range p {
		s += f(p[i] - y[i])
	}
	return s / float64(len(p)) // NaN for none
}

// auc is the probability that a positive scores above a negative, ties counting half: the rank-sum statistic.
func auc(score, label []float64) float64 {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return score[order[a]] < score[order[b]] })
	ranks, positives := 0.0, 0.0
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && score[order[j]] == score[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			if label[k] > 0 {
				ranks += float64(i+j+1) / 2
				positives++
			}
		}
		i = j
	}
	negatives := float64(len(order)) - positives
	if positives == 0 || negatives == 0 {
		return math.NaN()
	}
	return (ranks - positives*(positives+1)/2) / (positives * negatives)
}

// Spread is a mean over seeds with its standard deviation (0 for one seed).
type Spread struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
	N    int     `json:"n"`
}

// Summarise returns the mean and standard deviation of values.
func Summarise(values []float64) Spread {
	s := Spread{N: len(values)}
	if len(values) == 1 {
		s.Mean = values[0]
		return s
	}
	s.Mean, s.Std = stat.MeanStdDev(values, nil)
	return s
}

// Paired summarises the differences a[i]-b[i] of runs with the same seed.
func Paired(a, b []float64) Spread {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return Summarise(d)
}

// Probability is the logistic function of a logit.
func Probability(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }
