package gputest

import "tapweight/gpu"

// flip swaps rows and columns where a matrix is to be read transposed.
func flip(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

func denseCases() []testCase {
	var cases []testCase
	shapes := [][3]int{ // M, N, K
		{0, 5, 3}, {5, 0, 3}, {5, 3, 0}, {1, 1, 1}, {7, 5, 3}, {17, 31, 13}, {64, 32, 128}, {129, 65, 33},
		{1031, 48, 40}, {3, 1100, 20}, {200, 37, 1000},
		{4101, 70, 33}, {20, 3300, 10}, // more rows, more columns than are copied at a time
	}
	for _, s := range shapes {
		for trans := range 4 {
			for _, mode := range []string{"plain", "bias", "relu", "bias+relu", "accumulate"} {
				ta, tb := trans&1 != 0, trans&2 != 0
				cases = append(cases, testCase{
					"Gemm/" + sizes(s[0], s[1], s[2]) + option(ta, "TransA") + option(tb, "TransB") + "/" + mode,
					func(m *machine) { gemm(m, s[0], s[1], s[2], ta, tb, mode) },
				})
			}
		}
	}
	for _, s := range [][2]int{{0, 5}, {5, 0}, {1, 1}, {3, 17}, {259, 33}, {1031, 70}, {3001, 300}} {
		for _, accumulate := range both {
			cases = append(cases, testCase{"ColSum/" + sizes(s[0], s[1]) + option(accumulate, "accumulate"), func(m *machine) {
				src := m.inMat("src", m.matrix(s[0], s[1]))
				m.ColSum(m.dest("dst", s[1], accumulate), src, accumulate)
			}})
		}
	}
	return cases
}

func gemm(m *machine, rows, cols, k int, ta, tb bool, mode string) {
	ar, ac := flip(ta, rows, k)
	br, bc := flip(tb, k, cols)
	g := gpu.Gemm{A: m.inMat("A", m.matrix(ar, ac)), B: m.inMat("B", m.matrix(br, bc)), TransA: ta, TransB: tb, Accumulate: mode == "accumulate"}
	g.C = m.destMat("C", rows, cols, g.Accumulate)
	if mode == "bias" || mode == "bias+relu" {
		g.Bias = m.in("Bias", m.normal(cols, 0, 1))
	}
	if mode == "relu" || mode == "bias+relu" {
		g.Act = gpu.ReLU
	}
	m.Gemm(g)
}
