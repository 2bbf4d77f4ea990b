//go:build cuda

package gates

import (
	"math"
	"math/rand/v2"

	"tapweight/gpu"
)

// The shape: rows of the paper's encoder, which pad to whole cache lines, and enough of them that an operand is several times as
// large as the modelled cache and as every table.
const (
	rows, cols = 4096, 300
	degree     = 3 // neighbours of an atom, itself among them
	codes      = 18
	length     = rows * cols // of vectors
)

// measured is one operation with its arguments. The name begins with the method's; what follows a slash tells variants apart.
type measured struct {
	name    string
	prepare func(m *memory) func(gpu.Backend)
}

// memory hands out arguments. Odd ones start anywhere and have odd leading dimensions, which takes kernels for single accesses.
type memory struct {
	gpu.Backend
	odd bool
	rng *rand.Rand
}

func (m *memory) must(n int) gpu.Buffer {
	b, err := m.Alloc(n, 4)
	if err != nil {
		panic(err)
	}
	return b
}

// vec is a vector of numbers in (0.5, 1.5).
func (m *memory) vec(n int) gpu.Buffer {
	at := 0
	if m.odd {
		at = 1
	}
	b := m.must(n + at)
	v := make([]float64, n+at)
	for i := range v {
		v[i] = 0.5 + float64(i%97)/97
	}
	m.Upload(b, v)
	return b.Slice(at, n+at)
}

func (m *memory) mat(rows, cols int) gpu.Mat {
	ld := gpu.PadCols(cols)
	if m.odd {
		ld = cols + 1 + cols%2
	}
	return gpu.MatOf(m.vec(rows*ld), rows, cols, ld)
}

// x is a matrix of the shape.
func (m *memory) x() gpu.Mat { return m.mat(rows, cols) }

// ints are n integers in [0, below).
func (m *memory) ints(n, below int) gpu.Buffer {
	return m.list(n, func(int) int { return m.rng.IntN(below) })
}

func (m *memory) list(n int, at func(i int) int) gpu.Buffer {
	v := make([]int32, n)
	for i := range v {
		v[i] = int32(at(i))
	}
	b := m.must(n)
	m.UploadInts(b, v)
	return b
}

// graph has degree neighbours a row, near it as in molecules; with hubs, the last row has as many again as all others.
func (m *memory) graph(weight, hub bool) gpu.CSR {
	near := func(k int) int { return max(0, min(rows-1, k/degree+m.rng.IntN(21)-10)) }
	c := gpu.CSR{Rows: rows, Cols: rows, NNZ: degree * rows}
	c.RowPtr = m.list(rows+1, func(r int) int {
		if hub && r == rows {
			return 2 * degree * rows
		}
		return degree * r
	})
	if hub {
		c.NNZ *= 2
	}
	c.Col = m.list(c.NNZ, near)
	c.Code = m.ints(c.NNZ, codes)
	if weight {
		c.Weight = m.vec(c.NNZ)
	}
	return c
}

// transposed is graph's structure with its edges in place of columns.
func (m *memory) transposed() gpu.CSR {
	c := m.graph(false, false)
	c.Cols = c.NNZ
	c.Col = m.list(c.NNZ, func(k int) int { return k })
	return c
}

func cases() []measured {
	var all []measured
	add := func(name string, prepare func(m *memory) func(gpu.Backend)) {
		all = append(all, measured{name, prepare})
	}
	both := []struct {
		name string
		on   bool
	}{{"", false}, {"/accumulate", true}}

	add("Gemm/forward", func(m *memory) func(gpu.Backend) {
		g := gpu.Gemm{A: m.x(), B: m.mat(2*cols, cols), TransB: true, C: m.mat(rows, 2*cols), Bias: m.vec(2 * cols), Act: gpu.ReLU}
		return func(b gpu.Backend) { b.Gemm(g) }
	})
	add("Gemm/input", func(m *memory) func(gpu.Backend) {
		g := gpu.Gemm{A: m.mat(rows, 2*cols), B: m.mat(2*cols, cols), C: m.x(), Accumulate: true}
		return func(b gpu.Backend) { b.Gemm(g) }
	})
	add("Gemm/weights", func(m *memory) func(gpu.Backend) {
		g := gpu.Gemm{A: m.mat(rows, 2*cols), TransA: true, B: m.x(), C: m.mat(2*cols, cols), Accumulate: true}
		return func(b gpu.Backend) { b.Gemm(g) }
	})
	for trans := range 4 { // small ones are not for tensor cores
		ta, tb := trans&1 != 0, trans&2 != 0
		add("Gemm/small"+[]string{"/nn", "/tn", "/nt", "/tt"}[trans], func(m *memory) func(gpu.Backend) {
			g := gpu.Gemm{A: m.mat(64, 64), B: m.mat(64, 48), C: m.mat(64, 48), TransA: ta, TransB: tb}
			if tb {
				g.B = m.mat(48, 64)
			}
			return func(b gpu.Backend) { b.Gemm(g) }
		})
	}
	add("Gemm/BatchNorm", func(m *memory) func(gpu.Backend) {
		g := gpu.Gemm{A: m.x(), B: m.mat(cols, cols), TransB: true, C: m.x(), Bias: m.vec(cols)}
		o := gpu.BatchNorm{X: g.C, Y: m.x(), Mult: m.vec(rows), Total: 2 * rows, Gamma: m.vec(cols), Beta: m.vec(cols), Mean: m.vec(cols), Rstd: m.vec(cols), Eps: 1e-5, Act: gpu.ReLU}
		return func(b gpu.Backend) {
			b.Gemm(g)
			b.BatchNorm(o)
		}
	})
	for _, a := range both {
		add("ColSum"+a.name, func(m *memory) func(gpu.Backend) {
			dst, src := m.vec(cols), m.x()
			return func(b gpu.Backend) { b.ColSum(dst, src, a.on) }
		})
	}

	for _, a := range both {
		add("Aggregate"+a.name, func(m *memory) func(gpu.Backend) {
			o := gpu.Aggregate{CSR: m.graph(false, false), H: m.x(), E: m.mat(codes, cols), Out: m.x(), Accumulate: a.on}
			return func(b gpu.Backend) { b.Aggregate(o) }
		})
	}
	add("Aggregate/weights", func(m *memory) func(gpu.Backend) {
		o := gpu.Aggregate{CSR: m.graph(true, false), H: m.x(), Out: m.x()}
		return func(b gpu.Backend) { b.Aggregate(o) }
	})
	add("Aggregate/hub", func(m *memory) func(gpu.Backend) {
		o := gpu.Aggregate{CSR: m.graph(true, true), H: m.x(), E: m.mat(codes, cols), Out: m.x()}
		return func(b gpu.Backend) { b.Aggregate(o) }
	})
	add("EdgeGrad", func(m *memory) func(gpu.Backend) {
		e := gpu.EdgeGrad{CSR: m.graph(false, false), DOut: m.x(), DE: m.mat(codes, cols)}
		return func(b gpu.Backend) { b.EdgeGrad(e) }
	})
	add("EmbeddingSum", func(m *memory) func(gpu.Backend) {
		out, table, idx := m.x(), m.mat(120, cols), m.ints(2*rows, 120)
		return func(b gpu.Backend) { b.EmbeddingSum(out, table, idx, 2) }
	})
	for name, table := range map[string]int{"": 120, "/few": 3} {
		add("EmbeddingSumGrad"+name, func(m *memory) func(gpu.Backend) {
			dtable, dout, idx := m.mat(table, cols), m.x(), m.ints(2*rows, table)
			return func(b gpu.Backend) { b.EmbeddingSumGrad(dtable, dout, idx, 2) }
		})
	}
	add("SegmentMax", func(m *memory) func(gpu.Backend) {
		out, arg, c, h := m.x(), m.must(length), m.graph(false, false), m.x()
		return func(b gpu.Backend) { b.SegmentMax(out, arg, c, h) }
	})
	near := func(i int) int { return min(rows-1, i/cols+i%3) }
	add("SegmentMaxGrad", func(m *memory) func(gpu.Backend) {
		dh, dout, arg := m.x(), m.x(), m.list(length, near)
		return func(b gpu.Backend) { b.SegmentMaxGrad(dh, dout, arg) }
	})
	add("SegmentMaxTangent", func(m *memory) func(gpu.Backend) {
		tout, th, arg := m.x(), m.x(), m.list(length, near)
		return func(b gpu.Backend) { b.SegmentMaxTangent(tout, th, arg) }
	})
	const heads = 3
	gat := func(m *memory) gpu.GAT {
		g := gpu.GAT{CSR: m.graph(false, false), Self: m.list(rows, func(i int) int { return i }), Heads: heads,
			X: m.x(), E: m.mat(codes, cols), Att: m.mat(heads, 2*cols/heads), Out: m.x()}
		g.Alpha, g.Score = m.mat(g.CSR.NNZ, heads), m.mat(g.CSR.NNZ, heads)
		return g
	}
	add("GAT", func(m *memory) func(gpu.Backend) {
		g := gat(m)
		return func(b gpu.Backend) { b.GAT(g) }
	})
	add("GATGrad", func(m *memory) func(gpu.Backend) {
		g := gpu.GATGrad{GAT: gat(m), T: m.transposed(), DOut: m.x(), DX: m.x(), DE: m.mat(codes, cols), DAtt: m.mat(heads, 2*cols/heads)}
		self := func(i int) int { return i }
		g.TSelf = gpu.CSR{Rows: rows, Cols: rows, NNZ: rows, RowPtr: m.list(rows+1, self), Col: m.list(rows, self)}
		g.DScore = m.mat(g.CSR.NNZ, heads)
		return func(b gpu.Backend) { b.GATGrad(g) }
	})
	add("GATTangent", func(m *memory) func(gpu.Backend) {
		g := gpu.GATTangent{GAT: gat(m), TX: m.x(), TE: m.mat(codes, cols), TAtt: m.mat(heads, 2*cols/heads), TOut: m.x()}
		return func(b gpu.Backend) { b.GATTangent(g) }
	})

	for _, shape := range []struct {
		name  string
		d     int
		first bool // the queries are the first rows of sequences
	}{{"/32", 32, false}, {"/64", 64, false}, {"/first", 32, true}} {
		const tokens, channels = 2048, 384
		d, rows := shape.d, tokens
		if shape.first {
			rows = 41
		}
		attention := func(m *memory) gpu.Attention {
			qkv := m.mat(tokens, 3*channels)
			a := gpu.Attention{Q: qkv.Slice(0, rows).Columns(0, channels), K: qkv.Columns(channels, 2*channels), V: qkv.Columns(2*channels, 3*channels), Out: m.mat(rows, channels),
				LSE: m.mat(rows, channels/d), Sequences: 41, LongestQ: 71, Longest: 71, Heads: channels / d, Scale: 1 / math.Sqrt(float64(d)), DropP: 0.1}
			a.Ptr = m.list(a.Sequences+1, func(s int) int { return max(0, min(tokens, 51*s-m.rng.IntN(20))) })
			if a.QPtr = a.Ptr; shape.first {
				a.QPtr, a.LongestQ = m.list(a.Sequences+1, func(s int) int { return s }), 1
			}
			return a
		}
		add("Attention"+shape.name, func(m *memory) func(gpu.Backend) {
			a := attention(m)
			return func(b gpu.Backend) { b.Attention(a) }
		})
		add("AttentionGrad"+shape.name, func(m *memory) func(gpu.Backend) {
			d := m.mat(tokens, 3*channels)
			g := gpu.AttentionGrad{Attention: attention(m), DOut: m.mat(rows, channels), DQ: d.Slice(0, rows).Columns(0, channels), DK: d.Columns(channels, 2*channels), DV: d.Columns(2*channels, 3*channels)}
			return func(b gpu.Backend) { b.AttentionGrad(g) }
		})
		add("AttentionTangent"+shape.name, func(m *memory) func(gpu.Backend) {
			t := m.mat(tokens, 3*channels)
			g := gpu.AttentionTangent{Attention: attention(m), TQ: t.Slice(0, rows).Columns(0, channels), TK: t.Columns(channels, 2*channels), TV: t.Columns(2*channels, 3*channels), TOut: m.mat(rows, channels)}
			return func(b gpu.Backend) { b.AttentionTangent(g) }
		})
	}

	for _, v := range []struct {
		name   string
		frozen bool
	}{{"", false}, {"/frozen", true}} {
		norm := func(m *memory) gpu.BatchNorm {
			return gpu.BatchNorm{X: m.x(), Y: m.x(), Mult: m.vec(rows), Total: 2 * rows, Gamma: m.vec(cols), Beta: m.vec(cols), Mean: m.vec(cols),
				Rstd: m.vec(cols), Eps: 1e-5, Act: gpu.ReLU, Frozen: v.frozen}
		}
		add("BatchNorm"+v.name, func(m *memory) func(gpu.Backend) {
			o := norm(m)
			return func(b gpu.Backend) { b.BatchNorm(o) }
		})
		for _, a := range both {
			add("BatchNormGrad"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				o := gpu.BatchNormGrad{BatchNorm: norm(m), DY: m.x(), DX: m.x(), Accumulate: a.on, DGamma: m.vec(cols), DBeta: m.vec(cols)}
				return func(b gpu.Backend) { b.BatchNormGrad(o) }
			})
		}
		add("BatchNormTangent"+v.name, func(m *memory) func(gpu.Backend) {
			o := gpu.BatchNormTangent{BatchNorm: norm(m), TX: m.x(), TY: m.x(), TGamma: m.vec(cols), TBeta: m.vec(cols)}
			return func(b gpu.Backend) { b.BatchNormTangent(o) }
		})
	}
	add("BatchNormRunning", func(m *memory) func(gpu.Backend) {
		rm, rv, mean, rstd := m.vec(length), m.vec(length), m.vec(length), m.vec(length)
		return func(b gpu.Backend) { b.BatchNormRunning(rm, rv, mean, rstd, 0.1, rows, 1e-5) }
	})
	add("RstdOf", func(m *memory) func(gpu.Backend) {
		rstd, variance := m.vec(length), m.vec(length)
		return func(b gpu.Backend) { b.RstdOf(rstd, variance, 1e-5) }
	})
	for _, v := range []struct {
		name       string
		rows, cols int
	}{{"", rows, cols}, {"/wide", rows / 4, 4 * cols}} { // of a warp, of a block
		norm := func(m *memory) gpu.LayerNorm {
			return gpu.LayerNorm{X: m.mat(v.rows, v.cols), Y: m.mat(v.rows, v.cols), Gamma: m.vec(v.cols), Beta: m.vec(v.cols), Mean: m.vec(v.rows), Rstd: m.vec(v.rows), Eps: 1e-5, Act: gpu.ReLU}
		}
		add("LayerNorm"+v.name, func(m *memory) func(gpu.Backend) {
			o := norm(m)
			return func(b gpu.Backend) { b.LayerNorm(o) }
		})
		for _, a := range both {
			add("LayerNormGrad"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				o := gpu.LayerNormGrad{LayerNorm: norm(m), DY: m.mat(v.rows, v.cols), DX: m.mat(v.rows, v.cols), Accumulate: a.on, DGamma: m.vec(v.cols), DBeta: m.vec(v.cols)}
				return func(b gpu.Backend) { b.LayerNormGrad(o) }
			})
		}
		add("LayerNormTangent"+v.name, func(m *memory) func(gpu.Backend) {
			o := gpu.LayerNormTangent{LayerNorm: norm(m), TX: m.mat(v.rows, v.cols), TY: m.mat(v.rows, v.cols), TGamma: m.vec(v.cols), TBeta: m.vec(v.cols)}
			return func(b gpu.Backend) { b.LayerNormTangent(o) }
		})
		add("SoftmaxCE"+v.name, func(m *memory) func(gpu.Backend) {
			l := gpu.SoftmaxCE{X: m.mat(v.rows, v.cols), DX: m.mat(v.rows, v.cols), Target: m.ints(v.rows, v.cols), Weight: m.vec(v.rows), Scale: 1, Loss: m.vec(1)}
			return func(b gpu.Backend) { b.SoftmaxCE(l) }
		})
		add("PairDistance"+v.name, func(m *memory) func(gpu.Backend) {
			l := gpu.PairDistance{A: m.mat(v.rows, v.cols), B: m.mat(v.rows, v.cols), DA: m.mat(v.rows, v.cols), DB: m.mat(v.rows, v.cols), Eps: 1e-8, Scale: 1, Loss: m.vec(1)}
			return func(b gpu.Backend) { b.PairDistance(l) }
		})
		add("RowNormalize"+v.name, func(m *memory) func(gpu.Backend) {
			y, x, norm := m.mat(v.rows, v.cols), m.mat(v.rows, v.cols), m.vec(v.rows)
			return func(b gpu.Backend) { b.RowNormalize(y, x, norm, 1e-12) }
		})
		for _, a := range both {
			add("RowNormalizeJac"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				out, in, y, norm := m.mat(v.rows, v.cols), m.mat(v.rows, v.cols), m.mat(v.rows, v.cols), m.vec(v.rows)
				return func(b gpu.Backend) { b.RowNormalizeJac(out, in, y, norm, a.on) }
			})
			add("RowDot"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				out, x, y := m.vec(v.rows), m.mat(v.rows, v.cols), m.mat(v.rows, v.cols)
				return func(b gpu.Backend) { b.RowDot(out, x, y, 1, a.on) }
			})
		}
	}

	add("Activate", func(m *memory) func(gpu.Backend) {
		y, x := m.x(), m.x()
		return func(b gpu.Backend) { b.Activate(gpu.Tanh, y, x) }
	})
	for _, a := range both {
		add("ActivateGrad"+a.name, func(m *memory) func(gpu.Backend) {
			dx, dy, y := m.x(), m.x(), m.x()
			return func(b gpu.Backend) { b.ActivateGrad(gpu.ReLU, dx, dy, y, a.on) }
		})
		add("Dropout"+a.name, func(m *memory) func(gpu.Backend) {
			y, x := m.x(), m.x()
			return func(b gpu.Backend) { b.Dropout(y, x, 0.1, gpu.Key{}, a.on) }
		})
		add("RowScale"+a.name, func(m *memory) func(gpu.Backend) {
			dst, s, src := m.x(), m.vec(rows), m.x()
			return func(b gpu.Backend) { b.RowScale(dst, s, src, 1, a.on) }
		})
		add("Dot"+a.name, func(m *memory) func(gpu.Backend) {
			out, x, y := m.vec(1), m.vec(length), m.vec(length)
			return func(b gpu.Backend) { b.Dot(out, 1, x, y, a.on) }
		})
		add("DotMat"+a.name, func(m *memory) func(gpu.Backend) {
			out, x, y := m.vec(1), m.x(), m.x()
			return func(b gpu.Backend) { b.DotMat(out, 1, x, y, a.on) }
		})
	}
	add("AddScaled", func(m *memory) func(gpu.Backend) {
		y, x := m.x(), m.x()
		return func(b gpu.Backend) { b.AddScaled(y, x, 2) }
	})
	add("CopyMat", func(m *memory) func(gpu.Backend) {
		y, x := m.x(), m.x()
		return func(b gpu.Backend) { b.CopyMat(y, x) }
	})
	add("ScaleMat", func(m *memory) func(gpu.Backend) {
		y, x, s := m.x(), m.x(), m.vec(1)
		return func(b gpu.Backend) { b.ScaleMat(y, x, 2, s) }
	})

	for _, v := range []struct {
		name string
		tanh bool
	}{{"", false}, {"/tanh", true}} {
		gelu := func(m *memory) gpu.GELU { return gpu.GELU{X: m.x(), Y: m.x(), Bias: m.vec(cols), Tanh: v.tanh} }
		add("GELU"+v.name, func(m *memory) func(gpu.Backend) {
			g := gelu(m)
			return func(b gpu.Backend) { b.GELU(g) }
		})
		for _, a := range both {
			add("GELUGrad"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				g := gpu.GELUGrad{GELU: gelu(m), DY: m.x(), DX: m.x(), Accumulate: a.on, DBias: m.vec(cols)}
				return func(b gpu.Backend) { b.GELUGrad(g) }
			})
		}
		add("GELUTangent"+v.name, func(m *memory) func(gpu.Backend) {
			g := gpu.GELUTangent{GELU: gelu(m), TX: m.x(), TY: m.x(), TBias: m.vec(cols)}
			return func(b gpu.Backend) { b.GELUTangent(g) }
		})
	}
	for _, v := range []struct {
		name       string
		rows, cols int
	}{{"", rows, cols}, {"/wide", rows / 4, 4 * cols}} {
		mat := func(m *memory) gpu.Mat { return m.mat(v.rows, v.cols) }
		norm := func(m *memory) gpu.AddNorm {
			return gpu.AddNorm{X: mat(m), R: mat(m), Z: mat(m), Y: mat(m), Bias: m.vec(v.cols), DropP: 0.1, Gamma: m.vec(v.cols), Beta: m.vec(v.cols),
				Mean: m.vec(v.rows), Rstd: m.vec(v.rows), Eps: 1e-5}
		}
		add("AddNorm"+v.name, func(m *memory) func(gpu.Backend) {
			o := norm(m)
			return func(b gpu.Backend) { b.AddNorm(o) }
		})
		for _, a := range both {
			add("AddNormGrad"+v.name+a.name, func(m *memory) func(gpu.Backend) {
				o := gpu.AddNormGrad{AddNorm: norm(m), DY: mat(m), DX: mat(m), DR: mat(m), Accumulate: a.on, DBias: m.vec(v.cols), DGamma: m.vec(v.cols), DBeta: m.vec(v.cols)}
				return func(b gpu.Backend) { b.AddNormGrad(o) }
			})
		}
		add("AddNormTangent"+v.name, func(m *memory) func(gpu.Backend) {
			o := gpu.AddNormTangent{AddNorm: norm(m), TX: mat(m), TR: mat(m), TY: mat(m), TBias: m.vec(v.cols), TGamma: m.vec(v.cols), TBeta: m.vec(v.cols)}
			return func(b gpu.Backend) { b.AddNormTangent(o) }
		})
	}
	for _, v := range []struct {
		name           string
		n, classes, in int
	}{{"", 200, 8192, cols}, {"/small", 8, 64, 64}} { // small ones are not for tensor cores
		entropy := func(m *memory) gpu.LinearCE {
			return gpu.LinearCE{X: m.mat(v.n, v.in), W: m.mat(v.classes, v.in), Bias: m.vec(v.classes), Target: m.ints(v.n, v.classes), Scale: 1, LSE: m.vec(v.n), Loss: m.vec(1)}
		}
		add("LinearCE"+v.name, func(m *memory) func(gpu.Backend) {
			l := entropy(m)
			return func(b gpu.Backend) { b.LinearCE(l) }
		})
		add("LinearCEGrad"+v.name, func(m *memory) func(gpu.Backend) {
			l := gpu.LinearCEGrad{LinearCE: entropy(m), DX: m.mat(v.n, v.in), DW: m.mat(v.classes, v.in), DBias: m.vec(v.classes)}
			return func(b gpu.Backend) { b.LinearCEGrad(l) }
		})
		add("LinearCETangent"+v.name, func(m *memory) func(gpu.Backend) {
			l := gpu.LinearCETangent{LinearCE: entropy(m), TX: m.mat(v.n, v.in), TW: m.mat(v.classes, v.in), TBias: m.vec(v.classes), C: 1, Out: m.vec(1)}
			return func(b gpu.Backend) { b.LinearCETangent(l) }
		})
	}
	for name, listed := range map[string]bool{"/of the table": false, "/listed": true} {
		sides := func(m *memory) (x, y gpu.Rows) {
			x, y = gpu.Rows{M: m.x(), Row: m.list(rows, func(i int) int { return 2 * i })}, gpu.Rows{M: m.mat(2*rows, cols)}
			if listed {
				y = gpu.Rows{M: m.x(), Row: m.list(rows, func(i int) int { return 2 * i })}
			}
			return x, y
		}
		add("AddRows"+name, func(m *memory) func(gpu.Backend) {
			x, y := sides(m)
			return func(b gpu.Backend) { b.AddRows(y, gpu.Buffer{}, x) }
		})
		add("DotRows"+name, func(m *memory) func(gpu.Backend) {
			x, y := sides(m)
			out := m.vec(1)
			return func(b gpu.Backend) { b.DotRows(out, 1, x, y) }
		})
	}
	for name, weight := range map[string]bool{"": false, "/weights": true} {
		add("ScatterRows"+name, func(m *memory) func(gpu.Backend) {
			dst, row, c, src := m.mat(2*rows, cols), m.list(rows, func(i int) int { return 2 * i }), m.graph(weight, false), m.x()
			return func(b gpu.Backend) { b.ScatterRows(dst, row, c, src) }
		})
	}

	for kind, name := range []string{"BCE", "MSE"} {
		add("ElementLoss/"+name, func(m *memory) func(gpu.Backend) {
			l := gpu.ElementLoss{Kind: gpu.LossKind(kind), X: m.x(), DX: m.x(), Target: m.vec(length), Weight: m.vec(length), Scale: 1, Loss: m.vec(1)}
			return func(b gpu.Backend) { b.ElementLoss(l) }
		})
	}
	for _, n := range []int{640, 1200} { // rows of a warp, of a block
		add("NTXent/"+map[bool]string{true: "wide", false: "narrow"}[n > 768], func(m *memory) func(gpu.Backend) {
			l := gpu.NTXent{S: m.mat(n, n), DS: m.mat(n, n), Scale: 1, Loss: m.vec(1)}
			return func(b gpu.Backend) { b.NTXent(l) }
		})
	}

	add("Fill", func(m *memory) func(gpu.Backend) {
		x := m.vec(length)
		return func(b gpu.Backend) { b.Fill(x, 1) }
	})
	add("Copy", func(m *memory) func(gpu.Backend) {
		dst, src := m.vec(length), m.vec(length)
		return func(b gpu.Backend) { b.Copy(dst, src) }
	})
	add("Scale", func(m *memory) func(gpu.Backend) {
		x, s := m.vec(length), m.vec(1)
		return func(b gpu.Backend) { b.Scale(x, 2, s) }
	})
	add("Axpy", func(m *memory) func(gpu.Backend) {
		y, s, x := m.vec(length), m.vec(1), m.vec(length)
		return func(b gpu.Backend) { b.Axpy(y, 2, s, x) }
	})
	add("Perturb", func(m *memory) func(gpu.Backend) {
		dst, x, s, d := m.vec(length), m.vec(length), m.vec(1), m.vec(length)
		return func(b gpu.Backend) { b.Perturb(dst, x, 2, s, d) }
	})
	add("Mul", func(m *memory) func(gpu.Backend) {
		dst, x, y := m.vec(length), m.vec(length), m.vec(length)
		return func(b gpu.Backend) { b.Mul(dst, 2, x, y) }
	})
	several := func(m *memory) []gpu.Buffer {
		return []gpu.Buffer{m.vec(length / 2), m.vec(length / 2), m.vec(length / 2), m.vec(length / 2), m.vec(length / 2)}
	}
	for _, a := range both {
		add("Combine"+a.name, func(m *memory) func(gpu.Backend) {
			dst, s, xs := m.vec(length/2), m.vec(5), several(m)
			return func(b gpu.Backend) { b.Combine(dst, s, xs, a.on) }
		})
	}
	add("Dots", func(m *memory) func(gpu.Backend) {
		out, xs, y := m.vec(5), several(m), m.vec(length/2)
		return func(b gpu.Backend) { b.Dots(out, 1, xs, y) }
	})
	add("Gram", func(m *memory) func(gpu.Backend) {
		out, xs := m.vec(25), several(m)
		return func(b gpu.Backend) { b.Gram(out, xs) }
	})
	for _, loss := range []bool{false, true} {
		add("Prox"+map[bool]string{true: "/loss"}[loss], func(m *memory) func(gpu.Backend) {
			g, w, ref := m.vec(length), m.vec(length), m.vec(length)
			var l gpu.Buffer
			if loss {
				l = m.vec(1)
			}
			return func(b gpu.Backend) { b.Prox(g, w, ref, 0.1, l) }
		})
	}
	for rule := gpu.SGD; rule <= gpu.AdamW; rule++ {
		for _, jac := range []bool{false, true} {
			add("Update/"+rule.String()+map[bool]string{true: "/factor"}[jac], func(m *memory) func(gpu.Backend) {
				u := gpu.Update{Rule: rule, P: m.vec(length), G: m.vec(length), M: m.vec(length), GradScale: m.vec(1), Rates: [3]float64{1e-3, 2, 2},
					Momentum: 0.9, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
				if rule != gpu.SGD {
					u.V = m.vec(length)
				}
				if jac {
					u.Jac = m.vec(length)
				}
				return func(b gpu.Backend) { b.Update(u) }
			})
		}
	}
	for _, grad := range []bool{false, true} {
		add("UpdateRows"+map[bool]string{true: "/gradient"}[grad], func(m *memory) func(gpu.Backend) {
			const rows, cols = 2048, 384
			u := gpu.UpdateRows{Rule: gpu.AdamW, P: m.mat(rows, cols), M: m.mat(rows, cols), V: m.mat(rows, cols), Rates: m.vec(3), Until: 1,
				Last: m.ints(rows, 1), Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
			if grad {
				u.G = m.mat(rows, cols)
			}
			return func(b gpu.Backend) { b.UpdateRows(u) }
		})
	}
	add("ClipScale", func(m *memory) func(gpu.Backend) {
		s, n := m.vec(1), m.vec(1)
		return func(b gpu.Backend) { b.ClipScale(s, n, 1) }
	})
	add("ClipCoef", func(m *memory) func(gpu.Backend) {
		o, s, n, d := m.vec(1), m.vec(1), m.vec(1), m.vec(1)
		return func(b gpu.Backend) { b.ClipCoef(o, s, n, d) }
	})
	add("StepSize", func(m *memory) func(gpu.Backend) {
		o, n := m.vec(2), m.vec(1)
		return func(b gpu.Backend) { b.StepSize(o, n, 1) }
	})
	add("Quotient", func(m *memory) func(gpu.Backend) {
		o, x, y := m.vec(1), m.vec(1), m.vec(1)
		return func(b gpu.Backend) { b.Quotient(o, x, y) }
	})
	add("Softmax", func(m *memory) func(gpu.Backend) {
		o, x := m.vec(13), m.vec(13)
		return func(b gpu.Backend) { b.Softmax(o, x) }
	})
	add("SoftmaxGrad", func(m *memory) func(gpu.Backend) {
		dx, y, dy := m.vec(13), m.vec(13), m.vec(13)
		return func(b gpu.Backend) { b.SoftmaxGrad(dx, y, dy) }
	})
	return all
}
