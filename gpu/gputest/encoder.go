package gputest

import (
	"math"
	"slices"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// maybe uploads an input or leaves it out.
func (m *machine) maybe(on bool, name string, v []float64) gpu.Buffer {
	if !on {
		return gpu.Buffer{}
	}
	return m.in(name, v)
}

// maybeMat uploads an input or leaves it out.
func (m *machine) maybeMat(on bool, name string, d dense) gpu.Mat {
	if !on {
		return gpu.Mat{}
	}
	return m.inMat(name, d)
}

func encoderCases() []testCase {
	var cases []testCase
	for _, s := range [][2]int{{0, 5}, {1, 1}, {3, 2}, {7, 5}, {130, 16}, {1031, 33}, {67, 300}} {
		for option2 := range 4 {
			cases = append(cases, geluCases(s[0], s[1], option2&1 != 0, option2&2 != 0)...)
		}
		for option3 := range 8 {
			cases = append(cases, addNormCases(s[0], s[1], option3&1 != 0, option3&2 != 0, option3&4 != 0, 0, 1)...)
		}
	}
	cases = append(cases, addNormCases(131, 300, true, true, true, 1000, 0.05)...)
	for _, s := range [][3]int{{0, 5, 3}, {1, 1, 1}, {3, 2, 5}, {20, 513, 17}, {33, 1031, 40}, {7, 1100, 200}, {5, 300, 400}, {131, 1100, 33}} {
		for _, bias := range both {
			cases = append(cases, linearCECases(s[0], s[1], s[2], bias, false)...)
		}
	}
	cases = append(cases, linearCECases(65, 1031, 33, true, true)...)
	cases = append(cases, linearCECases(4097, 579, 2, true, false)...)                                           // more logits than a device keeps at a time, in both directions
	for _, s := range [][3]int{{0, 3, 5}, {1, 1, 1}, {7, 5, 17}, {37, 41, 33}, {1031, 513, 64}, {67, 29, 300}} { // rows, rows read, columns
		for _, weight := range both {
			cases = append(cases, testCase{"ScatterRows/" + sizes(s[0], s[1], s[2]) + option(weight, "weight"), func(m *machine) {
				c := m.csr("CSR", m.graph(s[0], s[1], 1), weight, false)
				row := make([]int32, s[0])
				for i, r := range m.rng.Perm(2 * s[0])[:s[0]] {
					row[i] = int32(r)
				}
				m.ScatterRows(m.inoutMat("dst", m.matrix(2*s[0], s[2])), m.ints("row", input, row), c, m.inMat("src", m.matrix(s[1], s[2])))
			}})
		}
	}
	return append(cases, tableCases()...)
}

// tableCases are operations on rows of a table of which each side holds a list, or a stretch.
func tableCases() []testCase {
	var cases []testCase
	for _, s := range [][3]int{{0, 5, 3}, {5, 0, 3}, {1, 1, 1}, {7, 5, 17}, {37, 41, 33}, {513, 300, 64}, {29, 67, 384}} { // rows of the two, columns
		for option2 := range 4 {
			listed := [2]bool{option2&1 != 0, option2&2 != 0}
			// A side of n rows: a list from a table of twice the larger number, or n rows from the second on.
			side := func(m *machine, k int, rows func(string, dense) gpu.Mat) gpu.Rows {
				name := string("xy"[k])
				r := gpu.Rows{M: rows(name, m.matrix(s[k], s[2])), First: 1 + 2*k}
				if listed[k] {
					row := distinct(m.rng.Perm(2*max(s[0], s[1])), s[k])
					slices.Sort(row)
					r.Row = m.ints(name+"row", input, row)
				}
				return r
			}
			name := sizes(s[0], s[1], s[2]) + option(listed[0], "x listed") + option(listed[1], "y listed")
			for _, factor := range both {
				cases = append(cases, testCase{"AddRows/" + name + option(factor, "factor"), func(m *machine) {
					x := side(m, 0, m.inMat)
					m.AddRows(side(m, 1, m.inoutMat), m.maybe(factor, "s", []float64{-0.75}), x)
				}})
			}
			cases = append(cases, testCase{"DotRows/" + name, func(m *machine) {
				x, y := side(m, 0, m.inMat), side(m, 1, m.inMat)
				m.DotRows(m.inout("out", []float64{0.5}), 0.6, x, y)
			}})
		}
	}
	return cases
}

func geluCases(rows, cols int, bias, tanh bool) []testCase {
	name := sizes(rows, cols) + option(bias, "bias") + option(tanh, "tanh")
	input := func(m *machine) gpu.GELU {
		x := dense{rows, cols, m.normal(rows*cols, 0, 2)}
		if rows > 3 {
			extreme(x.row(3))
		}
		return gpu.GELU{X: m.inMat("X", x), Bias: m.maybe(bias, "Bias", m.normal(cols, 0, 1)), Tanh: tanh}
	}
	cases := []testCase{{"GELU/" + name, func(m *machine) {
		g := input(m)
		g.Y = m.outMat("Y", rows, cols)
		m.GELU(g)
	}}}
	for _, mode := range []string{"", "/no TX", "/no TBias"} {
		cases = append(cases, testCase{"GELUTangent/" + name + mode, func(m *machine) {
			g := gpu.GELUTangent{GELU: input(m)}
			g.TX, g.TBias = m.maybeMat(mode != "/no TX", "TX", m.matrix(rows, cols)), m.maybe(mode != "/no TBias", "TBias", m.normal(cols, 0, 1))
			g.TY = m.outMat("TY", rows, cols)
			m.GELUTangent(g)
		}})
	}
	for _, mode := range []string{"", "/accumulate", "/in place", "/no DBias"} {
		cases = append(cases, testCase{"GELUGrad/" + name + mode, func(m *machine) {
			g := gpu.GELUGrad{GELU: input(m), Accumulate: mode == "/accumulate"}
			if mode == "/in place" {
				g.DX = m.inoutMat("DX", m.matrix(rows, cols))
				g.DY = g.DX
			} else {
				g.DY, g.DX = m.inMat("DY", m.matrix(rows, cols)), m.destMat("DX", rows, cols, g.Accumulate)
			}
			if mode != "/no DBias" {
				g.DBias = m.inout("DBias", m.normal(cols, 0, 1))
			}
			m.GELUGrad(g)
		}})
	}
	return cases
}

// addNormInput are the arguments of AddNorm on the host.
type addNormInput struct {
	x, r              dense
	bias, gamma, beta []float64
	p                 float64
}

var addNormKey = gpu.Key{Seed: 0x123456789abcdef, Step: 3, Stream: 9}

// addNorm uploads what gradients and tangents read too.
func (m *machine) addNorm(in addNormInput) gpu.AddNorm {
	return gpu.AddNorm{Bias: m.in("Bias", in.bias), DropP: in.p, Key: addNormKey, Gamma: m.in("Gamma", in.gamma), Beta: m.in("Beta", in.beta), Eps: normEps}
}

// addNormDone uploads Z, Mean and Rstd as the oracle computes them. It also returns the largest slope of the output.
func (m *machine) addNormDone(in addNormInput) (gpu.AddNorm, float64) {
	rows, cols := in.x.rows, in.x.cols
	z, y, mean, rstd := zeros(rows, cols), zeros(rows, cols), make([]float64, rows), make([]float64, rows)
	a := ref.AddNorm[float64]{X: in.x.oracle(), Z: z.oracle(), Y: y.oracle(), Bias: in.bias, P: in.p, Seed: addNormKey.Seed, Step: addNormKey.Step,
		Stream: addNormKey.Stream, Gamma: in.gamma, Beta: in.beta, Mean: mean, Rstd: rstd, Eps: normEps}
	if in.r.v != nil {
		a.R = in.r.oracle()
	}
	a.Forward()
	o := m.addNorm(in)
	o.Z, o.Mean, o.Rstd = m.inMat("Z", dense{rows, cols, rounded(z.v)}), m.in("Mean", rounded(mean)), m.in("Rstd", rounded(rstd))
	return o, size(rstd) * size(in.gamma)
}

func addNormCases(rows, cols int, residual, bias, drop bool, mean, spread float64) []testCase {
	name := sizes(rows, cols) + option(residual, "residual") + option(bias, "bias") + option(drop, "dropout") + option(mean != 0, "large mean")
	input := func(m *machine) addNormInput {
		in := addNormInput{x: dense{rows, cols, m.normal(rows*cols, 0, spread)}, gamma: m.normal(cols, 1, 0.3), beta: m.normal(cols, 0, 1)}
		if residual {
			in.r = dense{rows, cols, m.normal(rows*cols, mean, spread)}
		}
		if bias {
			in.bias = m.normal(cols, 0, 1)
		}
		if drop {
			in.p = 0.3
		}
		return in
	}
	// A row that dropout leaves empty, or of one column, has variance 0 and takes differences of equal numbers times 1/sqrt(eps).
	magnify := func(in addNormInput) float64 {
		return (size(in.x.v) + size(in.bias) + size(in.r.v)) * size(in.gamma) / math.Sqrt(normEps)
	}
	var cases []testCase
	for _, inPlace := range both {
		cases = append(cases, testCase{"AddNorm/" + name + option(inPlace, "in place"), func(m *machine) {
			in := input(m)
			o := m.addNorm(in)
			if residual {
				o.R = m.inMat("R", in.r)
			}
			if inPlace {
				o.Z = m.inoutMat("XZ", in.x)
				o.X = o.Z
			} else {
				o.X, o.Z = m.inMat("X", in.x), m.outMat("Z", rows, cols)
			}
			o.Y = m.outMat("Y", rows, cols)
			if cols < 4 {
				m.terms(magnify(in))
			}
			o.Mean = m.out("Mean", rows)
			m.terms(size(in.x.v))
			o.Rstd = m.out("Rstd", rows)
			m.AddNorm(o)
		}})
	}
	for _, mode := range []string{"", "/no TX", "/no TR", "/no vectors"} {
		cases = append(cases, testCase{"AddNormTangent/" + name + mode, func(m *machine) {
			o, slope := m.addNormDone(input(m))
			tx, tr := m.matrix(rows, cols), m.matrix(rows, cols)
			g := gpu.AddNormTangent{AddNorm: o, TX: m.maybeMat(mode != "/no TX", "TX", tx), TR: m.maybeMat(residual && mode != "/no TR", "TR", tr)}
			v := mode != "/no vectors"
			g.TBias, g.TGamma = m.maybe(bias && v, "TBias", m.normal(cols, 0, 1)), m.maybe(v, "TGamma", m.normal(cols, 0, 1))
			g.TBeta = m.maybe(v, "TBeta", m.normal(cols, 0, 1))
			g.TY = m.outMat("TY", rows, cols)
			m.terms(slope * (2*size(tx.v) + size(tr.v)))
			m.AddNormTangent(g)
		}})
	}
	for _, mode := range []string{"", "/accumulate", "/no DX", "/no DR", "/no DBias", "/one result"} {
		if mode == "/one result" && drop {
			continue
		}
		cases = append(cases, testCase{"AddNormGrad/" + name + mode, func(m *machine) {
			o, slope := m.addNormDone(input(m))
			dy := m.matrix(rows, cols)
			g := gpu.AddNormGrad{AddNorm: o, DY: m.inMat("DY", dy), Accumulate: mode == "/accumulate",
				DGamma: m.inout("DGamma", m.normal(cols, 0, 1)), DBeta: m.inout("DBeta", m.normal(cols, 0, 1))}
			if mode != "/no DBias" {
				g.DBias = m.inout("DBias", m.normal(cols, 0, 1))
				m.terms(slope * size(dy.v))
			}
			if mode != "/no DX" {
				g.DX = m.outMat("DX", rows, cols)
				m.terms(2 * slope * size(dy.v))
			}
			if mode == "/one result" {
				g.DR = g.DX
			} else if residual && mode != "/no DR" {
				g.DR = m.destMat("DR", rows, cols, g.Accumulate)
				m.terms(slope * size(dy.v))
			}
			m.AddNormGrad(g)
		}})
	}
	return cases
}

func linearCECases(n, classes, inner int, bias, large bool) []testCase {
	name := sizes(n, classes, inner) + option(bias, "bias") + option(large, "large")
	type arguments struct {
		gpu.LinearCE
		x, w dense
	}
	logit := 3.0 // a few units, or up to 80
	if large {
		logit = 21
	}
	input := func(m *machine) arguments {
		a := arguments{x: m.matrix(n, inner), w: dense{classes, inner, m.normal(classes*inner, 0, logit/math.Sqrt(float64(inner)))}}
		b, target := m.normal(classes, 0, 1), m.index(n, 0, classes)
		for i := range target {
			if i%5 == 3 {
				target[i] = -1
			}
		}
		lse := make([]float64, n)
		o := ref.LinearCE[float64]{X: a.x.oracle(), W: a.w.oracle(), Target: target, Scale: 1, LSE: lse, Loss: []float64{0}}
		if bias {
			o.Bias = b
		}
		o.Forward()
		a.LinearCE = gpu.LinearCE{X: m.inMat("X", a.x), W: m.inMat("W", a.w), Bias: m.maybe(bias, "Bias", b), Target: m.ints("Target", input, target),
			Scale: 1 / float64(n+1), LSE: m.in("LSE", rounded(lse))}
		return a
	}
	cases := []testCase{{"LinearCE/" + name, func(m *machine) {
		a := input(m)
		a.LSE, a.Loss = m.out("LSE of the result", n), m.inout("Loss", []float64{0.5})
		m.LinearCE(a.LinearCE)
	}}}
	gradients, tangents := []string{"", "/accumulate", "/no Up", "/no DX", "/no DW", "/no DBias"}, []string{"", "/no TX", "/no TW", "/no TBias"}
	if n > 4096 {
		gradients, tangents = gradients[:1], tangents[:1]
	}
	for _, mode := range gradients {
		cases = append(cases, testCase{"LinearCEGrad/" + name + mode, func(m *machine) {
			a := input(m)
			g := gpu.LinearCEGrad{LinearCE: a.LinearCE, Up: m.maybe(mode != "/no Up", "Up", []float64{1.5}), Accumulate: mode == "/accumulate"}
			if mode != "/no DX" {
				g.DX = m.destMat("DX", n, inner, g.Accumulate)
				m.terms(size(a.w.v) * a.Scale)
			}
			if mode != "/no DW" {
				g.DW = m.inoutMat("DW", m.matrix(classes, inner))
			}
			if mode != "/no DBias" {
				g.DBias = m.inout("DBias", m.normal(classes, 0, 1))
			}
			m.LinearCEGrad(g)
		}})
	}
	for _, mode := range tangents {
		cases = append(cases, testCase{"LinearCETangent/" + name + mode, func(m *machine) {
			a := input(m)
			g := gpu.LinearCETangent{LinearCE: a.LinearCE, C: 0.7}
			g.TX, g.TW = m.maybeMat(mode != "/no TX", "TX", m.matrix(n, inner)), m.maybeMat(mode != "/no TW", "TW", m.matrix(classes, inner))
			g.TBias = m.maybe(mode != "/no TBias", "TBias", m.normal(classes, 0, 1))
			g.Out = m.inout("Out", []float64{0.5})
			// A probability is as far off as its logit, by a fraction of the logit's size; what it is multiplied with is a logit's tangent.
			m.terms(math.Sqrt(float64(n)) * a.Scale * logit * (logit + math.Sqrt(float64(inner))))
			m.LinearCETangent(g)
		}})
	}
	return cases
}

// encoderShapes are calls with one argument of the wrong shape.
func encoderShapes(m *machine) map[string]func() {
	mat := func(rows, cols int) gpu.Mat { return m.inMat("", m.matrix(rows, cols)) }
	vec := func(n int) gpu.Buffer { return m.in("", m.normal(n, 0, 1)) }
	add := gpu.AddNorm{X: mat(5, 3), Z: mat(5, 3), Y: mat(5, 3), Gamma: vec(3), Beta: vec(3), Mean: vec(5), Rstd: vec(5), Eps: 1e-5}
	ce := gpu.LinearCE{X: mat(5, 3), W: mat(7, 3), Target: m.ints("", input, make([]int32, 5)), LSE: vec(5), Loss: vec(1)}
	csr := m.csr("", m.graph(5, 4, 3), true, false)
	return map[string]func(){
		"GELU with a short bias":     func() { m.GELU(gpu.GELU{X: mat(5, 3), Y: mat(5, 3), Bias: vec(2)}) },
		"GELUGrad of too few rows":   func() { m.GELUGrad(gpu.GELUGrad{GELU: gpu.GELU{X: mat(5, 3)}, DY: mat(4, 3), DX: mat(5, 3)}) },
		"AddNorm of another width":   func() { a := add; a.R = mat(5, 4); m.AddNorm(a) },
		"AddNorm that drops all, 1":  func() { a := add; a.DropP = 1; m.AddNorm(a) },
		"AddNormGrad without a sum":  func() { m.AddNormGrad(gpu.AddNormGrad{AddNorm: add, DY: mat(5, 3), DGamma: vec(3)}) },
		"AddNormTangent of few rows": func() { m.AddNormTangent(gpu.AddNormTangent{AddNorm: add, TX: mat(4, 3), TY: mat(5, 3)}) },
		"LinearCE of another width":  func() { l := ce; l.W = mat(7, 4); m.LinearCE(l) },
		"LinearCEGrad of few classes": func() {
			m.LinearCEGrad(gpu.LinearCEGrad{LinearCE: ce, DX: mat(5, 3), DW: mat(6, 3)})
		},
		"LinearCETangent without a sum": func() { m.LinearCETangent(gpu.LinearCETangent{LinearCE: ce, TX: mat(5, 3)}) },
		"AddRows of another width":      func() { m.AddRows(gpu.Rows{M: mat(5, 3)}, gpu.Buffer{}, gpu.Rows{M: mat(5, 4)}) },
		"DotRows with a short list": func() {
			m.DotRows(vec(1), 1, gpu.Rows{M: mat(5, 3)}, gpu.Rows{M: mat(5, 3), Row: m.ints("", input, make([]int32, 4))})
		},
		"ScatterRows with too few rows": func() { m.ScatterRows(mat(9, 3), m.ints("", input, make([]int32, 4)), csr, mat(4, 3)) },
	}
}
