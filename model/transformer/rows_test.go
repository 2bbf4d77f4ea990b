package transformer

import (
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/tape"
)

// TestRows: rows that are wanted alone are those of a pass that computes all, and so are the gradients and tangents of a loss of them:
// first tokens, some or no tokens of a sequence, none at all, all.
func TestRows(t *testing.T) {
	in := readInput(t)
	for _, family := range []string{"bert", "distilbert"} {
		r := newRun(t, ref.Open(), config(t, "testdata/"+family+"-mlm"))
		load(t, "testdata/"+family+"-mlm", r)
		c := r.encoder.Width
		direction := r.vector(r.params.Initial(11))
		var all, some []int32
		starts := []int32{}
		{
			var h batch.Host
			p := pack(t, &r.encoder.Config, &h, in.sequences(family))
			starts = p.Start[:p.Len()]
			for i := range p.Tokens() {
				all = append(all, int32(i))
				if int32(i) >= p.Start[1] && i%3 != 0 { // of the first sequence none
					some = append(some, int32(i))
				}
			}
		}
		for name, wanted := range map[string][]int32{"first": starts, "some": some, "none": {}, "one": {2}, "all": all} {
			// result is the rows, the loss, its derivative along the direction, and its gradient.
			result := func(pruned bool) (rows []float64, loss, slope float64, gradient []float64) {
				var h batch.Host
				p := pack(t, &r.encoder.Config, &h, in.sequences(family))
				var target []float64
				for i := range len(wanted) * c {
					target = append(target, math.Sin(float64(i)))
				}
				of, gather, at := p.PackRows(&h, wanted), batch.PackGather(&h, p.Tokens(), wanted), h.Floats(target)
				if of.some != (name != "all") {
					t.Errorf("%s, %s: gathered: %v", family, name, of.some)
				}
				r.upload(&h)
				r.tape.Start(r.params.Bind(r.value), true)
				var x *tape.Var
				if pruned {
					x = r.encoder.Forward(r.tape, p, of, r.device, tape.Pass{})
				} else {
					x = r.tape.Aggregate(gather.On(r.device), r.encoder.Forward(r.tape, p, Rows{}, r.device, tape.Pass{}), nil)
				}
				value, tangent := r.vector([]float64{0}), r.vector([]float64{0})
				l := r.tape.ElementLoss(gpu.MSE, x, r.device.Floats(at), gpu.Buffer{}, 1, value)
				rows = r.rows(x.Value)
				r.tape.Tangent(r.params.Bind(direction), 1, []*tape.Loss{l}, []gpu.Buffer{tangent})
				g := r.vector(make([]float64, r.params.Len()))
				r.tape.Backward(r.params.Bind(g), false, tape.Seed{Loss: l})
				return rows, r.download(value)[0], r.download(tangent)[0], r.download(g)
			}
			rows, loss, slope, gradient := result(true)
			fullRows, fullLoss, fullSlope, fullGradient := result(false)
			if len(rows) != len(wanted)*c || len(wanted) > 0 && (loss == 0 || slope == 0) {
				t.Errorf("%s, %s: %d values, loss %g, slope %g", family, name, len(rows), loss, slope)
			}
			r.near(name+": rows", rows, fullRows, 1e-13)
			r.near(name+": loss and slope", []float64{loss, slope}, []float64{fullLoss, fullSlope}, 1e-12)
			r.near(name+": gradient", gradient, fullGradient, 1e-12)
		}
	}
}

// TestRowsAscend: rows in another order, twice, or beyond the last are refused.
func TestRowsAscend(t *testing.T) {
	cfg := config(t, "testdata/bert-mlm")
	for _, rows := range [][]int32{{1, 0}, {4, 2}, {1, 1}, {1 << 20}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v is taken", rows)
				}
			}()
			var h batch.Host
			pack(t, &cfg, &h, readInput(t).sequences("bert")).PackRows(&h, rows)
		}()
	}
}
