package objective

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// maskAtom is attribute masking (Hu 2020): predict the element of masked atoms from their neighbourhood.
type maskAtom struct{ head linear }

// maskAtomLabels are the masked atoms' rows and elements. Atoms of one row and element count as one weighted term.
type maskAtomLabels struct {
	gather batch.Sparse
	target batch.Ints
	weight batch.Floats
}

func init() {
	register("mask-atom", "element of masked atoms (attribute masking, Hu et al. 2020)",
		func(*Pool) (Objective, error) { return &maskAtom{}, nil })
}

func (m *maskAtom) Views() []View { return []View{MaskedAtoms} }

func (m *maskAtom) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	m.head = declareLinear(params, prefix, cfg.Features.AtomFields[0], cfg.Width)
}

func (m *maskAtom) Label(in *Labeling) (any, float64, error) {
	s := in.View(MaskedAtoms)
	var rows, target []int32
	var weight []float64
	at := map[[2]int32]int{}
	for i, atom := range s.Masked {
		key := [2]int32{s.Packed.Stack.Row[atom], int32(s.Original[i])}
		j, seen := at[key]
		if !seen {
			j = len(rows)
			at[key] = j
			rows, target, weight = append(rows, key[0]), append(target, key[1]), append(weight, 0)
		}
		weight[j]++
	}
	labels := maskAtomLabels{
		gather: batch.PackGather(in.Host, s.Packed.NodeRows(), rows),
		target: in.Host.Ints(target), weight: in.Host.Floats(weight),
	}
	return labels, float64(len(s.Masked)), nil
}

func (m *maskAtom) Loss(f *Forward) *tape.Loss {
	l := f.Labels.(maskAtomLabels)
	masked := f.T.Aggregate(l.gather.On(f.Device), f.Nodes(MaskedAtoms), nil)
	logits := m.head.apply(f.T, masked, gpu.Identity)
	return f.T.SoftmaxCE(logits, f.Device.Ints(l.target), f.Device.Floats(l.weight), f.Scale, f.Value)
}
