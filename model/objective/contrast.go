package objective

import (
	"tapweight/gpu"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

const (
	contrastTemperature = 0.1   // You 2020
	unitEps             = 1e-12 // keeps the length of a zero row positive
	distanceEps         = 1e-8  // keeps the derivative of a distance finite at 0
)

// contrast is GraphCL (You 2020): two augmentations of a molecule are each other's positive among all others of the batch
// (NT-Xent, Chen 2020), after a two-layer projection head.
type contrast struct{ p0, p1 linear }

func init() {
	register("contrast", "agreement of two augmentations, NT-Xent (GraphCL, You et al. 2020)",
		func(*Pool) (Objective, error) { return &contrast{}, nil })
	register("masked-contrast", "distance of a molecule to itself with a masked subgraph (MCL, ImageMol 2022)",
		func(*Pool) (Objective, error) { return maskedContrast{}, nil })
}

func (c *contrast) Views() []View { return []View{AugmentedA, AugmentedB} }

func (c *contrast) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	c.p0 = declareLinear(params, prefix+".0", cfg.Width, cfg.Width)
	c.p1 = declareLinear(params, prefix+".2", cfg.Width, cfg.Width)
}

func (c *contrast) Label(in *Labeling) (any, float64, error) {
	return nil, 2 * float64(len(in.Index)), nil
}

func (c *contrast) Loss(f *Forward) *tape.Loss {
	t := f.T
	both := t.Stack(f.Pooled(AugmentedA), f.Pooled(AugmentedB))
	z := t.RowNormalize(c.p1.apply(t, c.p0.apply(t, both, gpu.ReLU), gpu.Identity), unitEps)
	return t.NTXent(t.Similarity(z, z, 1/contrastTemperature), f.Scale, f.Value)
}

// maskedContrast is ImageMol's masked contrastive learning: the mean distance between a molecule's row and its row with a
// connected quarter hidden.
type maskedContrast struct{}

func (maskedContrast) Views() []View { return []View{Clean, MaskedSubgraph} }

func (maskedContrast) Declare(_, _ *param.Table, _ string, _ gnn.Config) {}

func (maskedContrast) Label(in *Labeling) (any, float64, error) {
	return nil, float64(len(in.Index)), nil
}

func (maskedContrast) Loss(f *Forward) *tape.Loss {
	return f.T.PairDistance(f.Pooled(Clean), f.Pooled(MaskedSubgraph), distanceEps, f.Scale, f.Value)
}
