package gputest

import (
	"fmt"
	"math"

	"tapweight/gpu"
)

func vectorCases() []testCase {
	var cases []testCase
	add := func(name string, run func(m *machine)) { cases = append(cases, testCase{name, run}) }
	for _, n := range []int{0, 1, 7, 16, 1000, 16385, 40009} {
		size := sizes(n)
		vec := func(m *machine) []float64 { return m.normal(n, 0, 1) }
		add("Fill/"+size, func(m *machine) { m.Fill(m.out("x", n), 0.25) })
		add("Copy/"+size, func(m *machine) { m.Copy(m.out("dst", n), m.in("src", vec(m))) })
		for _, device := range both {
			name := size + option(device, "device scalar")
			scalar := func(m *machine) gpu.Buffer {
				if device {
					return m.in("s", []float64{-1.75})
				}
				return gpu.Buffer{}
			}
			add("Scale/"+name, func(m *machine) { m.Scale(m.inout("x", vec(m)), 0.3, scalar(m)) })
			add("Axpy/"+name, func(m *machine) { m.Axpy(m.inout("y", vec(m)), 0.3, scalar(m), m.in("x", vec(m))) })
			add("Perturb/"+name, func(m *machine) { m.Perturb(m.out("dst", n), m.in("x", vec(m)), 1e-3, scalar(m), m.in("d", vec(m))) })
		}
		add("Mul/"+size, func(m *machine) { m.Mul(m.out("dst", n), -0.7, m.in("a", vec(m)), m.in("b", vec(m))) })
		add("Mul/"+size+"/into a", func(m *machine) {
			a := m.inout("a", vec(m))
			m.Mul(a, -0.7, a, m.in("b", vec(m)))
		})
		add("Mul/"+size+"/into b", func(m *machine) {
			b := m.inout("b", vec(m))
			m.Mul(b, -0.7, m.in("a", vec(m)), b)
		})
		for _, accumulate := range both {
			add("Dot/"+size+option(accumulate, "accumulate"), func(m *machine) {
				x, y := m.in("x", vec(m)), m.in("y", vec(m))
				m.Dot(m.dest("out", 1, accumulate), 0.6, x, y, accumulate)
			})
		}
		for _, k := range []int{1, 3, gpu.MaxVectors} {
			many := func(m *machine) []gpu.Buffer {
				xs := make([]gpu.Buffer, k)
				for i := range xs {
					xs[i] = m.in(fmt.Sprintf("x%d", i), vec(m))
				}
				return xs
			}
			for _, accumulate := range both {
				add("Combine/"+sizes(n, k)+option(accumulate, "accumulate"), func(m *machine) {
					s, xs := m.in("s", m.normal(k, 0, 1)), many(m)
					m.Combine(m.dest("dst", n, accumulate), s, xs, accumulate)
				})
			}
			add("Dots/"+sizes(n, k), func(m *machine) {
				xs, y := many(m), m.in("y", vec(m))
				m.Dots(m.inout("out", m.normal(k, 0, 1)), 0.6, xs, y)
			})
			add("Gram/"+sizes(n, k), func(m *machine) {
				xs := many(m)
				m.Gram(m.out("out", k*k), xs)
			})
		}
		for _, loss := range both {
			add("Prox/"+size+option(loss, "loss"), func(m *machine) {
				var l gpu.Buffer
				if loss {
					l = m.inout("loss", []float64{0.5})
				}
				m.Prox(m.inout("g", vec(m)), m.in("w", vec(m)), m.in("ref", vec(m)), 1e-2, l)
			})
		}
		cases = append(cases, updateCases(n)...)
	}
	add("Dot/of a large sum that cancels", func(m *machine) {
		// A sum in float32 loses the ones, so the naive loop allows anything: the float64 that Dot promises is checked here.
		x, y := make([]float64, 3001), make([]float64, 3001)
		for i := range x {
			x[i], y[i] = 1, 1
		}
		x[0], x[3000] = 1<<27, -1<<27
		out := m.out("out", 1)
		m.Dot(out, 1, m.in("x", x), m.in("y", y), false)
		if got := m.download(out)[0]; m.Info().Name != "naive" && !(math.Abs(got-2999) <= 1e-3) {
			m.fault("sum is %v, want 2999: Dot promises float64", got)
		}
	})
	for _, s := range [][2]int{{0, 5}, {1, 1}, {5, 3}, {37, 48}, {300, 67}, {61, 384}} {
		cases = append(cases, rowsCases(s[0], s[1])...)
	}
	for _, s := range matrixSizes {
		for _, accumulate := range both {
			add("DotMat/"+sizes(s[0], s[1])+option(accumulate, "accumulate"), func(m *machine) {
				x, y := m.inMat("x", m.matrix(s[0], s[1])), m.inMat("y", m.matrix(s[0], s[1]))
				m.DotMat(m.dest("out", 1, accumulate), 0.6, x, y, accumulate)
			})
		}
	}
	for _, norm2 := range []float64{0, 0.25, 1, 9, 1e20} {
		add(fmt.Sprintf("ClipScale/%g", norm2), func(m *machine) {
			m.ClipScale(m.out("scale", 1), m.in("norm2", rounded([]float64{norm2})), 1)
		})
	}
	for _, scale := range []float64{0.25, 1} {
		add(fmt.Sprintf("ClipCoef/%g", scale), func(m *machine) {
			m.ClipCoef(m.out("out", 1), m.in("scale", []float64{scale}), m.in("norm2", m.positive(1)), m.in("dot", m.normal(1, 0, 1)))
		})
	}
	for _, v := range []float64{0, 1e-12, 3} {
		add(fmt.Sprintf("StepSize/%g", v), func(m *machine) {
			m.StepSize(m.out("out", 2), m.in("norm2", rounded([]float64{v})), 0.01)
		})
		add(fmt.Sprintf("Quotient/%g", v), func(m *machine) {
			m.Quotient(m.out("out", 1), m.in("a", m.normal(1, 0, 1)), m.in("b", rounded([]float64{v})))
		})
	}
	for _, n := range []int{1, 2, 5, 13} {
		for _, large := range both {
			add("Softmax/"+sizes(n)+option(large, "large"), func(m *machine) {
				x := m.normal(n, 0, 1)
				if large {
					extreme(x)
				}
				m.Softmax(m.out("out", n), m.in("x", x))
			})
		}
		add("SoftmaxGrad/"+sizes(n), func(m *machine) {
			m.SoftmaxGrad(m.out("dx", n), m.in("y", m.positive(n)), m.in("dy", m.normal(n, 0, 1)))
		})
	}
	return cases
}

func updateCases(n int) []testCase {
	var cases []testCase
	for rule := gpu.SGD; rule <= gpu.AdamW; rule++ {
		for _, momentum := range []float64{0, 0.9} {
			if rule != gpu.SGD && momentum > 0 {
				continue
			}
			for option3 := range 8 {
				jac, clip, decay := option3&1 != 0, option3&2 != 0, option3&4 != 0
				name := fmt.Sprintf("Update/%d/%s", n, rule) + option(momentum > 0, "momentum") + option(jac, "jac") + option(clip, "clip") + option(decay, "decay")
				cases = append(cases, testCase{name, func(m *machine) {
					u := m.update(rule, n, 7)
					u.Momentum = momentum
					u.P, u.G = m.inout("P", m.normal(n, 0, 1)), m.in("G", m.normal(n, 0, 1))
					if rule != gpu.SGD || momentum > 0 {
						u.M = m.inout("M", m.normal(n, 0, 0.3))
					}
					if rule != gpu.SGD {
						u.V = m.inout("V", m.positive(n))
					}
					if jac {
						u.Jac = m.out("Jac", n)
					}
					if clip {
						u.GradScale = m.in("GradScale", rounded([]float64{0.4}))
					}
					if decay {
						u.WeightDecay = 0.01
					}
					m.Update(u)
				}})
			}
		}
		cases = append(cases, testCase{fmt.Sprintf("Update/%d/%s/jac into the gradient", n, rule), func(m *machine) {
			u := m.update(rule, n, 7)
			u.P, u.G = m.inout("P", m.normal(n, 0, 1)), m.inout("G", m.normal(n, 0, 1))
			if rule != gpu.SGD {
				u.M, u.V = m.inout("M", m.normal(n, 0, 0.3)), m.inout("V", m.positive(n))
			}
			u.Jac = u.G
			m.Update(u)
		}})
		if rule == gpu.SGD {
			continue
		}
		cases = append(cases, testCase{fmt.Sprintf("Update/%d/%s/first step", n, rule), func(m *machine) {
			// vh = g²: the two terms of the factor cancel but for eps.
			u := m.update(rule, n, 1)
			g := m.normal(n, 0, 1)
			for i := range g {
				if i%3 == 1 {
					g[i] = 0 // vh = 0
				}
			}
			u.P, u.G, u.M, u.V = m.inout("P", m.normal(n, 0, 1)), m.in("G", g), m.inout("M", make([]float64, n)), m.inout("V", make([]float64, n))
			u.Eps = 1e-2
			u.Jac = m.out("Jac", n)
			terms := 0.0
			for _, v := range g {
				terms = max(terms, 1e-2/(math.Abs(v)+u.Eps)) // lr/(sqrt(vh)+eps)
			}
			m.terms(terms)
			m.Update(u)
		}}, testCase{fmt.Sprintf("Update/%d/%s/no second moment", n, rule), func(m *machine) {
			// vh = 0 under a momentum: the step is mh/eps, the factor has one term.
			u := m.update(rule, n, 4)
			u.P, u.G, u.M, u.V = m.inout("P", m.normal(n, 0, 1)), m.in("G", make([]float64, n)), m.inout("M", m.normal(n, 0, 1)), m.inout("V", make([]float64, n))
			u.Jac = m.out("Jac", n)
			m.Update(u)
		}})
	}
	return cases
}

// update returns the scalars of step t.
func (m *machine) update(rule gpu.Rule, n, t int) gpu.Update {
	const b1, b2 = 0.9, 0.999
	return gpu.Update{Rule: rule, Beta1: b1, Beta2: b2, Eps: 1e-8,
		Rates: [3]float64(rounded([]float64{1e-2, 1 / (1 - math.Pow(b1, float64(t))), 1 / (1 - math.Pow(b2, float64(t)))}))}
}

// rowsCases are the steps put off by the rows of a table: one call against the oracle, and a run of batches against Update.
func rowsCases(rows, cols int) []testCase {
	var cases []testCase
	add := func(kind string, rule gpu.Rule, momentum, decay float64, run func(m *machine, u gpu.UpdateRows)) {
		name := fmt.Sprintf("UpdateRows/%dx%d/%s", rows, cols, rule) + option(momentum > 0, "momentum") + option(decay > 0, "decay") + "/" + kind
		cases = append(cases, testCase{name, func(m *machine) {
			u := gpu.UpdateRows{Rule: rule, Momentum: momentum, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: decay}
			run(m, u)
		}})
	}
	for rule := gpu.SGD; rule <= gpu.AdamW; rule++ {
		for _, momentum := range []float64{0, 0.9} {
			for _, decay := range []float64{0, 0.01} {
				if rule != gpu.SGD && momentum > 0 {
					continue
				}
				for _, listed := range both {
					for _, grad := range both {
						add(option(listed, "listed")+option(grad, "gradient"), rule, momentum, decay, func(m *machine, u gpu.UpdateRows) {
							m.lateCall(u, rows, cols, listed, grad)
						})
					}
				}
				add("as Update", rule, momentum, decay, func(m *machine, u gpu.UpdateRows) { m.lateRun(u, rows, cols) })
			}
		}
	}
	return cases
}

// rates returns those of a number of steps, with the rate of learning rising and falling.
func (m *machine) rates(steps int) []float64 {
	var v []float64
	for t := range steps {
		u := m.update(gpu.AdamW, 0, t+1)
		v = append(v, u.Rates[0]*float64(1+t%5)/4, u.Rates[1], u.Rates[2])
	}
	return rounded(v)
}

// lateCall calls UpdateRows once, with rows that are up to date, that missed some steps, and that never had a gradient.
func (m *machine) lateCall(u gpu.UpdateRows, rows, cols int, listed, grad bool) {
	const until = 6
	moment := func(d dense) dense {
		for r := 2; r < rows; r += 4 {
			clear(d.row(r))
		}
		return d
	}
	u.P = m.inoutMat("P", m.matrix(rows, cols))
	if u.Rule != gpu.SGD || u.Momentum > 0 {
		u.M = m.inoutMat("M", moment(dense{rows, cols, m.normal(rows*cols, 0, 0.3)}))
	}
	if u.Rule != gpu.SGD {
		u.V = m.inoutMat("V", moment(dense{rows, cols, m.positive(rows * cols)}))
	}
	if grad {
		u.G = m.inoutMat("G", m.matrix(rows, cols))
		u.GradScale = m.in("GradScale", rounded([]float64{0.4}))
	}
	u.Last = m.ints("Last", scratch, m.index(rows, 0, until+2))
	u.Rates, u.Until = m.in("Rates", m.rates(until+1)), until
	if listed {
		u.Row = m.ints("Row", input, distinct(m.rng.Perm(rows), rows/2))
	}
	m.UpdateRows(u)
}

func distinct(order []int, n int) []int32 {
	var rows []int32
	for _, r := range order[:n] {
		rows = append(rows, int32(r))
	}
	return rows
}

// lateRun takes steps with gradients in some rows, by UpdateRows where they are read and by Update everywhere. Whenever all rows
// have caught up the two are the same bits.
func (m *machine) lateRun(u gpu.UpdateRows, rows, cols int) {
	if rows == 0 {
		return
	}
	const steps, sweep = 12, 5
	values, rates := m.matrix(rows, cols), m.rates(sweep)
	values.v[0] = math.Copysign(0, -1)
	zeros := dense{rows, cols, make([]float64, rows*cols)}
	table := func(name string, d dense) gpu.Mat { return m.mat(name, scratch, d, false) }
	d := gpu.Update{Rule: u.Rule, Momentum: u.Momentum, Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, WeightDecay: u.WeightDecay}
	flat := func(name string, d dense) gpu.Buffer { return m.vector(name, scratch, d.v, false) }
	u.P, d.P = table("P", values), flat("dense P", values)
	if u.Rule != gpu.SGD || u.Momentum > 0 {
		u.M, d.M = table("M", zeros), flat("dense M", zeros)
	}
	if u.Rule != gpu.SGD {
		u.V, d.V = table("V", zeros), flat("dense V", zeros)
	}
	g := table("G", zeros)
	d.GradScale = m.in("GradScale", rounded([]float64{0.7}))
	u.GradScale, u.Rates, u.Last = d.GradScale, m.in("Rates", rates), m.ints("Last", scratch, make([]int32, rows))
	for step := range steps {
		t := step % sweep
		d.Rates = [3]float64(rates[3*t:])
		batch := distinct(m.rng.Perm((rows+1)/2), (rows+3)/4) // the other half is never read
		at := m.ints("Row", input, batch)
		u.Row, u.Until, u.G = at, t, gpu.Mat{}
		m.UpdateRows(u) // before the batch is read
		gradient := dense{rows, cols, make([]float64, rows*cols)}
		for _, r := range batch {
			copy(gradient.row(int(r)), m.normal(cols, 0, 1))
			m.Upload(g.Slice(int(r), int(r)+1).Buf, gradient.row(int(r)))
		}
		u.Until, u.G = t+1, g
		m.UpdateRows(u)
		d.G = flat("dense G", gradient)
		m.Update(d)
		if t < sweep-1 && step < steps-1 {
			continue
		}
		u.Row, u.G = gpu.Buffer{}, gpu.Mat{}
		m.UpdateRows(u)
		for _, x := range []struct {
			name string
			late gpu.Mat
			want gpu.Buffer
		}{{"P", u.P, d.P}, {"M", u.M, d.M}, {"V", u.V, d.V}, {"G", g, flat("no gradient", zeros)}} {
			if x.late.IsNil() {
				continue
			}
			want := dense{rows, cols, m.download(x.want)}
			for r := range rows {
				if err := sameBits(m.download(x.late.Slice(r, r+1).Buf), want.row(r)); err != nil {
					m.fault("after %d steps, row %d of %s is not what Update makes of it: %w", step+1, r, x.name, err)
					return
				}
			}
		}
	}
}
