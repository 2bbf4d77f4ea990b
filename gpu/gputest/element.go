package gputest

import (
	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// matrixSizes cross the chunks of rows in which devices work.
var matrixSizes = [][2]int{{0, 5}, {5, 0}, {1, 1}, {3, 17}, {13, 7}, {64, 32}, {1031, 33}, {131, 300}}

func elementCases() []testCase {
	var cases []testCase
	add := func(name string, run func(m *machine)) { cases = append(cases, testCase{name, run}) }
	for _, s := range matrixSizes {
		rows, cols := s[0], s[1]
		size := sizes(rows, cols)
		for a := gpu.Identity; a <= gpu.LeakyReLU; a++ {
			add("Activate/"+size+"/"+a.String(), func(m *machine) {
				x := m.inMat("x", dense{rows, cols, extreme(m.normal(rows*cols, 0, 2))})
				m.Activate(a, m.outMat("y", rows, cols), x)
			})
			add("Activate/"+size+"/"+a.String()+"/in place", func(m *machine) {
				x := m.inoutMat("x", dense{rows, cols, extreme(m.normal(rows*cols, 0, 2))})
				m.Activate(a, x, x)
			})
			for _, accumulate := range both {
				add("ActivateGrad/"+size+"/"+a.String()+option(accumulate, "accumulate"), func(m *machine) {
					y := dense{rows, cols, extreme(m.normal(rows*cols, 0, 2))}
					ref.Activate(ref.Act(a), y.oracle(), y.oracle())
					rounded(y.v)
					m.ActivateGrad(a, m.destMat("dx", rows, cols, accumulate), m.inMat("dy", m.matrix(rows, cols)), m.inMat("y", y), accumulate)
				})
			}
		}
		for _, p := range []float64{0, 0.1, 0.5} {
			for _, accumulate := range both {
				add("Dropout/"+size+map[float64]string{0: "/0", 0.1: "/0.1", 0.5: "/0.5"}[p]+option(accumulate, "accumulate"), func(m *machine) {
					key := gpu.Key{Seed: m.rng.Uint64(), Step: m.rng.Uint32(), Stream: m.rng.Uint32()}
					m.Dropout(m.destMat("y", rows, cols, accumulate), m.inMat("x", m.matrix(rows, cols)), p, key, accumulate)
				})
			}
		}
		add("AddScaled/"+size, func(m *machine) {
			m.AddScaled(m.inoutMat("y", m.matrix(rows, cols)), m.inMat("x", m.matrix(rows, cols)), -0.37)
		})
		add("CopyMat/"+size, func(m *machine) {
			m.CopyMat(m.outMat("y", rows, cols), m.inMat("x", m.matrix(rows, cols)))
		})
		add("ScaleMat/"+size, func(m *machine) {
			m.ScaleMat(m.outMat("y", rows, cols), m.inMat("x", m.matrix(rows, cols)), -1.3, m.in("s", []float64{0.75}))
		})
		add("ScaleMat/"+size+"/in place", func(m *machine) {
			y := m.inoutMat("y", m.matrix(rows, cols))
			m.ScaleMat(y, y, -1.3, gpu.Buffer{})
		})
		for _, accumulate := range both {
			add("RowDot/"+size+option(accumulate, "accumulate"), func(m *machine) {
				a, b := m.inMat("a", m.matrix(rows, cols)), m.inMat("b", m.matrix(rows, cols))
				m.RowDot(m.dest("out", rows, accumulate), a, b, 1.7, accumulate)
			})
			add("RowScale/"+size+option(accumulate, "accumulate"), func(m *machine) {
				s, src := m.in("s", m.normal(rows, 0, 1)), m.inMat("src", m.matrix(rows, cols))
				m.RowScale(m.destMat("dst", rows, cols, accumulate), s, src, -0.6, accumulate)
			})
			add("RowNormalizeJac/"+size+option(accumulate, "accumulate"), func(m *machine) {
				y, norm := m.matrix(rows, cols), make([]float64, rows)
				ref.RowNormalize(y.oracle(), y.oracle(), norm, 1e-12)
				rounded(y.v)
				in := m.inMat("in", m.matrix(rows, cols))
				m.RowNormalizeJac(m.destMat("out", rows, cols, accumulate), in, m.inMat("y", y), m.in("norm", rounded(norm)), accumulate)
			})
		}
		add("RowNormalize/"+size, func(m *machine) {
			x := m.matrix(rows, cols)
			if rows > 2 {
				clear(x.row(1))
			}
			m.RowNormalize(m.outMat("y", rows, cols), m.inMat("x", x), m.out("norm", rows), 1e-12)
		})
	}
	add("Dropout/an element exactly at p is kept", func(m *machine) {
		key := gpu.Key{Seed: 11, Step: 3, Stream: 5}
		p := ref.Uniform(key.Seed, key.Step, key.Stream, 6)
		m.Dropout(m.outMat("y", 3, 5), m.inMat("x", m.matrix(3, 5)), p, key, false)
	})
	return cases
}
