package ref

import (
	"math"
	"slices"
	"testing"
)

// These tests pin what the operations mean, by values worked out by hand: a gradient that fits its forward says nothing
// about a forward that computes something else.

func is(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-12*math.Max(1, math.Abs(w))) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func matrix(rows, cols int, v ...float64) M[float64] {
	if v == nil {
		v = make([]float64, rows*cols)
	}
	return M[float64]{v, rows, cols, cols}
}

func TestNTXentValue(t *testing.T) {
	// Off the diagonal all are equal: three candidates a row, whatever the diagonal holds.
	s := matrix(4, 4, 1000, 2, 2, 2, 2, -1000, 2, 2, 2, 2, 5, 2, 2, 2, 2, 0)
	ds, loss := matrix(4, 4), []float64{1}
	NTXent(s, ds, 0.5, loss)
	third := 0.5 / 3
	is(t, "loss", loss, 1+0.5*4*math.Log(3))
	is(t, "row 0", ds.Row(0), 0, third, third-0.5, third)
	is(t, "row 3", ds.Row(3), third, third-0.5, third, 0)
}

func TestLossValues(t *testing.T) {
	dx, loss := matrix(3, 4), []float64{1}
	SoftmaxCE(matrix(3, 4, 5, 5, 5, 5, 1, 2, 3, 4, 0, 0, 0, 80), dx, []int32{2, -1, 0}, []float64{1, 1, 2}, 0.5, loss)
	is(t, "softmax cross entropy", loss, 1+0.5*math.Log(4)+80)
	is(t, "its gradient", dx.D, 0.125, 0.125, -0.375, 0.125, 0, 0, 0, 0, -1, 0, 0, 1)

	dx, loss = matrix(1, 4), []float64{0}
	ElementLoss(false, matrix(1, 4, 0, 80, -80, 0), dx, []float64{1, 0, 0, math.NaN()}, []float64{1, 1, 1, 0}, 2, loss)
	is(t, "logistic loss", loss, 2*(math.Ln2+80))
	is(t, "its gradient", dx.D, -1, 2, 0, 0)

	loss = []float64{0}
	ElementLoss(true, matrix(1, 2, 3, 1), matrix(1, 2), []float64{1, 4}, nil, 0.5, loss)
	is(t, "squared error", loss, 0.5*(4+9))

	loss = []float64{0}
	da, db := matrix(1, 2), matrix(1, 2)
	PairDistance(matrix(1, 2, 3, 5), matrix(1, 2, 0, 1), da, db, 0, 2, loss)
	is(t, "distance", loss, 10)
	is(t, "its gradients", append(da.D, db.D...), 1.2, 1.6, -1.2, -1.6)
}

// graph has rows {0, 1, 1}, {} and {2}.
var graph = CSR[float64]{Rows: 3, RowPtr: []int32{0, 3, 3, 4}, Col: []int32{0, 1, 1, 2}, Weight: []float64{1, 2, 3, -1}, Code: []int32{0, 1, 1, 0}}

func TestSparseValues(t *testing.T) {
	out := matrix(3, 1)
	Aggregate(graph, matrix(3, 1, 10, 20, 30), matrix(2, 1, 1, 2), out, false)
	is(t, "aggregate", out.D, 11+5*22, 0, -31)

	out, arg := matrix(3, 2), make([]int32, 6)
	SegmentMax(out, arg, graph, matrix(3, 2, 7, -2, 7, -1, -5, -6))
	is(t, "maximum", out.D, 7, -1, 0, 0, -5, -6)
	if want := []int32{0, 1, -1, -1, 2, 2}; !slices.Equal(arg, want) {
		t.Errorf("winners %v, want %v", arg, want)
	}

	EmbeddingSum(out, matrix(2, 2, 1, 2, 10, 20), []int32{0, 1, 1, 1, 0, 0}, 2)
	is(t, "embedding", out.D, 11, 22, 20, 40, 2, 4)
}

func TestGATValues(t *testing.T) {
	// Scores 1 and -5 before the leaky ReLU, 1 and -1 behind it; the lone edge of row 2 has all the attention.
	g := GAT[float64]{CSR: CSR[float64]{Rows: 3, RowPtr: []int32{0, 2, 2, 3}, Col: []int32{0, 1, 2}, Code: []int32{0, 0, 1}}, Self: []int32{2, 0, 0}, Heads: 1,
		X: matrix(3, 1, 0, -6, 3), E: matrix(2, 1, 1, 0.5), Att: matrix(1, 2, 0, 1), Out: matrix(3, 1), Alpha: matrix(3, 1), Score: matrix(3, 1)}
	g.Forward()
	a := 1 / (1 + math.Exp(-2))
	is(t, "scores", g.Score.D, 1, -5, 3.5)
	is(t, "attention", g.Alpha.D, a, 1-a, 1)
	is(t, "out", g.Out.D, a*1+(1-a)*-5, 0, 3.5)
	g.Att = matrix(1, 2, 2, 0) // only the receiving node: X[Self]
	g.Forward()
	is(t, "scores of the receivers", g.Score.D, 6, 6, 0)
}

func TestNormValues(t *testing.T) {
	b := BN[float64]{X: matrix(2, 1, 1, 5), Y: matrix(2, 1), Mult: []float64{3, 1}, Total: 4, Gamma: []float64{2}, Beta: []float64{-1}, Mean: []float64{0}, Rstd: []float64{0}, Eps: 1}
	b.Forward() // mean 2, variance (3*1 + 9)/4 = 3
	is(t, "statistics", append(b.Mean, b.Rstd...), 2, 0.5)
	is(t, "batch norm", b.Y.D, -2, 2)
	b.ReLU, b.Frozen, b.Mean, b.Rstd = true, true, []float64{3}, []float64{1}
	b.Forward()
	is(t, "frozen", b.Y.D, 0, 3)

	runMean, runVar := []float64{1}, []float64{1}
	BatchNormRunning(runMean, runVar, []float64{2}, []float64{0.5}, 0.1, 4, 1)
	is(t, "running", append(runMean, runVar...), 1.1, 1+0.1*(3*4.0/3-1))

	l := LN[float64]{X: matrix(1, 2, 1, 5), Y: matrix(1, 2), Gamma: []float64{1, 2}, Beta: []float64{0, 1}, Mean: []float64{0}, Rstd: []float64{0}, Eps: 0}
	l.Forward()
	is(t, "layer norm", l.Y.D, -1, 3)
}

func TestElementValues(t *testing.T) {
	for act, want := range [][]float64{{-2, 3}, {0, 3}, {1 / (1 + math.Exp(2)), 1 / (1 + math.Exp(-3))}, {math.Tanh(-2), math.Tanh(3)}, {-0.4, 3}} {
		y := matrix(1, 2)
		Activate(Act(act), y, matrix(1, 2, -2, 3))
		is(t, "activation", y.D, want...)
	}
	c := matrix(2, 2)
	Gemm(matrix(2, 3, 1, 2, 3, 4, 5, 6), matrix(2, 3, 1, 0, -1, 2, 1, 0), c, false, true, false, []float64{0, 1}, true)
	is(t, "product", c.D, 0, 5, 0, 14)
	Gemm(matrix(3, 2, 1, 4, 2, 5, 3, 6), matrix(3, 2, 1, 2, 0, 1, -1, 0), c, true, false, true, nil, false)
	is(t, "product added", c.D, -2, 9, -2, 27)
	y, norm := matrix(1, 2), []float64{0}
	RowNormalize(y, matrix(1, 2, 3, 4), norm, 0)
	is(t, "normalised", append(y.D, norm...), 0.6, 0.8, 5)
	is(t, "clip", []float64{ClipScale[float64](16, 1), ClipScale[float64](16, 5), ClipScale[float64](0, 1)}, 0.25, 1, 1)
}

// TestUpdateValues: one step of each rule.
func TestUpdateValues(t *testing.T) {
	step := func(rule Rule) Update[float64] {
		u := Update[float64]{Optimiser: Optimiser[float64]{Rule: rule, Momentum: 0.9, Beta1: 0.5, Beta2: 0.75, Eps: 1, Dec: 0.25},
			Rates: Rates[float64]{LR: 0.1, C1: 2, C2: 4}, P: []float64{2}, G: []float64{3}, M: []float64{1}, V: []float64{4}, GradScale: 0.5}
		u.Step()
		return u
	}
	u := step(SGD) // g = 1.5 + 0.5, M = 0.9 + 2
	is(t, "sgd", []float64{u.P[0], u.M[0]}, 2-0.29, 2.9)
	u = step(Adam) // g = 2, M = 1.5, V = 4, mh = 3, vh = 16
	is(t, "adam", []float64{u.P[0], u.M[0], u.V[0]}, 2-0.1*3/5, 1.5, 4)
	u = step(AdamW) // g = 1.5, P = 2 - 0.05, M = 1.25, V = 3.5625
	is(t, "adamw", []float64{u.P[0], u.M[0], u.V[0]}, 1.95-0.1*2.5/(math.Sqrt(14.25)+1), 1.25, 3.5625)
}
