package pretext

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/transformer"
)

const (
	simcseTemperature = 0.05  // Gao 2021
	unitEps           = 1e-12 // keeps the length of a zero row positive
)

// simcse is unsupervised SimCSE: a text is encoded twice with different dropout; among the second copies of the batch the first
// has to find its own. Sequences are compared by their first token's row after a dense layer with tanh.
type simcse struct{ dense dense }

func init() {
	register("simcse", "the same text under another dropout mask, against the batch (SimCSE, Gao et al. 2021)", func() Objective { return &simcse{} })
}

func (s *simcse) Declare(params *param.Table, prefix string, enc *transformer.Encoder) {
	s.dense = newDense(params, prefix, enc.Width)
}

// twins are the first tokens of the two copies of every text, and which of the second belongs to a first.
type twins struct {
	copies [2]batch.Sparse
	target batch.Ints
}

func (s *simcse) Build(in *Building) (any, float64) {
	var first [2][]int32
	var target []int32
	for copy := range 2 {
		for k, i := range in.Index {
			_, row := in.Single(in.Pool.Segment(i))
			first[copy] = append(first[copy], row)
			if copy == 0 {
				target = append(target, int32(k))
			}
		}
	}
	return twins{[2]batch.Sparse{in.Pick(first[0]), in.Pick(first[1])}, in.Host.Ints(target)}, float64(len(in.Index))
}

func (s *simcse) Loss(f *Forward) *tape.Loss {
	l, t := f.Labels.(twins), f.T
	var z [2]*tape.Var
	for i, rows := range l.copies {
		z[i] = t.RowNormalize(s.dense.apply(f, rows), unitEps)
	}
	return t.SoftmaxCE(t.Similarity(z[0], z[1], 1/simcseTemperature), f.Device.Ints(l.target), gpu.Buffer{}, f.Scale, f.Value)
}
