package gputest

import (
	"math"

	"tapweight/gpu"
)

func lossCases() []testCase {
	var cases []testCase
	add := func(name string, run func(m *machine)) { cases = append(cases, testCase{name, run}) }
	sum := func(m *machine) gpu.Buffer { return m.inout("Loss", []float64{0.5}) } // to which the loss is added
	for _, s := range [][2]int{{0, 5}, {1, 1}, {3, 2}, {33, 100}, {300, 17}, {64, 1000}, {1031, 1}} {
		rows, cols := s[0], s[1]
		size := sizes(rows, cols)
		for _, weighted := range both {
			for _, large := range both {
				logits := func(m *machine) dense {
					x := m.matrix(rows, cols)
					if large {
						extreme(x.v)
					}
					return x
				}
				name := size + option(weighted, "weight") + option(large, "large")
				add("SoftmaxCE/"+name, func(m *machine) {
					l := gpu.SoftmaxCE{X: m.inMat("X", logits(m)), DX: m.outMat("DX", rows, cols), Scale: 1 / float64(rows+1), Loss: sum(m)}
					target := m.index(rows, 0, cols)
					for i := range target {
						if i%5 == 3 {
							target[i] = -1
						}
					}
					l.Target = m.ints("Target", input, target)
					if weighted {
						w := m.positive(rows)
						for i := range w {
							if i%3 == 1 {
								w[i] = 0
							}
						}
						l.Weight = m.in("Weight", w)
					}
					m.SoftmaxCE(l)
				})
				for kind, loss := range []string{"BCE", "MSE"} {
					add("ElementLoss/"+loss+"/"+name, func(m *machine) {
						n := rows * cols
						target := make([]float64, n)
						for i := range target {
							target[i] = float64(m.rng.IntN(3)) / 2
						}
						l := gpu.ElementLoss{Kind: gpu.LossKind(kind), X: m.inMat("X", logits(m)), DX: m.outMat("DX", rows, cols), Scale: 1 / float64(n+1), Loss: sum(m)}
						if weighted {
							w := m.positive(n)
							for i := range w {
								if i%3 == 1 {
									w[i], target[i] = 0, math.NaN()
								}
							}
							l.Weight = m.in("Weight", w)
						}
						l.Target = m.in("Target", target)
						m.ElementLoss(l)
					})
				}
			}
		}
	}
	for _, half := range []int{0, 1, 2, 5, 33, 150} {
		for _, spread := range []float64{1, 40} {
			add("NTXent/"+sizes(2*half)+option(spread > 1, "large"), func(m *machine) {
				n := 2 * half
				m.NTXent(gpu.NTXent{S: m.inMat("S", dense{n, n, m.normal(n*n, 0, spread)}), DS: m.outMat("DS", n, n), Scale: 1 / float64(n+1), Loss: sum(m)})
			})
		}
	}
	for _, s := range matrixSizes {
		add("PairDistance/"+sizes(s[0], s[1]), func(m *machine) {
			a, b := m.matrix(s[0], s[1]), m.matrix(s[0], s[1])
			if s[0] > 2 {
				copy(a.row(1), b.row(1)) // no distance, no direction
			}
			m.PairDistance(gpu.PairDistance{A: m.inMat("A", a), B: m.inMat("B", b), DA: m.outMat("DA", s[0], s[1]), DB: m.outMat("DB", s[0], s[1]),
				Eps: 1e-8, Scale: 0.3, Loss: sum(m)})
		})
	}
	return cases
}
