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
// and read twice, where the gradient is added to what is there.
func TestAttention(t *testing.T) {
	const rows, c = 6, 4
	for name, twice := range map[string]bool{"read once": false, "read twice": true} {
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
			ptr, err := b.Alloc(4, 4)
			if err != nil {
				t.Fatal(err)
			}
			b.UploadInts(ptr, []int32{0, 4, 5, 6})
			seq := tape.Sequences{Ptr: ptr, N: 3, Longest: 4}
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
				l := tp.ElementLoss(gpu.MSE, tp.Attention(qkv, seq, 2, 0.3, gpu.Key{Seed: 7}), target, gpu.Buffer{}, 1, value)
				if twice {
					l = tp.Join(l, tp.ElementLoss(gpu.MSE, qkv, other, gpu.Buffer{}, 0.1, value))
				}
				v := make([]float64, 1)
				if err := b.Download(v, value); err != nil {
					t.Fatal(err)
				}
				return l, v[0]
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
