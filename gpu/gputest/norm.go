package gputest

import (
	"math"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// normInput are the arguments of a normalisation on the host.
type normInput struct {
	x           dense
	mult        []float64 // nil: ones
	total       float64
	gamma, beta []float64
	relu        bool
	frozen      bool
}

const normEps = 1e-5

func (m *machine) normInput(rows, cols int, mult, relu, frozen bool, mean, spread float64) normInput {
	in := normInput{x: dense{rows, cols, m.normal(rows*cols, mean, spread)}, total: float64(rows), gamma: m.normal(cols, 1, 0.3), beta: m.normal(cols, 0, 1), relu: relu, frozen: frozen}
	if mult {
		in.mult, in.total = make([]float64, rows), 0
		for r := range in.mult {
			in.mult[r] = float64(1 + m.rng.IntN(5))
			in.total += in.mult[r]
		}
	}
	return in
}

func act(relu bool) gpu.Act {
	if relu {
		return gpu.ReLU
	}
	return gpu.Identity
}

// batchNorm uploads everything but Y, Mean and Rstd.
func (m *machine) batchNorm(in normInput) gpu.BatchNorm {
	o := gpu.BatchNorm{X: m.inMat("X", in.x), Total: in.total, Gamma: m.in("Gamma", in.gamma), Beta: m.in("Beta", in.beta), Eps: normEps, Act: act(in.relu), Frozen: in.frozen}
	if in.mult != nil {
		o.Mult = m.in("Mult", in.mult)
	}
	return o
}

// batchNormDone uploads everything, with the oracle's results as inputs. It also returns the largest slope of the output.
func (m *machine) batchNormDone(in normInput) (gpu.BatchNorm, float64) {
	y, mean, rstd := zeros(in.x.rows, in.x.cols), m.normal(in.x.cols, 0, 1), m.positive(in.x.cols)
	ref.BN[float64]{X: in.x.oracle(), Y: y.oracle(), Mult: in.mult, Total: in.total, Gamma: in.gamma, Beta: in.beta, Mean: mean, Rstd: rstd,
		Eps: normEps, ReLU: in.relu, Frozen: in.frozen}.Forward()
	o := m.batchNorm(in)
	o.Y, o.Mean, o.Rstd = m.inMat("Y", dense{y.rows, y.cols, rounded(y.v)}), m.in("Mean", rounded(mean)), m.in("Rstd", rounded(rstd))
	return o, size(rstd) * size(in.gamma)
}

// layerNorm uploads everything but Y, Mean and Rstd.
func (m *machine) layerNorm(in normInput) gpu.LayerNorm {
	return gpu.LayerNorm{X: m.inMat("X", in.x), Gamma: m.in("Gamma", in.gamma), Beta: m.in("Beta", in.beta), Eps: normEps, Act: act(in.relu)}
}

// layerNormDone uploads everything, with the oracle's results as inputs. It also returns the largest slope of the output.
func (m *machine) layerNormDone(in normInput) (gpu.LayerNorm, float64) {
	y, mean, rstd := zeros(in.x.rows, in.x.cols), make([]float64, in.x.rows), make([]float64, in.x.rows)
	ref.LN[float64]{X: in.x.oracle(), Y: y.oracle(), Gamma: in.gamma, Beta: in.beta, Mean: mean, Rstd: rstd, Eps: normEps, ReLU: in.relu}.Forward()
	o := m.layerNorm(in)
	o.Y, o.Mean, o.Rstd = m.inMat("Y", dense{y.rows, y.cols, rounded(y.v)}), m.in("Mean", rounded(mean)), m.in("Rstd", rounded(rstd))
	return o, size(rstd) * size(in.gamma)
}

func normCases() []testCase {
	var cases []testCase
	for _, s := range [][2]int{{0, 5}, {1, 1}, {2, 17}, {7, 5}, {64, 16}, {257, 33}, {1031, 70}, {130, 300}} {
		for option3 := range 8 {
			mult, relu, frozen := option3&1 != 0, option3&2 != 0, option3&4 != 0
			if s[0] == 0 && !frozen {
				continue // the mean of nothing
			}
			cases = append(cases, batchNormCases(s[0], s[1], mult, relu, frozen, 0, 1)...)
		}
	}
	// The spread is a fraction of the mean that E[x²]-mean² loses in float32.
	cases = append(cases, batchNormCases(1031, 19, true, false, false, 1000, 0.05)...)
	cases = append(cases, batchNormCases(300, 5, false, true, false, -300, 0.01)...)
	for _, s := range [][2]int{{0, 5}, {1, 1}, {3, 2}, {7, 5}, {130, 16}, {1031, 33}, {67, 300}} {
		for _, relu := range both {
			cases = append(cases, layerNormCases(s[0], s[1], relu, 0, 1)...)
		}
	}
	cases = append(cases, layerNormCases(131, 300, true, 1000, 0.05)...)

	for _, s := range [][3]int{{0, 5, 3}, {5, 3, 2}, {130, 70, 33}, {257, 36, 40}, {700, 300, 64}} {
		for option4 := range 16 {
			frozen := option4&8 != 0
			if s[0] == 0 && !frozen {
				continue // the mean of nothing
			}
			cases = append(cases, linearNormCase(s[0], s[1], s[2], option4&1 != 0, option4&2 != 0, option4&4 != 0, frozen))
		}
	}

	for _, n := range []int{0, 1, 17, 300} {
		for _, total := range []float64{1, 2, 1000} {
			cases = append(cases, testCase{"BatchNormRunning/" + sizes(n, int(total)), func(m *machine) {
				m.BatchNormRunning(m.inout("runMean", m.normal(n, 0, 1)), m.inout("runVar", m.positive(n)), m.in("mean", m.normal(n, 0, 1)),
					m.in("rstd", m.positive(n)), 0.1, total, normEps)
			}})
		}
		cases = append(cases, testCase{"RstdOf/" + sizes(n), func(m *machine) {
			v := m.positive(n)
			if n > 1 {
				v[0] = 0
			}
			m.RstdOf(m.out("rstd", n), m.in("variance", v), normEps)
		}})
	}
	return cases
}

func batchNormCases(rows, cols int, mult, relu, frozen bool, mean, spread float64) []testCase {
	name := sizes(rows, cols) + option(mult, "mult") + option(relu, "relu") + option(frozen, "frozen") + option(mean != 0, "large mean")
	input := func(m *machine) normInput { return m.normInput(rows, cols, mult, relu, frozen, mean, spread) }
	statistics := func(m *machine, o *gpu.BatchNorm, in normInput) {
		if frozen {
			o.Mean, o.Rstd = m.in("Mean", m.normal(cols, 0, 1)), m.in("Rstd", m.positive(cols))
		} else {
			o.Rstd, o.Mean = m.out("Rstd", cols), m.out("Mean", cols)
			m.terms(size(in.x.v))
		}
	}
	cases := []testCase{{"BatchNorm/" + name, func(m *machine) {
		in := input(m)
		o := m.batchNorm(in)
		statistics(m, &o, in)
		o.Y = m.outMat("Y", rows, cols)
		m.BatchNorm(o)
	}}, {"BatchNorm/" + name + "/in place", func(m *machine) {
		in := input(m)
		o := m.batchNorm(in)
		statistics(m, &o, in)
		o.Y = m.inoutMat("XY", in.x)
		o.X = o.Y
		m.BatchNorm(o)
	}}, {"BatchNormTangent/" + name, func(m *machine) {
		o, slope := m.batchNormDone(input(m))
		tx := m.matrix(rows, cols)
		d := gpu.BatchNormTangent{BatchNorm: o, TX: m.inMat("TX", tx), TGamma: m.in("TGamma", m.normal(cols, 0, 1)), TBeta: m.in("TBeta", m.normal(cols, 0, 1)),
			TY: m.outMat("TY", rows, cols)}
		m.terms(slope * size(tx.v))
		m.BatchNormTangent(d)
	}}}
	for _, mode := range []string{"", "/accumulate", "/no DX"} {
		cases = append(cases, testCase{"BatchNormGrad/" + name + mode, func(m *machine) {
			o, slope := m.batchNormDone(input(m))
			dy := m.matrix(rows, cols)
			g := gpu.BatchNormGrad{BatchNorm: o, DY: m.inMat("DY", dy), Accumulate: mode == "/accumulate",
				DGamma: m.inout("DGamma", m.normal(cols, 0, 1)), DBeta: m.inout("DBeta", m.normal(cols, 0, 1))}
			if mode != "/no DX" {
				g.DX = m.destMat("DX", rows, cols, g.Accumulate)
				m.terms(slope * size(dy.v))
			}
			m.BatchNormGrad(g)
		}})
	}
	return cases
}

// linearNormCase normalises a product: a device may take the statistics while it multiplies. The columns' means are up to 30
// deviations away from zero.
func linearNormCase(rows, cols, k int, bias, relu, mult, frozen bool) testCase {
	name := sizes(rows, cols, k) + option(bias, "bias") + option(relu, "relu") + option(mult, "mult") + option(frozen, "frozen")
	return testCase{"Gemm+BatchNorm/" + name, func(m *machine) {
		in := m.normInput(rows, cols, mult, false, frozen, 0, 1)
		g := gpu.Gemm{A: m.inMat("A", m.matrix(rows, k)), B: m.inMat("B", m.matrix(cols, k)), TransB: true, Act: act(relu)}
		spread := math.Sqrt(float64(k)) // of the product's elements
		if bias {
			g.Bias = m.in("Bias", m.normal(cols, 0, 10*spread))
		}
		o := gpu.BatchNorm{Total: in.total, Gamma: m.in("Gamma", in.gamma), Beta: m.in("Beta", in.beta), Eps: normEps, Frozen: frozen}
		if mult {
			o.Mult = m.in("Mult", in.mult)
		}
		if frozen {
			o.Mean, o.Rstd = m.in("Mean", m.normal(cols, 0, 1)), m.in("Rstd", m.positive(cols))
		} else {
			o.Rstd, o.Mean = m.out("Rstd", cols), m.out("Mean", cols)
			m.terms(spread)
		}
		g.C = m.outMat("C", rows, cols)
		o.X, o.Y = g.C, m.outMat("Y", rows, cols)
		m.Gemm(g)
		m.BatchNorm(o)
	}}
}

func layerNormCases(rows, cols int, relu bool, mean, spread float64) []testCase {
	name := sizes(rows, cols) + option(relu, "relu") + option(mean != 0, "large mean")
	input := func(m *machine) normInput { return m.normInput(rows, cols, false, relu, false, mean, spread) }
	cases := []testCase{{"LayerNorm/" + name, func(m *machine) {
		o := m.layerNorm(input(m))
		o.Y, o.Mean, o.Rstd = m.outMat("Y", rows, cols), m.out("Mean", rows), m.out("Rstd", rows)
		m.LayerNorm(o)
	}}, {"LayerNormTangent/" + name, func(m *machine) {
		o, slope := m.layerNormDone(input(m))
		tx := m.matrix(rows, cols)
		d := gpu.LayerNormTangent{LayerNorm: o, TX: m.inMat("TX", tx), TGamma: m.in("TGamma", m.normal(cols, 0, 1)), TBeta: m.in("TBeta", m.normal(cols, 0, 1)),
			TY: m.outMat("TY", rows, cols)}
		m.terms(slope * size(tx.v))
		m.LayerNormTangent(d)
	}}}
	for _, mode := range []string{"", "/accumulate", "/no DX"} {
		cases = append(cases, testCase{"LayerNormGrad/" + name + mode, func(m *machine) {
			o, slope := m.layerNormDone(input(m))
			dy := m.matrix(rows, cols)
			g := gpu.LayerNormGrad{LayerNorm: o, DY: m.inMat("DY", dy), Accumulate: mode == "/accumulate",
				DGamma: m.inout("DGamma", m.normal(cols, 0, 1)), DBeta: m.inout("DBeta", m.normal(cols, 0, 1))}
			if mode != "/no DX" {
				g.DX = m.destMat("DX", rows, cols, g.Accumulate)
				m.terms(slope * size(dy.v))
			}
			m.LayerNormGrad(g)
		}})
	}
	return cases
}

// extreme puts ±80 and zeros among the elements of a row.
func extreme(v []float64) []float64 {
	for i := range v {
		switch i % 7 {
		case 2:
			v[i] = math.Copysign(80, v[i])
		case 5:
			v[i] = 0
		}
	}
	return v
}
