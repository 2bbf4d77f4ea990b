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

// twins pick the first and the second copies out of the rows of first tokens, and say which of the second belongs to a first.
type twins struct {
	copies [2]batch.Sparse
	target batch.Ints
}

func (s *simcse) Build(in *Building) (any, float64) {
	n := len(in.Index)
	rows := make([]int32, 2*n)
	for k := range rows {
		_, first := in.Single(in.Pool.Segment(in.Index[k%n]))
		in.Read(first)
		rows[k] = int32(k)
	}
	pick := func(rows []int32) batch.Sparse { return batch.PackGather(in.Host, 2*n, rows) }
	return twins{[2]batch.Sparse{pick(rows[:n]), pick(rows[n:])}, in.Host.Ints(rows[:n])}, float64(n)
}

func (s *simcse) Loss(f *Forward) *tape.Loss {
	l, t := f.Labels.(twins), f.T
	z := t.RowNormalize(s.dense.apply(f), unitEps)
	a, b := t.Aggregate(l.copies[0].On(f.Device), z, nil), t.Aggregate(l.copies[1].On(f.Device), z, nil)
	return t.SoftmaxCE(t.Similarity(a, b, 1/simcseTemperature), f.Device.Ints(l.target), gpu.Buffer{}, f.Scale, f.Value)
}
