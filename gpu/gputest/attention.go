package gputest

import (
	"fmt"
	"math"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// sequencesCase is a batch of attention over packed sequences.
type sequencesCase struct {
	lengths         []int
	heads, channels int // channels of a head
	drop            float64
	spread          float64 // of the queries: 1 gives scores of about ±3
	blocks          bool    // Q, K, V and their gradients and tangents are columns of one matrix
}

func (c sequencesCase) String() string {
	total := 0
	for _, n := range c.lengths {
		total += n
	}
	name := fmt.Sprintf("%d sequences of %d rows, %d heads of %d", len(c.lengths), total, c.heads, c.channels)
	return name + option(c.drop > 0, "dropout") + option(c.spread > 1, "large") + option(c.blocks, "blocks")
}

func sequencesCases() []testCase {
	sentences := []int{12, 7, 25, 16, 3, 9, 33, 11}
	var cases []testCase
	for _, c := range []sequencesCase{
		{nil, 2, 4, 0, 1, false},
		{[]int{0, 0}, 2, 4, 0, 1, true},
		{[]int{1}, 1, 1, 0, 1, false},
		{[]int{1, 0, 1, 1}, 3, 5, 0, 1, true},
		{[]int{0, 2, 13, 0, 7, 17, 31, 1}, 3, 7, 0, 1, false},
		{[]int{0, 2, 13, 0, 7, 17, 31, 1}, 3, 7, 0.1, 1, true},
		{[]int{5, 8, 16, 15, 24}, 2, 33, 0.5, 1, true},
		{sentences, 12, 32, 0, 1, true},
		{sentences, 12, 32, 0.1, 1, true},
		{sentences, 12, 64, 0.1, 1, true},
		{sentences, 4, 32, 0.1, 30, true},
		{[]int{61, 40}, 2, 128, 0, 1, true},
		{[]int{37, 1}, 1, 150, 0.1, 1, false},
		{[]int{63, 64, 65, 127, 128, 129}, 2, 16, 0.1, 1, true},
		{[]int{131, 300}, 2, 24, 0, 30, true},
		{[]int{3, 512}, 1, 64, 0, 1, true},
		{[]int{3, 511}, 2, 32, 0.1, 1, true},
	} {
		cases = append(cases,
			testCase{"Attention/" + c.String(), func(m *machine) { m.Attention(m.sequences(c, false).op) }},
			testCase{"AttentionGrad/" + c.String(), func(m *machine) {
				s := m.sequences(c, true)
				dout := m.matrix(s.rows, s.cols)
				g := gpu.AttentionGrad{Attention: s.op, DOut: m.inMat("DOut", dout)}
				// What cancels in the gradient of a score: a product of DOut and V, and their mean.
				terms := 2 * s.op.Scale * s.norm(dout) * s.norm(s.v) * math.Max(size(s.q.v), size(s.k.v))
				if c.blocks {
					g.DQ, g.DK, g.DV = thirds(m.outMat("DQ|DK|DV", s.rows, 3*s.cols))
					m.terms(terms)
				} else {
					g.DQ = m.outMat("DQ", s.rows, s.cols)
					m.terms(terms)
					g.DK = m.outMat("DK", s.rows, s.cols)
					m.terms(terms)
					g.DV = m.outMat("DV", s.rows, s.cols)
				}
				m.AttentionGrad(g)
			}},
			testCase{"AttentionTangent/" + c.String(), func(m *machine) {
				s := m.sequences(c, true)
				tq, tk, tv := m.matrix(s.rows, s.cols), m.matrix(s.rows, s.cols), m.matrix(s.rows, s.cols)
				t := gpu.AttentionTangent{Attention: s.op}
				t.TQ, t.TK, t.TV = m.three(c.blocks, "T", tq, tk, tv)
				t.TOut = m.outMat("TOut", s.rows, s.cols)
				// What cancels: the tangents of the scores, and their mean.
				m.terms(2 * s.op.Scale * (s.norm(tq)*s.norm(s.k) + s.norm(s.q)*s.norm(tk)) * size(s.v.v))
				m.AttentionTangent(t)
			}})
	}
	return cases
}

// attentionShapes are calls with one argument of the wrong shape.
func attentionShapes(m *machine, b gpu.Backend) map[string]func() {
	mat := func(rows, cols int) gpu.Mat { return m.inMat("", m.matrix(rows, cols)) }
	batch := func(change func(o *gpu.Attention)) gpu.Attention {
		o := gpu.Attention{Q: mat(5, 6), K: mat(5, 6), V: mat(5, 6), Out: mat(5, 6), LSE: mat(5, 2), Ptr: m.ints("", input, []int32{0, 2, 5}), Sequences: 2,
			Longest: 3, Heads: 2, Scale: 1}
		change(&o)
		return o
	}
	return map[string]func(){
		"Attention of 6 channels in 4 heads": func() { b.Attention(batch(func(o *gpu.Attention) { o.Heads = 4 })) },
		"Attention with too few sums":        func() { b.Attention(batch(func(o *gpu.Attention) { o.LSE = mat(5, 1) })) },
		"Attention over 65537 rows":          func() { b.Attention(batch(func(o *gpu.Attention) { o.Longest = 65537 })) },
		"AttentionGrad into too few rows": func() {
			b.AttentionGrad(gpu.AttentionGrad{Attention: batch(func(*gpu.Attention) {}), DOut: mat(5, 6), DQ: mat(5, 6), DK: mat(4, 6), DV: mat(5, 6)})
		},
		"AttentionTangent with too few boundaries": func() {
			b.AttentionTangent(gpu.AttentionTangent{Attention: batch(func(o *gpu.Attention) { o.Sequences = 3 }), TQ: mat(5, 6), TK: mat(5, 6), TV: mat(5, 6),
				TOut: mat(5, 6)})
		},
	}
}

// sequences is a batch on the device, and what it was made of.
type sequences struct {
	op         gpu.Attention
	q, k, v    dense
	rows, cols int
}

// norm returns the largest Euclidean norm of a row of a head.
func (s sequences) norm(x dense) float64 {
	width, most := s.cols/s.op.Heads, 0.0
	for i := 0; i < len(x.v); i += width {
		sum := 0.0
		for _, v := range x.v[i : i+width] {
			sum += v * v
		}
		most = max(most, sum)
	}
	return math.Sqrt(most)
}

// sequences uploads a batch. Out and LSE are outputs, or, when done, inputs that hold the oracle's results.
func (m *machine) sequences(c sequencesCase, done bool) sequences {
	ptr, longest := []int32{0}, 0
	for _, n := range c.lengths {
		ptr = append(ptr, ptr[len(ptr)-1]+int32(n))
		longest = max(longest, n)
	}
	s := sequences{rows: int(ptr[len(ptr)-1]), cols: c.heads * c.channels}
	s.q = dense{s.rows, s.cols, m.normal(s.rows*s.cols, 0, c.spread)}
	s.k, s.v = m.matrix(s.rows, s.cols), m.matrix(s.rows, s.cols)
	o := gpu.Attention{Ptr: m.ints("Ptr", input, ptr), Sequences: len(c.lengths), Longest: longest, Heads: c.heads, Scale: 1 / math.Sqrt(float64(c.channels)),
		DropP: c.drop, Key: gpu.Key{Seed: m.rng.Uint64(), Step: m.rng.Uint32(), Stream: m.rng.Uint32()}}
	o.Q, o.K, o.V = m.three(c.blocks, "", s.q, s.k, s.v)
	if done {
		out, lse := zeros(s.rows, s.cols), zeros(s.rows, c.heads)
		ref.Attention[float64]{Q: s.q.oracle(), K: s.k.oracle(), V: s.v.oracle(), Out: out.oracle(), LSE: lse.oracle(), Ptr: ptr, Heads: c.heads, Scale: o.Scale,
			DropP: o.DropP, Seed: o.Key.Seed, Step: o.Key.Step, Stream: o.Key.Stream}.Forward()
		rounded(out.v)
		rounded(lse.v)
		o.Out, o.LSE = m.inMat("Out", out), m.inMat("LSE", lse)
	} else {
		o.Out, o.LSE = m.outMat("Out", s.rows, s.cols), m.outMat("LSE", s.rows, c.heads)
	}
	s.op = o
	return s
}

// three uploads matrices of one shape, side by side in one matrix or apart.
func (m *machine) three(blocks bool, prefix string, q, k, v dense) (a, b, c gpu.Mat) {
	if !blocks {
		return m.inMat(prefix+"Q", q), m.inMat(prefix+"K", k), m.inMat(prefix+"V", v)
	}
	all := zeros(q.rows, 3*q.cols)
	for i := range q.rows {
		copy(all.row(i), q.row(i))
		copy(all.row(i)[q.cols:], k.row(i))
		copy(all.row(i)[2*q.cols:], v.row(i))
	}
	return thirds(m.inMat(prefix+"Q|K|V", all))
}

func thirds(x gpu.Mat) (a, b, c gpu.Mat) {
	n := x.Cols / 3
	return x.Columns(0, n), x.Columns(n, 2*n), x.Columns(2*n, 3*n)
}
