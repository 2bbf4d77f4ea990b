// Package metric scores predictions over tasks with missing labels, and sums scores up over seeds as mean ± spread.
//
// Values are those of scikit-learn and scipy. Predictions are logits, or values in the labels' units:
//
//	rmse, mae, pearson, spearman   a value per task and a value as its label
//	roc-auc                        a logit per task, 0 or 1 as its label; or two logits and a class
//	accuracy, f1, matthews         a logit per task, 0 or 1 as its label; or one task of k logits, 0 to k-1 as its label
package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// Names lists the metrics.
var Names = []string{"roc-auc", "rmse", "mae", "accuracy", "f1", "matthews", "pearson", "spearman"}

// Result is a score over the tasks for which it is defined.
type Result struct {
	Metric  string             `json:"metric"`
	Value   float64            `json:"value"`
	Tasks   []float64          `json:"-"` // per task; NaN where undefined
	Skipped []string           `json:"skipped,omitempty"`
	Also    map[string]float64 `json:"also,omitempty"` // further metrics, which decide nothing
}

// First returns the metric that decides among several joined by commas.
func First(names string) string {
	first, _, _ := strings.Cut(names, ",")
	return first
}

// HigherIsBetter reports the direction of a metric, or of the first of several.
func HigherIsBetter(name string) bool {
	name = First(name)
	return name != "rmse" && name != "mae"
}

// Better reports whether a beats b.
func Better(name string, a, b float64) bool {
	if HigherIsBetter(name) {
		return a > b
	}
	return a < b
}

// Score averages a metric over tasks; of several joined by commas the first is the result, the others are in Also. Missing
// labels (NaN) are left out; a task for which Defined is false is skipped and named. It is an error if no task remains, or if
// a prediction is not finite: a task that diverged must not drop out of the average.
//
// As in scikit-learn, Matthews' coefficient is 0 if predictions or labels are constant, F1 is that of class 1 of two (0 if
// the class is neither there nor predicted) and the mean over the classes there or predicted of more than two, and of equal
// logits the first wins. Where scipy calls a correlation undefined because predictions are constant, it counts as 0: they
// tell nothing, and a network may well begin there.
func Score(names string, predicted, labels [][]float64, tasks []string) (Result, error) {
	list := strings.Split(names, ",")
	r, err := score(list[0], predicted, labels, tasks)
	for _, name := range list[1:] {
		if err != nil {
			break
		}
		var also Result
		also, err = score(name, predicted, labels, tasks)
		if r.Also == nil {
			r.Also = map[string]float64{}
		}
		r.Also[name] = also.Value
	}
	return r, err
}

func score(name string, predicted, labels [][]float64, tasks []string) (Result, error) {
	r := Result{Metric: name}
	if !slices.Contains(Names, name) {
		return r, fmt.Errorf("metric %q is not one of %s", name, strings.Join(Names, ", "))
	}
	sum, n := 0.0, 0
	for j, task := range tasks {
		var p [][]float64
		var y []float64
		for i := range labels {
			row := predicted[i]
			if len(row) == len(tasks) {
				row = row[j : j+1]
			}
			for _, v := range row {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return r, fmt.Errorf("%s of task %q: prediction %d is not finite", name, task, i+1)
				}
			}
			if !math.IsNaN(labels[i][j]) {
				p, y = append(p, row), append(y, labels[i][j])
			}
		}
		v := math.NaN()
		if Defined(name, y) {
			var err error
			if v, err = value(name, p, y); err != nil {
				return r, err
			}
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
		return r, fmt.Errorf("%s is undefined for every task: no labels, or all alike", name)
	}
	r.Value = sum / float64(n)
	return r, nil
}

// value is the metric of one task for which it is defined.
func value(name string, p [][]float64, y []float64) (float64, error) {
	switch name {
	case "accuracy", "f1", "matthews":
		c, err := confusion(p, y)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return map[string]func([][]float64) float64{"accuracy": accuracy, "f1": f1, "matthews": matthews}[name](c), nil
	}
	x := make([]float64, len(p))
	for i, row := range p {
		switch {
		case len(row) == 1:
			x[i] = row[0]
		case len(row) == 2 && name == "roc-auc":
			x[i] = row[1] - row[0]
		default:
			return 0, fmt.Errorf("%s does not fit %d classes", name, len(row))
		}
	}
	switch name {
	case "roc-auc":
		return auc(x, y), nil
	case "rmse":
		return math.Sqrt(mean(x, y, func(d float64) float64 { return d * d })), nil
	case "mae":
		return mean(x, y, math.Abs), nil
	case "pearson":
		return correlation(x, y), nil
	}
	return correlation(ranks(x), ranks(y)), nil // spearman
}

// Defined reports whether a metric, or the first of several, can be computed from labels (NaN = missing): there is one, for
// ROC-AUC one of each class, and for a correlation two that differ.
func Defined(name string, labels []float64) bool {
	positive, negative, low, high := false, false, math.Inf(1), math.Inf(-1)
	for _, v := range labels {
		if math.IsNaN(v) {
			continue
		}
		positive = positive || v > 0
		negative = negative || v <= 0
		low, high = min(low, v), max(high, v)
	}
	switch First(name) {
	case "roc-auc":
		return positive && negative
	case "pearson", "spearman":
		return low < high
	}
	return positive || negative
}

func mean(p, y []float64, f func(float64) float64) float64 {
	s := 0.0
	for i := range p {
		s += f(p[i] - y[i])
	}
	return s / float64(len(p))
}

// ranks numbers values from 1 up, equal ones by the average of their places.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return x[order[a]] < x[order[b]] })
	rank := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			rank[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return rank
}

// auc is the probability that a positive scores above a negative, ties counting half: the rank-sum statistic.
func auc(score, label []float64) float64 {
	sum, positives := 0.0, 0.0
	for i, rank := range ranks(score) {
		if label[i] > 0 {
			sum += rank
			positives++
		}
	}
	return (sum - positives*(positives+1)/2) / (positives * (float64(len(score)) - positives))
}

// correlation is Pearson's, 0 where x is constant.
func correlation(x, y []float64) float64 {
	if floats.Max(x) == floats.Min(x) {
		return 0
	}
	return stat.Correlation(x, y, nil)
}

// confusion counts rows by label and prediction.
func confusion(p [][]float64, y []float64) ([][]float64, error) {
	k := max(len(p[0]), 2)
	c := make([][]float64, k)
	for i := range c {
		c[i] = make([]float64, k)
	}
	for i, row := range p {
		class := 0
		if len(row) > 1 {
			class = floats.MaxIdx(row)
		} else if row[0] > 0 {
			class = 1
		}
		label := int(y[i])
		if float64(label) != y[i] || label < 0 || label >= k {
			return nil, fmt.Errorf("label %g is not one of %d classes", y[i], k)
		}
		c[label][class]++
	}
	return c, nil
}

// margins sums a confusion matrix up: all rows, those on the diagonal, and those of each class by label and by prediction.
func margins(c [][]float64) (n, right float64, label, class []float64) {
	label, class = make([]float64, len(c)), make([]float64, len(c))
	for i, row := range c {
		right += row[i]
		for j, v := range row {
			n += v
			label[i] += v
			class[j] += v
		}
	}
	return n, right, label, class
}

func accuracy(c [][]float64) float64 {
	n, right, _, _ := margins(c)
	return right / n
}

func f1(c [][]float64) float64 {
	_, _, label, class := margins(c)
	if len(c) == 2 {
		return 2 * c[1][1] / max(label[1]+class[1], 1)
	}
	sum, n := 0.0, 0.0
	for k := range c {
		if all := label[k] + class[k]; all > 0 {
			sum += 2 * c[k][k] / all
			n++
		}
	}
	return sum / n
}

// matthews is the correlation of labels and predictions as classes (Gorodkin 2004).
func matthews(c [][]float64) float64 {
	n, right, label, class := margins(c)
	spread := (n*n - floats.Dot(class, class)) * (n*n - floats.Dot(label, label))
	if spread == 0 {
		return 0
	}
	return (right*n - floats.Dot(label, class)) / math.Sqrt(spread)
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

// Probabilities turns logits into probabilities: of each task by itself, or of classes of which one is true.
func Probabilities(logits []float64, classes bool) {
	all := floats.LogSumExp(logits)
	for i, v := range logits {
		if classes {
			logits[i] = math.Exp(v - all)
		} else {
			logits[i] = 1 / (1 + math.Exp(-v))
		}
	}
}
