package data

import (
	"math"
	"math/rand/v2"
)

// Order deals out batches of a set: a new permutation every epoch, consecutive batches without gaps, so that every batch is
// full and every item comes once an epoch. Which items form batch t depends on the seed and t only, so a resumed run goes on
// where it stopped.
type Order struct {
	n, size int
	seed    uint64
	epoch   int
	perm    []int
}

// NewOrder returns the order of n items in batches of size, or of n where size is larger.
func NewOrder(n, size int, seed uint64) *Order {
	return &Order{n: n, size: min(size, n), seed: seed, epoch: -1}
}

// Batch returns the items of batch t.
func (o *Order) Batch(t int) []int {
	batch := make([]int, 0, o.size)
	for i := t * o.size; i < (t+1)*o.size; i++ {
		if e := i / o.n; e != o.epoch {
			o.epoch = e
			o.perm = rand.New(rand.NewPCG(o.seed, uint64(e))).Perm(o.n)
		}
		batch = append(batch, o.perm[i%o.n])
	}
	return batch
}

// Scale standardises regression targets by the training split's mean and standard deviation.
type Scale struct {
	Mean, Std []float64 // per task
}

// NewScale measures the labels of the given rows; a task without spread keeps its scale.
func NewScale(labels [][]float64, rows []int) Scale {
	var s Scale
	for j := range labels[0] {
		n, sum, squares := 0.0, 0.0, 0.0
		for _, i := range rows {
			if v := labels[i][j]; !math.IsNaN(v) {
				n++
				sum += v
			}
		}
		mean := 0.0
		if n > 0 {
			mean = sum / n
		}
		for _, i := range rows {
			if v := labels[i][j]; !math.IsNaN(v) {
				squares += (v - mean) * (v - mean)
			}
		}
		std := 1.0
		if squares > 0 {
			std = math.Sqrt(squares / n)
		}
		s.Mean, s.Std = append(s.Mean, mean), append(s.Std, std)
	}
	return s
}

// Apply returns standardised copies of the labels.
func (s Scale) Apply(labels [][]float64) [][]float64 {
	return s.transform(labels, func(v float64, j int) float64 { return (v - s.Mean[j]) / s.Std[j] })
}

// Invert returns the labels in their own units.
func (s Scale) Invert(labels [][]float64) [][]float64 {
	return s.transform(labels, func(v float64, j int) float64 { return v*s.Std[j] + s.Mean[j] })
}

func (s Scale) transform(labels [][]float64, f func(float64, int) float64) [][]float64 {
	out := make([][]float64, len(labels))
	for i, row := range labels {
		out[i] = make([]float64, len(row))
		for j, v := range row {
			out[i][j] = f(v, j)
		}
	}
	return out
}
