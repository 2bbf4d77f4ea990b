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
