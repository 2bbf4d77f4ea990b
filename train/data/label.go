package data

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is the kind of a task.
type Kind string

// Kinds of tasks.
const (
	Regression     Kind = "regression"
	Classification Kind = "classification" // any number of columns, each 0 or 1
	MultiClass     Kind = "multiclass"     // one column, each row of one of k classes
)

// Metrics returns the metrics that fit a kind of task, its default first.
func (k Kind) Metrics() []string {
	switch k {
	case Classification:
		return []string{"roc-auc", "accuracy", "f1", "matthews"}
	case MultiClass:
		return []string{"accuracy", "f1", "matthews", "roc-auc"}
	}
	return []string{"rmse", "mae", "pearson", "spearman"}
}

// parseLabel reads a number; blank means missing.
func parseLabel(s string) (float64, error) {
	if s == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number; leave the field blank where the label is missing", s)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number; leave the field blank where the label is missing", s)
	}
	return v, nil
}

// spelling is a label as the file has it.
type spelling struct {
	text   string
	column int // where it begins in its line
}

// mostClasses is how many different whole numbers are taken for classes.
const mostClasses = 100

// understand finds out the kind and the classes of labels once all rows are there.
//
// Where the user does not say, the one label column of texts holds classes if its values are no numbers, or if they are whole
// (written without a point), at most mostClasses different ones, and not just 0 and 1.
func (t *Table) understand(kind Kind) error {
	if t.spelled == nil {
		if t.Kind = kind; kind == "" {
			t.Kind = inferKind(t.Labels)
		}
		return t.checkLabels()
	}
	index := map[string]int{} // of each class
	numbers, whole := false, true
	for i, s := range t.spelled {
		t.Labels[i][0] = math.NaN()
		if s.text == "" {
			continue
		}
		v, err := parseLabel(s.text)
		if len(index) == 0 {
			numbers = err == nil
		}
		if kind == "" && numbers != (err == nil) {
			if err == nil {
				err = fmt.Errorf("%q is a number, unlike the labels before", s.text)
			}
			path, line := t.Place(t.Line[i])
			return fmt.Errorf("%s:%d:%d: column %q: %w; if every value is a class, use --task %s", path, line, s.column, t.Tasks[0], err, MultiClass)
		}
		if _, err := strconv.Atoi(s.text); err != nil {
			whole = false
		}
		index[s.text] = 0
		t.Labels[i][0] = v
	}
	if t.Kind = kind; kind == "" {
		t.Kind = inferKind(t.Labels)
		if !numbers || t.Kind == Regression && whole && len(index) <= mostClasses {
			t.Kind = MultiClass
		}
	}
	if t.Kind == MultiClass {
		t.Classes = slices.SortedFunc(maps.Keys(index), func(a, b string) int {
			if x, y := number(a), number(b); whole && x != y {
				return cmp.Compare(x, y)
			}
			return strings.Compare(a, b)
		})
		for k, name := range t.Classes {
			index[name] = k
		}
		for i, s := range t.spelled {
			if s.text != "" {
				t.Labels[i][0] = float64(index[s.text])
			}
		}
		if len(t.Classes) == 1 {
			return fmt.Errorf("%s: every label of column %q is %q; there must be two classes", t.files[0].path, t.Tasks[0], t.Classes[0])
		}
	}
	return t.checkLabels()
}

// number is the value of a whole number.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// checkLabels reports a task without any label.
func (t *Table) checkLabels() error {
	for j, name := range t.Tasks {
		if !slices.ContainsFunc(t.Labels, func(row []float64) bool { return !math.IsNaN(row[j]) }) {
			return fmt.Errorf("%s: every label of column %q is missing", t.files[0].path, name)
		}
	}
	return nil
}

// CheckSeen reports the first of some rows whose class none of the training rows has: nothing could be learned of it.
func (t *Table) CheckSeen(train []int, others ...[]int) error {
	if t.Kind != MultiClass {
		return nil
	}
	seen := make([]bool, len(t.Classes))
	for _, i := range train {
		if v := t.Labels[i][0]; !math.IsNaN(v) {
			seen[int(v)] = true
		}
	}
	for _, i := range slices.Concat(others...) {
		if v := t.Labels[i][0]; !math.IsNaN(v) && !seen[int(v)] {
			path, line := t.Place(t.Line[i])
			return fmt.Errorf("%s:%d: column %q: class %q occurs here and nowhere in the training part", path, line, t.Tasks[0], t.Classes[int(v)])
		}
	}
	return nil
}

// inferKind tells the kind of a task from its labels: 0 and 1 only means classification.
func inferKind(labels [][]float64) Kind {
	for _, row := range labels {
		for _, v := range row {
			if !math.IsNaN(v) && v != 0 && v != 1 {
				return Regression
			}
		}
	}
	return Classification
}

// CheckClasses reports the first label of a classification task that is neither 0 nor 1.
func (t *Table) CheckClasses() error {
	for i, row := range t.Labels {
		for j, v := range row {
			if !math.IsNaN(v) && v != 0 && v != 1 {
				path, line := t.Place(t.Line[i])
				return fmt.Errorf("%s:%d: column %q: %g is neither 0 nor 1, which classification needs; use --task regression?", path, line, t.Tasks[j], v)
			}
		}
	}
	return nil
}
