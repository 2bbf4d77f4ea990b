package objective

import (
	"fmt"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// cluster is multi-granularity chemical cluster classification (MG3C of ImageMol, Zeng 2022): predict the k-means cluster
// of the molecule's Morgan fingerprint.
type cluster struct {
	label []int32
	k     int
	head  linear
}

func init() {
	for _, k := range []int{100, 1000, 10000} {
		register(fmt.Sprintf("cluster-%d", k), fmt.Sprintf("class among %d k-means clusters of fingerprints (MG3C, ImageMol 2022)", k),
			func(p *Pool) (Objective, error) {
				label, n, err := molecule.Clusters(p.Set, k, p.Seed)
				if err != nil {
					return nil, err
				}
				return &cluster{label: label, k: n}, nil
			})
	}
}

func (c *cluster) Views() []View { return []View{Clean} }

func (c *cluster) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	c.head = declareLinear(params, prefix, c.k, cfg.Width)
}

func (c *cluster) Label(in *Labeling) (any, float64, error) {
	return labelClasses(in, c.label), float64(len(in.Index)), nil
}

// labelClasses appends one class per molecule of the batch.
func labelClasses(in *Labeling, label []int32) batch.Ints {
	target := make([]int32, len(in.Index))
	for i, mol := range in.Index {
		target[i] = label[mol]
	}
	return in.Host.Ints(target)
}

func (c *cluster) Loss(f *Forward) *tape.Loss {
	logits := c.head.apply(f.T, f.Pooled(Clean), gpu.Identity)
	return f.T.SoftmaxCE(logits, f.Device.Ints(f.Labels.(batch.Ints)), gpu.Buffer{}, f.Scale, f.Value)
}
