package objective

import (
	"slices"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// edge is edge prediction (Hamilton 2017; Hu 2020): the dot product of two atoms' rows tells bonded pairs from as many
// unbonded pairs of the same molecule.
type edge struct{}

// pairLabels are pairs of rows with a 0/1 target and a weight each.
type pairLabels struct {
	a, b           batch.Sparse
	target, weight batch.Floats
}

func init() {
	register("edge", "bonded against unbonded atom pairs (edge prediction, Hu et al. 2020)",
		func(*Pool) (Objective, error) { return edge{}, nil })
}

func (edge) Views() []View { return []View{Clean} }

func (edge) Declare(_, _ *param.Table, _ string, _ gnn.Config) {}

func (edge) Label(in *Labeling) (any, float64, error) {
	s := in.View(Clean)
	u, row := &s.Union, s.Packed.Stack.Row
	var a, b []int32
	var target []float64
	bonds := 0
	for g := range u.Graphs() {
		lo, hi := u.Ptr[g], u.Ptr[g+1]
		n := int(hi - lo)
		for v := lo; v < hi; v++ {
			nbrs := u.Nbr[u.RowPtr[v]:u.RowPtr[v+1]]
			for _, w := range nbrs {
				if w < v {
					continue
				}
				a, b, target = append(a, row[v]), append(b, row[w]), append(target, 1)
				bonds++
				// The negative of this bond: two different atoms without a bond. Where a few draws find none (tiny rings),
				// the molecule gives no negative for it.
				for range 8 {
					x, y := lo+int32(in.Rand.IntN(n)), lo+int32(in.Rand.IntN(n))
					if x != y && !slices.Contains(u.Nbr[u.RowPtr[x]:u.RowPtr[x+1]], y) {
						a, b, target = append(a, row[x]), append(b, row[y]), append(target, 0)
						break
					}
				}
			}
		}
	}
	cols := s.Packed.NodeRows()
	l := pairLabels{a: batch.PackGather(in.Host, cols, a), b: batch.PackGather(in.Host, cols, b), target: in.Host.Floats(target)}
	return l, float64(bonds), nil
}

func (edge) Loss(f *Forward) *tape.Loss {
	l := f.Labels.(pairLabels)
	nodes := f.Nodes(Clean)
	score := f.T.RowDot(f.T.Aggregate(l.a.On(f.Device), nodes, nil), f.T.Aggregate(l.b.On(f.Device), nodes, nil))
	return f.T.ElementLoss(gpu.BCE, score, f.Device.Floats(l.target), gpu.Buffer{}, f.Scale, f.Value)
}
