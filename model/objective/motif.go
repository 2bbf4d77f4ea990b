package objective

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// motif is graph-level motif prediction (GROVER, Rong 2020): which of RDKit's functional groups the molecule contains.
type motif struct {
	bits [][]uint64
	n    int
	head linear
}

func init() {
	register("motif", "functional groups present (GROVER, Rong et al. 2020)", func(p *Pool) (Objective, error) {
		bits, err := molecule.Motifs(p.Set)
		if err != nil {
			return nil, err
		}
		return &motif{bits: bits, n: len(molecule.MotifNames())}, nil
	})
}

func (m *motif) Views() []View { return []View{Clean} }

func (m *motif) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	m.head = declareLinear(params, prefix, m.n, cfg.Width)
}

func (m *motif) Label(in *Labeling) (any, float64, error) {
	target := make([]float64, len(in.Index)*m.n)
	for i, mol := range in.Index {
		for j := range m.n {
			target[i*m.n+j] = float64(m.bits[mol][j/64] >> (j % 64) & 1)
		}
	}
	return in.Host.Floats(target), float64(len(target)), nil
}

func (m *motif) Loss(f *Forward) *tape.Loss {
	logits := m.head.apply(f.T, f.Pooled(Clean), gpu.Identity)
	return f.T.ElementLoss(gpu.BCE, logits, f.Device.Floats(f.Labels.(batch.Floats)), gpu.Buffer{}, f.Scale, f.Value)
}
