package tape

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/param"
)

// block is one post-norm feed-forward block between an embedding of two fields and a loss over the same table, in float64.
type block struct {
	t      *testing.T
	b      *ref.Backend
	tape   *Tape
	params *param.Table
	lookup Lookup
	target gpu.Buffer
	losses gpu.Buffer // (2)
	joined *param.Entry
	tanh   bool
	drop   float64
	// again reads the result of the second Linear before AddNorm, and so keeps AddNorm from taking its memory.
	again bool
}

const (
	tokens, width, hidden, vocabulary, kinds = 5, 6, 7, 9, 2
	norm                                     = 0.05
)

func newBlock(t *testing.T) *block {
	k := &block{t: t, b: ref.Open(), params: param.NewTable(), drop: 0.3}
	arena, err := gpu.NewArena(k.b, 0, 8)
	if err != nil {
		t.Fatal(err)
	}
	k.tape = New(k.b, arena)
	p := k.params
	words, kind := p.Matrix("words", vocabulary, width, param.Uniform), p.Matrix("kinds", kinds, width, param.Uniform)
	k.joined = p.Joined(words, kind)
	p.Matrix("up", hidden, width, param.Uniform)
	p.Vector("up.bias", hidden, param.Uniform, width)
	p.Matrix("down", width, hidden, param.Uniform)
	p.Vector("down.bias", width, param.Uniform, hidden)
	p.Vector("gamma", width, param.Ones, 0)
	p.Vector("beta", width, param.Uniform, width)
	p.EndEncoder()
	p.Vector("decoder.bias", vocabulary, param.Uniform, width)
	// Words 3 1 3 8 0 of kinds 0 0 1 1 1.
	ints := func(v ...int32) gpu.Buffer {
		b, err := k.b.Alloc(len(v), 4)
		if err != nil {
			t.Fatal(err)
		}
		k.b.UploadInts(b, v)
		return b
	}
	k.lookup = Lookup{Idx: ints(3, 9, 1, 9, 3, 10, 8, 10, 0, 10), Rows: tokens, Fields: 2, Distinct: ints(3, 9, 1, 10, 8, 0),
		T: gpu.CSR{Rows: 6, Cols: tokens, NNZ: 10, RowPtr: ints(0, 2, 4, 5, 8, 9, 10), Col: ints(0, 2, 0, 1, 1, 2, 3, 4, 3, 4)}}
	k.target = ints(4, -1, 0, 8, 3)
	k.losses = k.vector(make([]float64, 2))
	return k
}

func (k *block) vector(v []float64) gpu.Buffer {
	b, err := k.b.Alloc(len(v), 8)
	if err != nil {
		k.t.Fatal(err)
	}
	k.b.Upload(b, v)
	return b
}

func (k *block) read(b gpu.Buffer) []float64 {
	v := make([]float64, b.Len())
	if err := k.b.Download(v, b); err != nil {
		k.t.Fatal(err)
	}
	return v
}

// forward runs the block and returns its two losses.
func (k *block) forward(flat gpu.Buffer, grad bool) [2]*Loss {
	t, p := k.tape, func(name string) *Var { return k.tape.Param(k.params.Entry(name)) }
	k.b.Fill(k.losses, 0)
	t.Start(k.params.Bind(flat), grad)
	x := t.LookUp(t.Param(k.joined), k.lookup)
	h := t.GELU(t.Linear(x, p("up"), nil, gpu.Identity), p("up.bias"), k.tanh)
	y := t.Linear(h, p("down"), nil, gpu.Identity)
	var before *Var
	if k.again {
		before = t.Activate(gpu.Tanh, y)
	}
	z := t.AddNorm(y, x, p("down.bias"), p("gamma"), p("beta"), k.drop, gpu.Key{Seed: 5, Step: 2, Stream: 1}, 1e-3)
	if k.again {
		z = t.AddNorm(before, z, nil, p("gamma"), p("beta"), 0, gpu.Key{}, 1e-3)
	}
	ce := t.LinearCE(z, p("words"), p("decoder.bias"), k.target, 0.25, k.losses.Slice(0, 1))
	pull := t.ElementLoss(gpu.MSE, z, k.vector(make([]float64, tokens*width)), gpu.Buffer{}, norm, k.losses.Slice(1, 2))
	return [2]*Loss{ce, pull}
}

func (k *block) values() []float64 {
	v, rng := k.params.Initial(3), rand.New(rand.NewPCG(1, 2))
	for _, e := range k.params.Entries() {
		u := e.Unpad(v)
		for i := range u {
			u[i] += 0.3 * rng.NormFloat64()
		}
		e.Pad(v, u)
	}
	return v
}

// used lists the elements of a flat vector that are not padding.
func (k *block) used() []int {
	var out []int
	for _, e := range k.params.Entries() {
		for i := range e.Rows {
			for j := range e.Cols {
				out = append(out, e.Offset+i*e.LD+j)
			}
		}
	}
	return out
}

func close(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-8*math.Max(1, math.Abs(want))) {
		t.Errorf("%s is %.12g, want %.12g", what, got, want)
	}
}

// TestEncoder holds gradients and tangents of an encoder block, scaled on the device, apart and joined, once and again, to central
// differences in float64, which are good to 1e-9 here.
func TestEncoder(t *testing.T) {
	for mode := range 8 {
		k := newBlock(t)
		k.tanh, k.again = mode&1 != 0, mode&2 != 0
		if mode&4 != 0 {
			k.drop = 0
		}
		t.Run(fmt.Sprintf("tanh=%v,again=%v,drop=%v", k.tanh, k.again, k.drop), k.test)
	}
}

func (k *block) test(t *testing.T) {
	k.t = t
	value := k.values()
	flat, scale := k.vector(value), k.vector([]float64{1.7, 0.6})
	seeds := func(l [2]*Loss) []Seed {
		return []Seed{{l[0], scale.Slice(0, 1)}, {l[1], scale.Slice(1, 2)}}
	}
	total := func(v []float64) float64 {
		k.b.Upload(flat, v)
		k.forward(flat, false)
		l := k.read(k.losses)
		return 1.7*l[0] + 0.6*l[1]
	}
	rng := rand.New(rand.NewPCG(9, 9))
	used, direction, want := k.used(), make([]float64, len(value)), make([]float64, len(value))
	along := 0.0
	for _, i := range used {
		const h = 1e-5
		keep := value[i]
		value[i] = keep + h
		up := total(value)
		value[i] = keep - h
		want[i] = (up - total(value)) / (2 * h)
		value[i] = keep
		direction[i] = rng.NormFloat64()
		along += want[i] * direction[i]
	}
	k.b.Upload(flat, value)

	losses := k.forward(flat, true)
	first, both, none := k.vector(make([]float64, len(value))), k.vector(make([]float64, len(value))), gpu.Buffer{}
	k.tape.Backward(k.params.Bind(first), true, seeds(losses)...)
	k.tape.Backward(k.params.Bind(both), true, seeds(losses)...)
	k.tape.Backward(k.params.Bind(both), true, seeds(losses)...)
	one, two := k.read(first), k.read(both)
	for _, i := range used {
		close(t, fmt.Sprintf("gradient %d", i), one[i], want[i])
		close(t, fmt.Sprintf("gradient %d, taken twice", i), two[i], 2*want[i])
	}

	out := k.vector(make([]float64, 2))
	k.tape.Tangent(k.params.Bind(k.vector(direction)), 3, losses[:], []gpu.Buffer{out.Slice(0, 1), out.Slice(1, 2)})
	d := k.read(out)
	close(t, "derivative along a direction", 1.7*d[0]+0.6*d[1], 3*along)

	// A direction that is zero in the heads.
	encoder := k.params.BindSplit(k.vector(direction[:k.params.EncoderLen()]), none)
	k.b.Fill(out, 0)
	k.tape.Tangent(encoder, 1, losses[:], []gpu.Buffer{out.Slice(0, 1), out.Slice(1, 2)})
	for i := k.params.EncoderLen(); i < len(value); i++ {
		along -= want[i] * direction[i]
	}
	d = k.read(out)
	close(t, "derivative along a direction of the encoder", 1.7*d[0]+0.6*d[1], along)

	// Joined losses have the sum of the gradients.
	k.tape.Backward(k.params.Bind(both), false, seeds(losses)...)
	losses = k.forward(flat, true)
	joined := k.vector(make([]float64, len(value)))
	k.tape.Backward(k.params.Bind(joined), false, Seed{Loss: k.tape.Join(losses[:]...)})
	losses = k.forward(flat, true)
	k.b.Fill(both, 0)
	k.tape.Backward(k.params.Bind(both), false, Seed{Loss: losses[0]}, Seed{Loss: losses[1]})
	if a, b := k.read(joined), k.read(both); !slices.Equal(a, b) {
		t.Error("joined losses have another gradient than their parts")
	}

	// Passes leave nothing behind in the arena.
	pass := func() int64 {
		k.forward(flat, false)
		l := k.forward(flat, true)
		k.tape.Backward(k.params.Bind(both), true, seeds(l)...)
		k.tape.Tangent(encoder, 1, l[:], []gpu.Buffer{out.Slice(0, 1), out.Slice(1, 2)})
		k.tape.Backward(k.params.Bind(both), false, seeds(l)...)
		return k.tape.A.PeakBytes()
	}
	if a, b := pass(), pass(); a != b {
		t.Errorf("the arena's peak grew from %d to %d bytes", a, b)
	}
}

// TestTakenValue: a value whose memory AddNorm took is not read again without a sound.
func TestTakenValue(t *testing.T) {
	for _, grad := range []bool{true, false} {
		k := newBlock(t)
		tp, p := k.tape, func(name string) *Var { return k.tape.Param(k.params.Entry(name)) }
		tp.Start(k.params.Bind(k.vector(k.values())), grad)
		x := tp.LookUp(tp.Param(k.joined), k.lookup)
		y := tp.Linear(x, p("up"), nil, gpu.Identity)
		z := tp.Linear(y, p("down"), nil, gpu.Identity)
		tp.AddNorm(z, x, nil, p("gamma"), p("beta"), 0, gpu.Key{}, 1e-3)
		func() {
			defer func() {
				if s := fmt.Sprint(recover()); !strings.Contains(s, "5×6") {
					t.Errorf("reading it again: %q", s)
				}
			}()
			tp.Activate(gpu.ReLU, z)
		}()
		tp.AddNorm(x, nil, nil, p("gamma"), p("beta"), 0, gpu.Key{}, 1e-3) // others read x: it stays
		tp.Activate(gpu.ReLU, x)
	}
}
