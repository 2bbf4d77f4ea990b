package tape_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// TestAttention holds gradient and tangent of a loss behind attention to central differences: with the projected rows read once,
// and read twice, where the gradient is added to what is there; with queries apart, of which one sequence has none; with queries that
// do not move.
func TestAttention(t *testing.T) {
	const rows, c = 6, 4
	for name, is := range map[string]struct{ twice, apart, fixed bool }{
		"read once": {}, "read twice": {twice: true}, "queries apart": {apart: true}, "queries apart, read twice": {apart: true, twice: true},
		"fixed queries": {apart: true, fixed: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := ref.Open()
			arena, err := gpu.NewArena(b, 0, 8)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			table := param.NewTable()
			w := table.Matrix("w", 3*c, c, param.Uniform)
			table.EndEncoder()
			upload := func(v []float64) gpu.Buffer {
				buf := arena.Alloc(len(v))
				b.Upload(buf, v)
				return buf
			}
			normal := func(n int) []float64 {
				v := make([]float64, n)
				for i := range v {
					v[i] = rng.NormFloat64()
				}
				return v
			}
			ints := func(v ...int32) gpu.Buffer {
				buf, err := b.Alloc(len(v), 4)
				if err != nil {
					t.Fatal(err)
				}
				b.UploadInts(buf, v)
				return buf
			}
			seq := tape.Sequences{Ptr: ints(0, 4, 5, 6), N: 3, LongestQ: 4, Longest: 4}
			queries := rows
			if seq.QPtr = seq.Ptr; is.apart {
				seq.QPtr, queries = ints(0, 2, 2, 3), 3
			}
			wq := w.Part(0, c)
			y := gpu.MatOf(upload(normal(queries*c)), queries, c, c)
			x, target, other := gpu.MatOf(upload(normal(rows*c)), rows, c, c), upload(normal(rows*c)), upload(normal(rows*3*c))
			tp := tape.New(b, arena)
			// The direction has no padding: w's rows are wider than its columns in the flat vector.
			values, direction := table.Initial(1), make([]float64, table.Len())
			w.Pad(direction, normal(w.Rows*w.Cols))
			run := func(s float64, grad bool) (*tape.Loss, float64) {
				at := append([]float64(nil), values...)
				for i := range at {
					at[i] += s * direction[i]
				}
				value := upload([]float64{0})
				tp.Start(table.Bind(upload(at)), grad)
				qkv := tp.Linear(tp.Constant(x), tp.Param(w), nil, gpu.Identity)
				q, k, v := qkv.Columns(0, c), qkv.Columns(c, 2*c), qkv.Columns(2*c, 3*c)
				if is.apart {
					z := tp.Constant(y)
					if !is.fixed {
						z = tp.Linear(z, tp.Param(wq), nil, gpu.Identity)
					}
					qkv = tp.Linear(tp.Constant(x), tp.Param(w.Part(c, 3*c)), nil, gpu.Identity)
					q, k, v = z.Columns(0, c), qkv.Columns(0, c), qkv.Columns(c, 2*c)
				}
				l := tp.ElementLoss(gpu.MSE, tp.Attention(q, k, v, seq, 2, 0.3, gpu.Key{Seed: 7}), target.Slice(0, queries*c), gpu.Buffer{}, 1, value)
				if is.twice {
					l = tp.Join(l, tp.ElementLoss(gpu.MSE, qkv, other.Slice(0, rows*qkv.Value.Cols), gpu.Buffer{}, 0.1, value))
				}
				sum := make([]float64, 1)
				if err := b.Download(sum, value); err != nil {
					t.Fatal(err)
				}
				return l, sum[0]
			}
			const step = 1e-5
			_, up := run(step, false)
			_, down := run(-step, false)
			want := (up - down) / (2 * step)

			l, _ := run(0, true)
			tangent, grads := upload([]float64{0}), upload(make([]float64, table.Len()))
			tp.Tangent(table.Bind(upload(direction)), 1, []*tape.Loss{l}, []gpu.Buffer{tangent})
			tp.Backward(table.Bind(grads), false, tape.Seed{Loss: l})
			got, g := make([]float64, 1), make([]float64, table.Len())
			if err := b.Download(got, tangent); err != nil {
				t.Fatal(err)
			}
			if err := b.Download(g, grads); err != nil {
				t.Fatal(err)
			}
			slope := 0.0
			for i, v := range g {
				slope += v * direction[i]
			}
			for what, v := range map[string]float64{"tangent": got[0], "gradient": slope} {
				if !(math.Abs(v-want) <= 1e-7*math.Abs(want)) {
					t.Errorf("%s along the direction is %.12g, differences give %.12g", what, v, want)
				}
			}
		})
	}
}
