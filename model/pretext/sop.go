package pretext

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/text"
	"tapweight/model/transformer"
)

// sop is sentence order: are two consecutive segments of a document in their order or swapped? A segment that none follows is cut
// in two halves.
type sop struct {
	dense     dense
	out, bias *param.Entry
}

func init() {
	register("sop", "are two consecutive segments in order or swapped? (ALBERT, Lan et al. 2020)", func() Objective { return &sop{} })
}

func (s *sop) Declare(params *param.Table, prefix string, enc *transformer.Encoder) {
	c := enc.Width
	s.dense = newDense(params, prefix, c)
	s.out = params.Matrix(prefix+".out.weight", 2, c, param.Normal)
	s.bias = params.Vector(prefix+".out.bias", 2, param.Zeros, 0)
}

// order is whether each pair was swapped.
type order struct{ target batch.Ints }

func (s *sop) Build(in *Building) (any, float64) {
	var target []int32
	for _, i := range in.Index {
		a := in.Pool.Segment(i)
		b, ok := in.Pool.Next(i)
		if !ok || in.Options.SwapHalves {
			a, b = halves(in.Tokenizer, a)
		}
		swapped := in.Rand.IntN(2) // drawn for every segment, so that the stream does not depend on the others
		if len(b) == 0 {
			continue
		}
		if swapped == 1 {
			a, b = b, a
		}
		_, first := in.Pair(a, b)
		in.Read(first)
		target = append(target, int32(swapped))
	}
	return order{in.Host.Ints(target)}, float64(len(target))
}

// halves cuts a segment at the beginning of a word near its middle; b is empty where there is only one word.
func halves(t *text.Tokenizer, ids []int32) (a, b []int32) {
	for d := range len(ids)/2 + 1 {
		for _, k := range []int{len(ids)/2 - d, len(ids)/2 + d} {
			if k > 0 && k < len(ids) && t.WordStart(ids[k]) {
				return ids[:k], ids[k:]
			}
		}
	}
	return ids, nil
}

func (s *sop) Loss(f *Forward) *tape.Loss {
	l, t := f.Labels.(order), f.T
	y := t.Linear(s.dense.apply(f), t.Param(s.out), t.Param(s.bias), gpu.Identity)
	return t.SoftmaxCE(y, f.Device.Ints(l.target), gpu.Buffer{}, f.Scale, f.Value)
}
