package ref_test

import (
	"fmt"

	"tapweight/gpu"
)

// encoderOperations are the operations of transformer encoders.
func encoderOperations() []operation {
	ops := []operation{scatterRows()}
	for _, on := range []bool{false, true} {
		ops = append(ops, gelu(on), addNorm(on), linearCE(on))
	}
	return ops
}

func gelu(tanh bool) operation {
	const rows, cols = 4, 3
	run := func(d *device, x []gpu.Buffer) gpu.GELU {
		o := gpu.GELU{X: tight(x[0], cols), Y: tight(d.unset(rows*cols), cols), Bias: x[1], Tanh: tanh}
		d.GELU(o)
		return o
	}
	return operation{name: fmt.Sprintf("GELU/tanh=%v", tanh), sizes: []int{rows * cols, cols},
		forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Y.Buf} },
		gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
			dx, db := d.unset(rows*cols), d.zeros(cols)
			d.GELUGrad(gpu.GELUGrad{GELU: run(d, x), DY: tight(dy[0], cols), DX: tight(dx, cols), DBias: db})
			return []gpu.Buffer{dx, db}
		},
		tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
			ty := d.unset(rows * cols)
			d.GELUTangent(gpu.GELUTangent{GELU: run(d, x), TX: tight(tx[0], cols), TBias: tx[1], TY: tight(ty, cols)})
			return []gpu.Buffer{ty}
		}}
}

// addNorm is a function of X, R, Bias, Gamma and Beta; bare without R and Bias, on which it does not depend then.
func addNorm(bare bool) operation {
	const rows, cols = 4, 5
	run := func(d *device, x []gpu.Buffer) gpu.AddNorm {
		o := gpu.AddNorm{X: tight(x[0], cols), R: tight(x[1], cols), Bias: x[2], Gamma: x[3], Beta: x[4], Eps: 1e-2, DropP: 0.4, Key: gpu.Key{Seed: 7, Step: 2, Stream: 1},
			Z: tight(d.unset(rows*cols), cols), Y: tight(d.unset(rows*cols), cols), Mean: d.unset(rows), Rstd: d.unset(rows)}
		if bare {
			o.R, o.Bias = gpu.Mat{}, gpu.Buffer{}
		}
		d.AddNorm(o)
		return o
	}
	return operation{name: fmt.Sprintf("AddNorm/bare=%v", bare), sizes: []int{rows * cols, rows * cols, cols, cols, cols},
		forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Y.Buf} },
		gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
			dx, dr, db, dg, de := d.unset(rows*cols), d.zeros(rows*cols), d.zeros(cols), d.zeros(cols), d.zeros(cols)
			g := gpu.AddNormGrad{AddNorm: run(d, x), DY: tight(dy[0], cols), DX: tight(dx, cols), DGamma: dg, DBeta: de}
			if !bare {
				g.DR, g.DBias, g.Accumulate = tight(dr, cols), db, true
			}
			d.AddNormGrad(g)
			return []gpu.Buffer{dx, dr, db, dg, de}
		},
		tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
			ty := d.unset(rows * cols)
			g := gpu.AddNormTangent{AddNorm: run(d, x), TX: tight(tx[0], cols), TGamma: tx[3], TBeta: tx[4], TY: tight(ty, cols)}
			if !bare {
				g.TR, g.TBias = tight(tx[1], cols), tx[2]
			}
			d.AddNormTangent(g)
			return []gpu.Buffer{ty}
		}}
}

// linearCE is a function of X, W and Bias; without is without the bias.
func linearCE(without bool) operation {
	const n, classes, inner = 4, 6, 3
	run := func(d *device, x []gpu.Buffer) gpu.LinearCE {
		o := gpu.LinearCE{X: tight(x[0], inner), W: tight(x[1], inner), Bias: x[2], Target: d.ints(5, -1, 0, 2), Scale: 0.3, LSE: d.unset(n), Loss: d.floats(0.25)}
		if without {
			o.Bias = gpu.Buffer{}
		}
		d.LinearCE(o)
		return o
	}
	return operation{name: fmt.Sprintf("LinearCE/without bias=%v", without), sizes: []int{n * inner, classes * inner, classes},
		forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Loss} },
		gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
			dx, dw, db := d.unset(n*inner), d.zeros(classes*inner), d.zeros(classes)
			g := gpu.LinearCEGrad{LinearCE: run(d, x), Up: dy[0], DX: tight(dx, inner), DW: tight(dw, inner)}
			if !without {
				g.DBias = db
			}
			d.LinearCEGrad(g)
			return []gpu.Buffer{dx, dw, db}
		},
		tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
			out := d.floats(0)
			g := gpu.LinearCETangent{LinearCE: run(d, x), TX: tight(tx[0], inner), TW: tight(tx[1], inner), C: 1, Out: out}
			if !without {
				g.TBias = tx[2]
			}
			d.LinearCETangent(g)
			return []gpu.Buffer{out}
		}}
}

// scatterRows is the gradient of a look-up of rows 3 and 1, 3 and 4, 0 and 3 of a table of six.
func scatterRows() operation {
	const rows, cols = 6, 2
	idx := []int32{3, 1, 3, 4, 0, 3}
	forward := func(d *device, x gpu.Buffer) []gpu.Buffer {
		y := d.unset(3 * cols)
		d.EmbeddingSum(tight(y, cols), tight(x, cols), d.ints(idx...), 2)
		return []gpu.Buffer{y}
	}
	return operation{name: "ScatterRows", sizes: []int{rows * cols},
		forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return forward(d, x[0]) },
		gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
			g := d.zeros(rows * cols)
			t := gpu.CSR{Rows: 4, Cols: 3, NNZ: 6, RowPtr: d.ints(0, 3, 4, 5, 6), Col: d.ints(0, 1, 2, 0, 1, 2)}
			d.ScatterRows(tight(g, cols), d.ints(3, 1, 4, 0), t, tight(dy[0], cols))
			return []gpu.Buffer{g}
		},
		tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer { return forward(d, tx[0]) }}
}
