package gputest

import (
	"fmt"
	"math"

	"tapweight/gpu"
	"tapweight/kernels/ref"
)

// sequencesCase is a batch of attention over packed sequences.
type sequencesCase struct {
	lengths         []int // keys
	queries         []int // nil: as many, the same rows
	heads, channels int   // channels of a head
	drop            float64
	spread          float64 // of the queries: 1 gives scores of about ±3
	blocks          bool    // Q, K, V and their gradients and tangents are columns of one matrix, or with queries K and V are
}

func (c sequencesCase) String() string {
	name := fmt.Sprintf("%d sequences of %d rows, ", len(c.lengths), sum(c.lengths))
	if c.queries != nil {
		name += fmt.Sprintf("%d queries, ", sum(c.queries))
	}
	name += fmt.Sprintf("%d heads of %d", c.heads, c.channels)
	return name + option(c.drop > 0, "dropout") + option(c.spread > 1, "large") + option(c.blocks, "blocks")
}

func sum(v []int) (s int) {
	for _, x := range v {
		s += x
	}
	return s
}

func sequencesCases() []testCase {
	sentences := []int{12, 7, 25, 16, 3, 9, 33, 11}
	each := []int{1, 1, 1, 1, 1, 1, 1, 1}
	masked := []int{2, 1, 4, 2, 0, 1, 5, 2}
	var cases []testCase
	for _, c := range []sequencesCase{
		{nil, nil, 2, 4, 0, 1, false},
		{[]int{0, 0}, nil, 2, 4, 0, 1, true},
		{[]int{1}, nil, 1, 1, 0, 1, false},
		{[]int{1, 0, 1, 1}, nil, 3, 5, 0, 1, true},
		{[]int{0, 2, 13, 0, 7, 17, 31, 1}, nil, 3, 7, 0, 1, false},
		{[]int{0, 2, 13, 0, 7, 17, 31, 1}, nil, 3, 7, 0.1, 1, true},
		{[]int{5, 8, 16, 15, 24}, nil, 2, 33, 0.5, 1, true},
		{sentences, nil, 12, 32, 0, 1, true},
		{sentences, nil, 12, 32, 0.1, 1, true},
		{sentences, nil, 12, 64, 0.1, 1, true},
		{sentences, nil, 4, 32, 0.1, 30, true},
		{[]int{61, 40}, nil, 2, 128, 0, 1, true},
		{[]int{37, 1}, nil, 1, 150, 0.1, 1, false},
		{[]int{63, 64, 65, 127, 128, 129}, nil, 2, 16, 0.1, 1, true},
		{[]int{131, 300}, nil, 2, 24, 0, 30, true},
		{[]int{3, 512}, nil, 1, 64, 0, 1, true},
		{[]int{3, 511}, nil, 2, 32, 0.1, 1, true},
		{[]int{0, 0}, []int{0, 0}, 2, 4, 0, 1, false},
		{[]int{3, 2}, []int{0, 0}, 3, 5, 0.1, 1, true},
		{[]int{5, 2}, []int{0, 0}, 2, 32, 0.1, 1, true},
		{[]int{0, 2, 13, 0, 7, 17, 31, 1}, []int{0, 0, 3, 0, 20, 1, 0, 2}, 3, 7, 0.1, 1, true},
		{[]int{4, 9, 2}, []int{1, 1, 1}, 1, 1, 0, 1, false},
		{sentences, each, 12, 32, 0.1, 1, true},
		{sentences, each, 12, 64, 0, 1, false},
		{sentences, masked, 12, 32, 0.1, 1, true},
		{sentences, masked, 4, 64, 0.1, 30, true},
		{[]int{61, 40, 9}, []int{0, 6, 1}, 2, 128, 0.1, 1, true},
		{[]int{130, 5, 64}, []int{0, 70, 1}, 2, 16, 0.1, 1, true},
		{[]int{3, 512, 300}, []int{70, 1, 0}, 2, 32, 0.1, 1, true},
	} {
		cases = append(cases,
			testCase{"Attention/" + c.String(), func(m *machine) { m.Attention(m.sequences(c, false).op) }},
			testCase{"AttentionGrad/" + c.String(), func(m *machine) {
				s := m.sequences(c, true)
				dout := m.matrix(s.q.rows, s.cols)
				g := gpu.AttentionGrad{Attention: s.op, DOut: m.inMat("DOut", dout)}
				// What cancels in the gradient of a score: a product of DOut and V, and their mean.
				terms := 2 * s.op.Scale * s.norm(dout) * s.norm(s.v) * math.Max(size(s.q.v), size(s.k.v))
				switch {
				case c.blocks && c.queries == nil:
					cut(m.outMat("DQ|DK|DV", s.k.rows, 3*s.cols), &g.DQ, &g.DK, &g.DV)
					m.terms(terms)
				case c.blocks:
					g.DQ = m.outMat("DQ", s.q.rows, s.cols)
					m.terms(terms)
					cut(m.outMat("DK|DV", s.k.rows, 2*s.cols), &g.DK, &g.DV)
					m.terms(terms)
				default:
					g.DQ = m.outMat("DQ", s.q.rows, s.cols)
					m.terms(terms)
					g.DK = m.outMat("DK", s.k.rows, s.cols)
					m.terms(terms)
					g.DV = m.outMat("DV", s.k.rows, s.cols)
				}
				m.AttentionGrad(g)
			}},
			testCase{"AttentionTangent/" + c.String(), func(m *machine) {
				s := m.sequences(c, true)
				tq, tk, tv := m.matrix(s.q.rows, s.cols), m.matrix(s.k.rows, s.cols), m.matrix(s.k.rows, s.cols)
				t := gpu.AttentionTangent{Attention: s.op}
				t.TQ, t.TK, t.TV = m.three(c, "T", tq, tk, tv)
				t.TOut = m.outMat("TOut", s.q.rows, s.cols)
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
			LongestQ: 3, Longest: 3, Heads: 2, Scale: 1}
		o.QPtr = o.Ptr
		change(&o)
		return o
	}
	return map[string]func(){
		"Attention of 6 channels in 4 heads":        func() { b.Attention(batch(func(o *gpu.Attention) { o.Heads = 4 })) },
		"Attention with too few sums":               func() { b.Attention(batch(func(o *gpu.Attention) { o.LSE = mat(5, 1) })) },
		"Attention with other queries than results": func() { b.Attention(batch(func(o *gpu.Attention) { o.Q = mat(4, 6) })) },
		"Attention over 65537 rows":                 func() { b.Attention(batch(func(o *gpu.Attention) { o.Longest = 65537 })) },
		"AttentionGrad into too few rows": func() {
			b.AttentionGrad(gpu.AttentionGrad{Attention: batch(func(*gpu.Attention) {}), DOut: mat(5, 6), DQ: mat(5, 6), DK: mat(4, 6), DV: mat(5, 6)})
		},
		"AttentionTangent with too few boundaries": func() {
			b.AttentionTangent(gpu.AttentionTangent{Attention: batch(func(o *gpu.Attention) { o.QPtr = m.ints("", input, []int32{0, 5}) }), TQ: mat(5, 6), TK: mat(5, 6), TV: mat(5, 6),
				TOut: mat(5, 6)})
		},
	}
}

// sequences is a batch on the device, and what it was made of.
type sequences struct {
	op      gpu.Attention
	q, k, v dense
	cols    int
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
	pointer := func(lengths []int) (ptr []int32, longest int) {
		ptr = []int32{0}
		for _, n := range lengths {
			ptr = append(ptr, ptr[len(ptr)-1]+int32(n))
			longest = max(longest, n)
		}
		return ptr, longest
	}
	s := sequences{cols: c.heads * c.channels}
	o := gpu.Attention{Sequences: len(c.lengths), Heads: c.heads, Scale: 1 / math.Sqrt(float64(c.channels)),
		DropP: c.drop, Key: gpu.Key{Seed: m.rng.Uint64(), Step: m.rng.Uint32(), Stream: m.rng.Uint32()}}
	ptr, longest := pointer(c.lengths)
	o.Ptr, o.Longest = m.ints("Ptr", input, ptr), longest
	qptr := ptr
	o.QPtr, o.LongestQ = o.Ptr, o.Longest
	if c.queries != nil {
		qptr, o.LongestQ = pointer(c.queries)
		o.QPtr = m.ints("QPtr", input, qptr)
	}
	queries, keys := int(qptr[o.Sequences]), int(ptr[o.Sequences])
	s.q = dense{queries, s.cols, m.normal(queries*s.cols, 0, c.spread)}
	s.k, s.v = m.matrix(keys, s.cols), m.matrix(keys, s.cols)
	o.Q, o.K, o.V = m.three(c, "", s.q, s.k, s.v)
	if done {
		out, lse := zeros(queries, s.cols), zeros(queries, c.heads)
		ref.Attention[float64]{Q: s.q.oracle(), K: s.k.oracle(), V: s.v.oracle(), Out: out.oracle(), LSE: lse.oracle(), QPtr: qptr, Ptr: ptr, Heads: c.heads,
			Scale: o.Scale, DropP: o.DropP, Seed: o.Key.Seed, Step: o.Key.Step, Stream: o.Key.Stream}.Forward()
		rounded(out.v)
		rounded(lse.v)
		o.Out, o.LSE = m.inMat("Out", out), m.inMat("LSE", lse)
	} else {
		o.Out, o.LSE = m.outMat("Out", queries, s.cols), m.outMat("LSE", queries, c.heads)
	}
	s.op = o
	return s
}

// three uploads what queries, keys and values are made of, or their tangents: side by side as far as they have the same rows, or apart.
func (m *machine) three(c sequencesCase, prefix string, q, k, v dense) (a, b, d gpu.Mat) {
	switch {
	case c.blocks && c.queries == nil:
		cut(m.inMat(prefix+"Q|K|V", beside(q, k, v)), &a, &b, &d)
	case c.blocks:
		a = m.inMat(prefix+"Q", q)
		cut(m.inMat(prefix+"K|V", beside(k, v)), &b, &d)
	default:
		a, b, d = m.inMat(prefix+"Q", q), m.inMat(prefix+"K", k), m.inMat(prefix+"V", v)
	}
	return a, b, d
}

// beside puts matrices of one shape side by side.
func beside(parts ...dense) dense {
	all := zeros(parts[0].rows, len(parts)*parts[0].cols)
	for i := range all.rows {
		for n, p := range parts {
			copy(all.row(i)[n*p.cols:], p.row(i))
		}
	}
	return all
}

// cut cuts a matrix into equally wide blocks.
func cut(x gpu.Mat, parts ...*gpu.Mat) {
	n := x.Cols / len(parts)
	for i, p := range parts {
		*p = x.Columns(i*n, (i+1)*n)
	}
}
