package ref_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

// operation is a differentiable operation as a function of several vectors.
type operation struct {
	name    string
	sizes   []int // of the inputs
	forward func(d *device, x []gpu.Buffer) []gpu.Buffer
	// gradient returns the gradients of sum <dy_i, y_i>; nil where package gpu has none.
	gradient func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer
	// tangent returns the derivatives of y along tx; nil where package gpu has none.
	tangent func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer
}

// device is the oracle with short forms.
type device struct {
	*ref.Backend
	t *testing.T
}

func (d *device) floats(v ...float64) gpu.Buffer {
	b, err := d.Alloc(len(v), 8)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Upload(b, v)
	return b
}

func (d *device) ints(v ...int32) gpu.Buffer {
	b, err := d.Alloc(len(v), 4)
	if err != nil {
		d.t.Fatal(err)
	}
	d.UploadInts(b, v)
	return b
}

// unset reserves n floats that hold NaN.
func (d *device) unset(n int) gpu.Buffer {
	b, err := d.Alloc(n, 8)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *device) zeros(n int) gpu.Buffer { return d.floats(make([]float64, n)...) }

func (d *device) read(b gpu.Buffer) []float64 {
	v := make([]float64, b.Len())
	if err := d.Download(v, b); err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *device) upload(v [][]float64) []gpu.Buffer {
	out := make([]gpu.Buffer, len(v))
	for i := range v {
		out[i] = d.floats(v[i]...)
	}
	return out
}

// tight views a buffer as a matrix of so many columns.
func tight(b gpu.Buffer, cols int) gpu.Mat { return gpu.MatOf(b, b.Len()/cols, cols, cols) }

func random(rng *rand.Rand, sizes []int) [][]float64 {
	out := make([][]float64, len(sizes))
	for i, n := range sizes {
		out[i] = make([]float64, n)
		for j := range out[i] {
			out[i][j] = rng.NormFloat64()
		}
	}
	return out
}

func dot(a, b [][]float64) float64 {
	s := 0.0
	for i := range a {
		for j := range a[i] {
			s += a[i][j] * b[i][j]
		}
	}
	return s
}

// near fails unless got is want to a relative 1e-6 of the largest element.
func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	scale := 0.0
	for _, v := range want {
		scale = math.Max(scale, math.Abs(v))
	}
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= tol*math.Max(scale, 1e-3)) {
			t.Errorf("%s[%d] = %.12g, want %.12g", what, i, got[i], w)
			return
		}
	}
}

const step = 1e-5 // central differences are then good to about 1e-10

// TestDerivatives proves every gradient and tangent of the oracle by central differences of its forward, and against each
// other: <dy, tangent> = <gradient, tx>.
func TestDerivatives(t *testing.T) {
	for i, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			d := &device{ref.Open(), t}
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			x, tx := random(rng, op.sizes), random(rng, op.sizes)
			evaluate := func(v [][]float64) [][]float64 {
				var out [][]float64
				for _, b := range op.forward(d, d.upload(v)) {
					out = append(out, d.read(b))
				}
				return out
			}
			xs := d.upload(x)
			ys := op.forward(d, xs)
			var sizes []int
			for _, b := range ys {
				sizes = append(sizes, b.Len())
			}
			dy := random(rng, sizes)

			var tangent [][]float64
			if op.tangent != nil {
				plus, minus := shifted(x, tx, step), shifted(x, tx, -step)
				yp, ym := evaluate(plus), evaluate(minus)
				for k, b := range op.tangent(d, xs, ys, d.upload(tx)) {
					tangent = append(tangent, d.read(b))
					want := make([]float64, len(yp[k]))
					for j := range want {
						want[j] = (yp[k][j] - ym[k][j]) / (2 * step)
					}
					near(t, "tangent", tangent[k], want, 1e-6)
				}
			}
			if op.gradient == nil {
				return
			}
			var gradient [][]float64
			for k, b := range op.gradient(d, xs, ys, d.upload(dy)) {
				gradient = append(gradient, d.read(b))
				want := make([]float64, len(x[k]))
				for j := range want {
					keep := x[k][j]
					x[k][j] = keep + step
					up := dot(evaluate(x), dy)
					x[k][j] = keep - step
					want[j] = (up - dot(evaluate(x), dy)) / (2 * step)
					x[k][j] = keep
				}
				near(t, "gradient", gradient[k], want, 1e-6)
			}
			if tangent != nil {
				near(t, "duality", []float64{dot(dy, tangent)}, []float64{dot(gradient, tx)}, 1e-10)
			}
		})
	}
}

func shifted(x, tx [][]float64, s float64) [][]float64 {
	out := make([][]float64, len(x))
	for i := range x {
		out[i] = make([]float64, len(x[i]))
		for j := range x[i] {
			out[i][j] = x[i][j] + s*tx[i][j]
		}
	}
	return out
}

// csr is a small graph of 5 rows and 4 columns with an empty row and a repeated neighbour.
func (d *device) csr() gpu.CSR {
	return gpu.CSR{Rows: 5, Cols: 4, NNZ: 9, RowPtr: d.ints(0, 3, 3, 4, 7, 9), Col: d.ints(0, 1, 1, 2, 3, 0, 2, 3, 1), Code: d.ints(0, 1, 2, 0, 1, 2, 2, 0, 1),
		Weight: d.floats(0.5, -1, 2, 1.5, 0.3, 1, -0.7, 1, 1)}
}

// transposed is the transpose of csr.
func (d *device) transposed() gpu.CSR {
	return gpu.CSR{Rows: 4, Cols: 5, NNZ: 9, RowPtr: d.ints(0, 2, 5, 7, 9), Col: d.ints(0, 3, 0, 0, 4, 2, 3, 3, 4),
		Weight: d.floats(0.5, 1, -1, 2, 1, 1.5, -0.7, 0.3, 1)}
}

func operations() []operation {
	const ch = 6 // channels of the sparse operations
	ops := []operation{
		{name: "Gemm+bias+relu", sizes: []int{5 * 4, 3 * 4, 3},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				y := d.unset(15)
				d.Gemm(gpu.Gemm{A: tight(x[0], 4), B: tight(x[1], 4), TransB: true, C: tight(y, 3), Bias: x[2], Act: gpu.ReLU})
				return []gpu.Buffer{y}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g, da, db, dc := tight(d.unset(15), 3), d.unset(20), d.unset(12), d.unset(3)
				d.ActivateGrad(gpu.ReLU, g, tight(dy[0], 3), tight(y[0], 3), false)
				d.Gemm(gpu.Gemm{A: g, B: tight(x[1], 4), C: tight(da, 4)})
				d.Gemm(gpu.Gemm{A: g, TransA: true, B: tight(x[0], 4), C: tight(db, 4)})
				d.ColSum(dc, g, false)
				return []gpu.Buffer{da, db, dc}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				s, ty := tight(d.unset(15), 3), d.unset(15)
				d.Gemm(gpu.Gemm{A: tight(tx[0], 4), B: tight(x[1], 4), TransB: true, C: s, Bias: tx[2]})
				d.Gemm(gpu.Gemm{A: tight(x[0], 4), B: tight(tx[1], 4), TransB: true, C: s, Accumulate: true})
				d.ActivateGrad(gpu.ReLU, tight(ty, 3), s, tight(y[0], 3), false)
				return []gpu.Buffer{ty}
			}},
		{name: "Aggregate", sizes: []int{4 * ch, 3 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{d.aggregate(x[0], x[1], ch)} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				dh, de := d.unset(4*ch), d.zeros(3*ch)
				d.Aggregate(gpu.Aggregate{CSR: d.transposed(), H: tight(dy[0], ch), Out: tight(dh, ch)})
				d.EdgeGrad(gpu.EdgeGrad{CSR: d.csr(), DOut: tight(dy[0], ch), DE: tight(de, ch)})
				return []gpu.Buffer{dh, de}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				return []gpu.Buffer{d.aggregate(tx[0], tx[1], ch)}
			}},
		{name: "EmbeddingSum", sizes: []int{4 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{d.embedding(x[0], ch)} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g := d.zeros(4 * ch)
				d.EmbeddingSumGrad(tight(g, ch), tight(dy[0], ch), d.ints(0, 2, 1, 2, 2, 2), 2)
				return []gpu.Buffer{g}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{d.embedding(tx[0], ch)} }},
		{name: "SegmentMax", sizes: []int{4 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				out, _ := d.segmentMax(x[0], ch)
				return []gpu.Buffer{out}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g := d.zeros(4 * ch)
				_, arg := d.segmentMax(x[0], ch)
				d.SegmentMaxGrad(tight(g, ch), tight(dy[0], ch), arg)
				return []gpu.Buffer{g}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				ty := d.unset(5 * ch)
				_, arg := d.segmentMax(x[0], ch)
				d.SegmentMaxTangent(tight(ty, ch), tight(tx[0], ch), arg)
				return []gpu.Buffer{ty}
			}},
		{name: "GAT", sizes: []int{4 * ch, 3 * ch, 2 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{d.gat(x, ch).Out.Buf} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				dx, de, da := d.zeros(4*ch), d.zeros(3*ch), d.zeros(2*ch)
				edges := gpu.CSR{Rows: 4, Cols: 9, NNZ: 9, RowPtr: d.ints(0, 2, 5, 7, 9), Col: d.ints(0, 5, 1, 2, 8, 3, 6, 4, 7)}
				selves := gpu.CSR{Rows: 4, Cols: 5, NNZ: 5, RowPtr: d.ints(0, 0, 2, 3, 5), Col: d.ints(0, 3, 1, 2, 4)}
				d.GATGrad(gpu.GATGrad{GAT: d.gat(x, ch), T: edges, TSelf: selves, DOut: tight(dy[0], ch), DX: tight(dx, ch), DE: tight(de, ch), DAtt: tight(da, ch),
					DScore: tight(d.unset(18), 2)})
				return []gpu.Buffer{dx, de, da}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				ty := d.unset(5 * ch)
				d.GATTangent(gpu.GATTangent{GAT: d.gat(x, ch), TX: tight(tx[0], ch), TE: tight(tx[1], ch), TAtt: tight(tx[2], ch), TOut: tight(ty, ch)})
				return []gpu.Buffer{ty}
			}},
		{name: "RowDot and RowScale", sizes: []int{5 * ch, 5 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				out := d.unset(5)
				d.RowDot(out, tight(x[0], ch), tight(x[1], ch), 0.7, false)
				return []gpu.Buffer{out}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				da, db := d.unset(5*ch), d.unset(5*ch)
				d.RowScale(tight(da, ch), dy[0], tight(x[1], ch), 0.7, false)
				d.RowScale(tight(db, ch), dy[0], tight(x[0], ch), 0.7, false)
				return []gpu.Buffer{da, db}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				out := d.unset(5)
				d.RowDot(out, tight(tx[0], ch), tight(x[1], ch), 0.7, false)
				d.RowDot(out, tight(x[0], ch), tight(tx[1], ch), 0.7, true)
				return []gpu.Buffer{out}
			}},
		{name: "RowNormalize", sizes: []int{5 * ch},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				y, _ := d.rowNormalize(x[0], ch)
				return []gpu.Buffer{y}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				return []gpu.Buffer{d.rowNormalizeJac(x[0], dy[0], ch)}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				return []gpu.Buffer{d.rowNormalizeJac(x[0], tx[0], ch)}
			}},
		{name: "Softmax", sizes: []int{7},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				y := d.unset(7)
				d.Softmax(y, x[0])
				return []gpu.Buffer{y}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g := d.unset(7)
				d.SoftmaxGrad(g, y[0], dy[0])
				return []gpu.Buffer{g}
			}},
		{name: "Prox", sizes: []int{9, 9},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				loss := d.floats(0.25)
				d.Prox(d.zeros(9), x[0], x[1], 0.3, loss)
				return []gpu.Buffer{loss}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g := d.zeros(9)
				d.Prox(g, x[0], x[1], 0.3, gpu.Buffer{})
				d.Scale(g, 1, dy[0])
				return []gpu.Buffer{g}
			}},
	}
	ops = append(ops, elementOperations()...)
	ops = append(ops, normOperations()...)
	ops = append(ops, encoderOperations()...)
	ops = append(ops, attentionOperations()...)
	return append(ops, lossOperations()...)
}

func (d *device) aggregate(h, e gpu.Buffer, ch int) gpu.Buffer {
	out := d.unset(5 * ch)
	d.Aggregate(gpu.Aggregate{CSR: d.csr(), H: tight(h, ch), E: tight(e, ch), Out: tight(out, ch)})
	return out
}

func (d *device) embedding(table gpu.Buffer, ch int) gpu.Buffer {
	out := d.unset(3 * ch)
	d.EmbeddingSum(tight(out, ch), tight(table, ch), d.ints(0, 2, 1, 2, 2, 2), 2)
	return out
}

func (d *device) segmentMax(h gpu.Buffer, ch int) (out, arg gpu.Buffer) {
	out, arg = d.unset(5*ch), d.ints(make([]int32, 5*ch)...)
	d.SegmentMax(tight(out, ch), arg, d.csr(), tight(h, ch))
	return out, arg
}

// gat runs attention with two heads; the receiving nodes are rows 1, 2, 3, 1, 3 of X.
func (d *device) gat(x []gpu.Buffer, ch int) gpu.GAT {
	c := d.csr()
	c.Weight = gpu.Buffer{}
	g := gpu.GAT{CSR: c, Self: d.ints(1, 2, 3, 1, 3), Heads: 2, X: tight(x[0], ch), E: tight(x[1], ch), Att: tight(x[2], ch),
		Out: tight(d.unset(5*ch), ch), Alpha: tight(d.unset(18), 2), Score: tight(d.unset(18), 2)}
	d.GAT(g)
	return g
}

func (d *device) rowNormalize(x gpu.Buffer, ch int) (y, norm gpu.Buffer) {
	y, norm = d.unset(x.Len()), d.unset(x.Len()/ch)
	d.RowNormalize(tight(y, ch), tight(x, ch), norm, 0.1)
	return y, norm
}

func (d *device) rowNormalizeJac(x, in gpu.Buffer, ch int) gpu.Buffer {
	y, norm := d.rowNormalize(x, ch)
	out := d.unset(x.Len())
	d.RowNormalizeJac(tight(out, ch), tight(in, ch), tight(y, ch), norm, false)
	return out
}
