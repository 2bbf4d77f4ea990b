package objective

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// infomax is Deep Graph Infomax (Veličković 2019; Hu 2020): a bilinear discriminator tells whether an atom belongs to a
// molecule's summary, against the summary of the next molecule of the batch.
type infomax struct{ w *param.Entry }

func init() {
	register("infomax", "atoms matched to their molecule's summary (Infomax, Hu et al. 2020)",
		func(*Pool) (Objective, error) { return &infomax{}, nil })
}

func (m *infomax) Views() []View { return []View{Clean} }

func (m *infomax) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	m.w = params.Matrix(prefix+".weight", cfg.Width, cfg.Width, param.Uniform)
}

func (m *infomax) Label(in *Labeling) (any, float64, error) {
	s := in.View(Clean)
	st := s.Packed.Stack
	var node, summary []int32
	var target, weight []float64
	for g := range st.Graphs {
		// Atoms that share a row make one weighted pair.
		count := map[int32]int{}
		for _, r := range st.Row[st.Ptr[g]:st.Ptr[g+1]] {
			if j, seen := count[r]; seen {
				weight[j]++
				weight[j+1]++
				continue
			}
			count[r] = len(node)
			node = append(node, r, r)
			summary = append(summary, int32(g), int32((g+1)%st.Graphs))
			target = append(target, 1, 0)
			weight = append(weight, 1, 1)
		}
	}
	l := pairLabels{a: batch.PackGather(in.Host, s.Packed.NodeRows(), node), b: batch.PackGather(in.Host, st.Graphs, summary),
		target: in.Host.Floats(target), weight: in.Host.Floats(weight)}
	return l, float64(st.Atoms), nil
}

func (m *infomax) Loss(f *Forward) *tape.Loss {
	l := f.Labels.(pairLabels)
	t := f.T
	summary := t.Linear(t.Activate(gpu.Sigmoid, f.Pooled(Clean)), t.Param(m.w), nil, gpu.Identity)
	score := t.RowDot(t.Aggregate(l.a.On(f.Device), f.Nodes(Clean), nil), t.Aggregate(l.b.On(f.Device), summary, nil))
	return t.ElementLoss(gpu.BCE, score, f.Device.Floats(l.target), f.Device.Floats(l.weight), f.Scale, f.Value)
}
