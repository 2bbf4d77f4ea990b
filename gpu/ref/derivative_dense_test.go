package ref_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

// elementOperations are activations and dropout: one operation serves as gradient and as tangent.
func elementOperations() []operation {
	var ops []operation
	add := func(name string, forward func(d *device, y, x gpu.Mat), jac func(d *device, out, in, y gpu.Mat)) {
		run := func(d *device, x, y, in []gpu.Buffer) []gpu.Buffer {
			out := d.unset(15)
			jac(d, tight(out, 5), tight(in[0], 5), tight(y[0], 5))
			return []gpu.Buffer{out}
		}
		ops = append(ops, operation{name: name, sizes: []int{15}, gradient: run, tangent: run,
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				y := d.unset(15)
				forward(d, tight(y, 5), tight(x[0], 5))
				return []gpu.Buffer{y}
			}})
	}
	for act := gpu.Identity; act <= gpu.LeakyReLU; act++ {
		add("Activate/"+act.String(), func(d *device, y, x gpu.Mat) { d.Activate(act, y, x) },
			func(d *device, out, in, y gpu.Mat) { d.ActivateGrad(act, out, in, y, false) })
	}
	key := gpu.Key{Seed: 3, Step: 1, Stream: 4}
	add("Dropout", func(d *device, y, x gpu.Mat) { d.Dropout(y, x, 0.4, key, false) },
		func(d *device, out, in, _ gpu.Mat) { d.Dropout(out, in, 0.4, key, false) })
	return ops
}

// normOperations are the normalisations as functions of X, Gamma and Beta.
func normOperations() []operation {
	const rows, cols = 7, 3
	var ops []operation
	for mode := range 8 {
		mult, relu, frozen := mode&1 != 0, mode&2 != 0, mode&4 != 0
		act := gpu.Identity
		if relu {
			act = gpu.ReLU
		}
		run := func(d *device, x []gpu.Buffer) gpu.BatchNorm {
			o := gpu.BatchNorm{X: tight(x[0], cols), Y: tight(d.unset(rows*cols), cols), Gamma: x[1], Beta: x[2], Total: rows, Eps: 1e-2, Act: act, Frozen: frozen,
				Mean: d.floats(0.1, -0.2, 0.3), Rstd: d.floats(0.7, 1.1, 2)}
			if mult {
				o.Mult, o.Total = d.floats(1, 2, 5, 1, 3, 1, 1), 14
			}
			d.BatchNorm(o)
			return o
		}
		ops = append(ops, operation{name: fmt.Sprintf("BatchNorm/mult=%v,relu=%v,frozen=%v", mult, relu, frozen), sizes: []int{rows * cols, cols, cols},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Y.Buf} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				dx, dg, db := d.unset(rows*cols), d.zeros(cols), d.zeros(cols)
				d.BatchNormGrad(gpu.BatchNormGrad{BatchNorm: run(d, x), DY: tight(dy[0], cols), DX: tight(dx, cols), DGamma: dg, DBeta: db})
				return []gpu.Buffer{dx, dg, db}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				ty := d.unset(rows * cols)
				d.BatchNormTangent(gpu.BatchNormTangent{BatchNorm: run(d, x), TX: tight(tx[0], cols), TGamma: tx[1], TBeta: tx[2], TY: tight(ty, cols)})
				return []gpu.Buffer{ty}
			}})
		if mult || frozen {
			continue
		}
		layer := func(d *device, x []gpu.Buffer) gpu.LayerNorm {
			o := gpu.LayerNorm{X: tight(x[0], cols), Y: tight(d.unset(rows*cols), cols), Gamma: x[1], Beta: x[2], Eps: 1e-2, Act: act,
				Mean: d.unset(rows), Rstd: d.unset(rows)}
			d.LayerNorm(o)
			return o
		}
		ops = append(ops, operation{name: fmt.Sprintf("LayerNorm/relu=%v", relu), sizes: []int{rows * cols, cols, cols},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{layer(d, x).Y.Buf} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				dx, dg, db := d.unset(rows*cols), d.zeros(cols), d.zeros(cols)
				d.LayerNormGrad(gpu.LayerNormGrad{LayerNorm: layer(d, x), DY: tight(dy[0], cols), DX: tight(dx, cols), DGamma: dg, DBeta: db})
				return []gpu.Buffer{dx, dg, db}
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				ty := d.unset(rows * cols)
				d.LayerNormTangent(gpu.LayerNormTangent{LayerNorm: layer(d, x), TX: tight(tx[0], cols), TGamma: tx[1], TBeta: tx[2], TY: tight(ty, cols)})
				return []gpu.Buffer{ty}
			}})
	}
	return ops
}

// lossOperations return the loss; their gradient comes with it for unit upstream gradient.
func lossOperations() []operation {
	var ops []operation
	// run adds the loss to the last buffer and returns the gradients.
	add := func(name string, sizes []int, run func(d *device, x []gpu.Buffer, loss gpu.Buffer) []gpu.Buffer) {
		ops = append(ops, operation{name: name, sizes: sizes,
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer {
				loss := d.floats(0.5)
				run(d, x, loss)
				return []gpu.Buffer{loss}
			},
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				g := run(d, x, d.zeros(1))
				for _, b := range g {
					d.Scale(b, 1, dy[0])
				}
				return g
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				out := d.zeros(1)
				for i, b := range run(d, x, d.zeros(1)) {
					d.Dot(out, 1, b, tx[i], true)
				}
				return []gpu.Buffer{out}
			}})
	}
	for _, weighted := range []bool{false, true} {
		add(fmt.Sprintf("SoftmaxCE/weighted=%v", weighted), []int{20}, func(d *device, x []gpu.Buffer, loss gpu.Buffer) []gpu.Buffer {
			g := d.unset(20)
			l := gpu.SoftmaxCE{X: tight(x[0], 5), DX: tight(g, 5), Target: d.ints(3, -1, 0, 4), Scale: 0.3, Loss: loss}
			if weighted {
				l.Weight = d.floats(2, 1, 0, 0.5)
			}
			d.SoftmaxCE(l)
			return []gpu.Buffer{g}
		})
		for kind, name := range []string{"BCE", "MSE"} {
			add(fmt.Sprintf("ElementLoss/%s,weighted=%v", name, weighted), []int{6}, func(d *device, x []gpu.Buffer, loss gpu.Buffer) []gpu.Buffer {
				g := d.unset(6)
				l := gpu.ElementLoss{Kind: gpu.LossKind(kind), X: tight(x[0], 3), DX: tight(g, 3), Target: d.floats(0, 1, 0.5, 1, 0, 1), Scale: 0.3, Loss: loss}
				if weighted {
					l.Weight, l.Target = d.floats(2, 0, 1, 0.5, 1, 0), d.floats(0, math.NaN(), 0.5, 1, 0, math.NaN())
				}
				d.ElementLoss(l)
				return []gpu.Buffer{g}
			})
		}
	}
	add("NTXent", []int{36}, func(d *device, x []gpu.Buffer, loss gpu.Buffer) []gpu.Buffer {
		g := d.unset(36)
		d.NTXent(gpu.NTXent{S: tight(x[0], 6), DS: tight(g, 6), Scale: 0.3, Loss: loss})
		return []gpu.Buffer{g}
	})
	add("PairDistance", []int{12, 12}, func(d *device, x []gpu.Buffer, loss gpu.Buffer) []gpu.Buffer {
		da, db := d.unset(12), d.unset(12)
		d.PairDistance(gpu.PairDistance{A: tight(x[0], 4), B: tight(x[1], 4), DA: tight(da, 4), DB: tight(db, 4), Eps: 1e-3, Scale: 0.3, Loss: loss})
		return []gpu.Buffer{da, db}
	})
	return ops
}

// TestUpdateJacobian compares Jac with central differences of the updated parameters in the gradient, for every rule, at the
// first step (where vh = g²) and later.
func TestUpdateJacobian(t *testing.T) {
	const n = 5
	for rule := gpu.SGD; rule <= gpu.AdamW; rule++ {
		for _, momentum := range []float64{0, 0.9} {
			for _, count := range []float64{1, 6} {
				t.Run(fmt.Sprintf("%s/momentum=%g/step=%g", rule, momentum, count), func(t *testing.T) {
					d := &device{ref.Open(), t}
					rng := rand.New(rand.NewPCG(5, 5))
					x := random(rng, []int{n, n, n, n}) // P, G, M, V
					for i := range n {
						x[3][i] = 0.2 + x[3][i]*x[3][i]
						if count == 1 {
							x[2][i], x[3][i] = 0, 0
						}
					}
					const clip = 0.4
					run := func(g []float64) (p, jac []float64) {
						u := gpu.Update{Rule: rule, P: d.floats(x[0]...), G: d.floats(g...), M: d.floats(x[2]...), V: d.floats(x[3]...), Jac: d.unset(n),
							Rates: [3]float64{0.1, 1 / (1 - math.Pow(0.9, count)), 1 / (1 - math.Pow(0.99, count))}, GradScale: d.floats(clip),
							Momentum: momentum, Beta1: 0.9, Beta2: 0.99, Eps: 1e-1, WeightDecay: 0.05}
						if rule == gpu.SGD && momentum == 0 {
							u.M = gpu.Buffer{}
						}
						d.Update(u)
						return d.read(u.P), d.read(u.Jac)
					}
					_, jac := run(x[1])
					want := make([]float64, n)
					up, _ := run(shifted(x[1:2], [][]float64{{1, 1, 1, 1, 1}}, step)[0])
					down, _ := run(shifted(x[1:2], [][]float64{{1, 1, 1, 1, 1}}, -step)[0])
					for i := range want {
						want[i] = (up[i] - down[i]) / (2 * step) / clip
					}
					near(t, "Jac", jac, want, 1e-6)
				})
			}
		}
	}
}

// TestUpdateWithoutSecondMoment: where vh = 0 the factor has one term and nothing is NaN.
func TestUpdateWithoutSecondMoment(t *testing.T) {
	d := &device{ref.Open(), t}
	u := gpu.Update{Rule: gpu.Adam, P: d.floats(1), G: d.zeros(1), M: d.floats(2), V: d.zeros(1), Jac: d.unset(1), Rates: [3]float64{0.1, 1, 1},
		Beta1: 0.9, Beta2: 0.99, Eps: 0.5}
	d.Update(u)
	near(t, "P", d.read(u.P), []float64{1 - 0.1*1.8/0.5}, 1e-12)
	near(t, "Jac", d.read(u.Jac), []float64{-0.1 * 0.1 / 0.5}, 1e-12)
}

// TestBatchNormMultiplicities: a row of multiplicity m is m equal rows, in the output, the gradient and the tangent.
func TestBatchNormMultiplicities(t *testing.T) {
	d := &device{ref.Open(), t}
	rng := rand.New(rand.NewPCG(7, 7))
	const cols = 3
	mult := []int{1, 3, 2, 1}
	v := random(rng, []int{4 * cols, cols, cols, 4 * cols, cols, cols}) // X, Gamma, Beta, TX, TGamma, TBeta
	full := func(x []float64) []float64 {
		var out []float64
		for r, m := range mult {
			for range m {
				out = append(out, x[r*cols:(r+1)*cols]...)
			}
		}
		return out
	}
	// folded sums what equal rows received.
	folded := func(x []float64) []float64 {
		out, i := make([]float64, 4*cols), 0
		for r, m := range mult {
			for range m {
				for c := range cols {
					out[r*cols+c] += x[i*cols+c]
				}
				i++
			}
		}
		return out
	}
	dyFull := random(rng, []int{7 * cols})[0]
	run := func(x, tx, dy []float64, mult gpu.Buffer) (y, dx, dg, ty []float64) {
		n := len(x)
		o := gpu.BatchNorm{X: tight(d.floats(x...), cols), Y: tight(d.unset(n), cols), Mult: mult, Total: 7, Gamma: d.floats(v[1]...), Beta: d.floats(v[2]...),
			Mean: d.unset(cols), Rstd: d.unset(cols), Eps: 1e-3, Act: gpu.ReLU}
		d.BatchNorm(o)
		g := gpu.BatchNormGrad{BatchNorm: o, DY: tight(d.floats(dy...), cols), DX: tight(d.unset(n), cols), DGamma: d.zeros(cols), DBeta: d.zeros(cols)}
		d.BatchNormGrad(g)
		tt := gpu.BatchNormTangent{BatchNorm: o, TX: tight(d.floats(tx...), cols), TGamma: d.floats(v[4]...), TBeta: d.floats(v[5]...), TY: tight(d.unset(n), cols)}
		d.BatchNormTangent(tt)
		return d.read(o.Y.Buf), d.read(g.DX.Buf), append(d.read(g.DGamma), d.read(g.DBeta)...), d.read(tt.TY.Buf)
	}
	y, dx, dg, ty := run(v[0], v[3], folded(dyFull), d.floats(1, 3, 2, 1))
	fy, fdx, fdg, fty := run(full(v[0]), full(v[3]), dyFull, gpu.Buffer{})
	near(t, "Y", full(y), fy, 1e-12)
	near(t, "DX", dx, folded(fdx), 1e-12)
	near(t, "DGamma, DBeta", dg, fdg, 1e-12)
	near(t, "TY", full(ty), fty, 1e-12)
}
