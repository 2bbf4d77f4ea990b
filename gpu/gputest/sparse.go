package gputest

import (
	"slices"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// graph is a sparse matrix on the host.
type graph struct {
	rows, cols, codes int
	ptr, col, code    []int32
	weight            []float64
}

// graph draws a matrix of a few entries per row: one row in eight is empty, row 0 is a hub when there are many.
func (m *machine) graph(rows, cols, codes int) graph {
	g := graph{rows: rows, cols: cols, codes: codes, ptr: []int32{0}}
	for r := range rows {
		n := m.rng.IntN(7)
		switch {
		case r == 0 && rows > 30:
			n = 500
		case m.rng.IntN(8) == 0:
			n = 0
		}
		for range n {
			g.col = append(g.col, int32(m.rng.IntN(cols)))
			g.code = append(g.code, int32(m.rng.IntN(codes)))
		}
		g.ptr = append(g.ptr, int32(len(g.col)))
	}
	g.weight = m.normal(len(g.col), 0, 1)
	return g
}

func (g graph) oracle() ref.CSR[float64] {
	return ref.CSR[float64]{Rows: g.rows, RowPtr: g.ptr, Col: g.col, Weight: g.weight, Code: g.code}
}

// csr uploads a graph.
func (m *machine) csr(name string, g graph, weight, code bool) gpu.CSR {
	c := gpu.CSR{Rows: g.rows, Cols: g.cols, NNZ: len(g.col), RowPtr: m.ints(name+".RowPtr", input, g.ptr), Col: m.ints(name+".Col", input, g.col)}
	if weight {
		c.Weight = m.vector(name+".Weight", input, g.weight, false)
	}
	if code {
		c.Code = m.ints(name+".Code", input, g.code)
	}
	return c
}

// columns groups the positions of equal values: row c of the result lists where c stands in v.
func columns(v []int32, values int) graph {
	g := graph{rows: values, cols: len(v), codes: 1, ptr: []int32{0}}
	at := make([][]int32, values)
	for k, c := range v {
		at[c] = append(at[c], int32(k))
	}
	for _, list := range at {
		g.col = append(g.col, list...)
		g.ptr = append(g.ptr, int32(len(g.col)))
	}
	g.code = make([]int32, len(v))
	return g
}

func sparseCases() []testCase {
	var cases []testCase
	for _, s := range [][3]int{{0, 3, 5}, {1, 1, 1}, {7, 5, 17}, {37, 41, 33}, {1031, 513, 64}, {67, 29, 300}} { // rows, columns, channels
		name := sizes(s[0], s[1], s[2])
		for option3 := range 8 {
			weight, edge, accumulate := option3&1 != 0, option3&2 != 0, option3&4 != 0
			cases = append(cases, testCase{"Aggregate/" + name + option(weight, "weight") + option(edge, "edge") + option(accumulate, "accumulate"), func(m *machine) {
				c := m.csr("CSR", m.graph(s[0], s[1], 5), weight, edge)
				a := gpu.Aggregate{CSR: c, H: m.inMat("H", m.matrix(s[1], s[2])), Accumulate: accumulate}
				if edge {
					a.E = m.inMat("E", m.matrix(5, s[2]))
				}
				a.Out = m.destMat("Out", s[0], s[2], accumulate)
				m.Aggregate(a)
			}})
		}
		for _, weight := range both {
			cases = append(cases, testCase{"EdgeGrad/" + name + option(weight, "weight"), func(m *machine) {
				c := m.csr("CSR", m.graph(s[0], s[1], 5), weight, true)
				m.EdgeGrad(gpu.EdgeGrad{CSR: c, DOut: m.inMat("DOut", m.matrix(s[0], s[2])), DE: m.inoutMat("DE", m.matrix(5, s[2]))})
			}})
		}
		for _, ties := range both {
			cases = append(cases, testCase{"SegmentMax/" + name + option(ties, "ties"), func(m *machine) { segmentMax(m, s[0], s[1], s[2], ties) }})
		}
	}
	cases = append(cases, testCase{"Aggregate/codes without a table", func(m *machine) {
		c := m.csr("CSR", m.graph(37, 41, 5), true, true)
		m.Aggregate(gpu.Aggregate{CSR: c, H: m.inMat("H", m.matrix(41, 20)), Out: m.outMat("Out", 37, 20)})
	}})
	for _, s := range [][4]int{{0, 2, 5, 7}, {1, 1, 1, 1}, {13, 2, 9, 17}, {301, 2, 1000, 36}, {1031, 9, 120, 40}, {2100, 2, 3, 300}} { // rows, fields, table rows, channels
		name := sizes(s[:]...)
		cases = append(cases, testCase{"EmbeddingSum/" + name, func(m *machine) {
			idx := m.ints("idx", input, m.index(s[0]*s[1], 0, s[2]))
			m.EmbeddingSum(m.outMat("out", s[0], s[3]), m.inMat("table", m.matrix(s[2], s[3])), idx, s[1])
		}}, testCase{"EmbeddingSumGrad/" + name, func(m *machine) {
			idx := m.ints("idx", input, m.index(s[0]*s[1], 0, s[2]))
			m.EmbeddingSumGrad(m.inoutMat("dtable", m.matrix(s[2], s[3])), m.inMat("dout", m.matrix(s[0], s[3])), idx, s[1])
		}})
	}
	return cases
}

// segmentMax runs the maximum, its gradient and its tangent. The tangent along 1, 2, 3, ... shows which rows won.
func segmentMax(m *machine, rows, cols, channels int, ties bool) {
	h := m.matrix(cols, channels)
	if ties {
		for i := range h.v {
			h.v[i] = float64(m.rng.IntN(3) - 1)
		}
	}
	rank := dense{cols, channels, make([]float64, cols*channels)}
	for i := range cols {
		for j := range channels {
			rank.row(i)[j] = float64(i + 1)
		}
	}
	c := m.csr("CSR", m.graph(rows, cols, 1), false, false)
	arg := m.ints("arg", output, slices.Repeat([]int32{guardInt}, rows*channels))
	m.SegmentMax(m.outMat("out", rows, channels), arg, c, m.inMat("h", h))
	m.SegmentMaxTangent(m.outMat("winner", rows, channels), m.inMat("rank", rank), arg)
	m.SegmentMaxGrad(m.inoutMat("dh", m.matrix(cols, channels)), m.inMat("dout", m.matrix(rows, channels)), arg)
}

func attentionCases() []testCase {
	var cases []testCase
	for _, s := range [][4]int{{0, 3, 2, 4}, {1, 1, 1, 1}, {7, 9, 2, 5}, {37, 41, 2, 33}, {301, 311, 4, 16}, {43, 47, 3, 100}} { // rows, columns, heads, channels
		name := sizes(s[:]...)
		for _, large := range both {
			spread := 1.0
			if large { // scores of ±80
				spread = 6
			}
			cases = append(cases, testCase{"GAT/" + name + option(large, "large"), func(m *machine) {
				g, _ := m.gat(s[0], s[1], s[2], s[3], spread, false)
				m.GAT(g)
			}}, testCase{"GATGrad/" + name + option(large, "large"), func(m *machine) {
				g, host := m.gat(s[0], s[1], s[2], s[3], spread, true)
				c := s[2] * s[3]
				m.GATGrad(gpu.GATGrad{GAT: g, T: m.csr("T", columns(host.graph.col, s[1]), false, false), TSelf: m.csr("TSelf", columns(host.self, s[1]), false, false),
					DOut: m.inMat("DOut", m.matrix(s[0], c)), DX: m.inoutMat("DX", m.matrix(s[1], c)), DE: m.inoutMat("DE", m.matrix(6, c)),
					DAtt: m.inoutMat("DAtt", m.matrix(s[2], 2*s[3])), DScore: m.scratchMat("DScore", len(host.graph.col), s[2])})
			}}, testCase{"GATTangent/" + name + option(large, "large"), func(m *machine) {
				g, _ := m.gat(s[0], s[1], s[2], s[3], spread, true)
				c := s[2] * s[3]
				m.GATTangent(gpu.GATTangent{GAT: g, TX: m.inMat("TX", m.matrix(s[1], c)), TE: m.inMat("TE", m.matrix(6, c)),
					TAtt: m.inMat("TAtt", m.matrix(s[2], 2*s[3])), TOut: m.outMat("TOut", s[0], c)})
			}})
		}
	}
	return cases
}

// gatHost is the structure behind a gpu.GAT.
type gatHost struct {
	graph graph
	self  []int32
}

// gat uploads the arguments of an attention layer. Out, Alpha and Score are outputs, or, when done, inputs that hold the
// oracle's results: so every device's gradient starts from the same numbers.
func (m *machine) gat(rows, cols, heads, channels int, spread float64, done bool) (gpu.GAT, gatHost) {
	c := heads * channels
	host := gatHost{m.graph(rows, cols, 6), m.index(rows, 0, cols)}
	nnz := len(host.graph.col)
	x, e, att := m.matrix(cols, c), m.matrix(6, c), dense{heads, 2 * channels, m.normal(heads*2*channels, 0, spread/2)}
	g := gpu.GAT{CSR: m.csr("CSR", host.graph, false, true), Self: m.ints("Self", input, host.self), Heads: heads,
		X: m.inMat("X", x), E: m.inMat("E", e), Att: m.inMat("Att", att)}
	if !done {
		g.Out, g.Alpha, g.Score = m.outMat("Out", rows, c), m.outMat("Alpha", nnz, heads), m.outMat("Score", nnz, heads)
		return g, host
	}
	out, alpha, score := zeros(rows, c), zeros(nnz, heads), zeros(nnz, heads)
	ref.GAT[float64]{CSR: host.graph.oracle(), Self: host.self, Heads: heads, X: x.oracle(), E: e.oracle(), Att: att.oracle(),
		Out: out.oracle(), Alpha: alpha.oracle(), Score: score.oracle()}.Forward()
	for _, d := range []dense{out, alpha, score} {
		rounded(d.v)
	}
	g.Out, g.Alpha, g.Score = m.inMat("Out", out), m.inMat("Alpha", alpha), m.inMat("Score", score)
	return g, host
}

func zeros(rows, cols int) dense { return dense{rows, cols, make([]float64, rows*cols)} }

func (d dense) oracle() ref.M[float64] {
	return ref.M[float64]{D: d.v, Rows: d.rows, Cols: d.cols, LD: d.cols}
}
