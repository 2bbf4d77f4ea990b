package objective

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// contextSize is the width of the context ring in bonds, contextLayers the depth of its own encoder (Hu 2020: 3 and 3).
const (
	contextSize   = 3
	contextLayers = 3
)

// context is context prediction (Hu 2020): an atom's neighbourhood is matched to the ring of atoms around it, encoded by a
// smaller network of its own, against the ring of the next molecule.
//
// The neighbourhood is the L-hop ball that an L-layer network sees, so its row is the atom's row in the clean molecule. The
// context is the induced subgraph on atoms L-1 to L+2 bonds away; its row is the mean over its atoms that are also in the
// ball (the anchors). Molecules too small to have any anchor are left out.
type context struct {
	encoder *gnn.Encoder
}

type contextLabels struct {
	packed  *gnn.Packed
	center  batch.Sparse // clean rows of the centers
	anchors batch.Sparse // mean of the context's anchor rows
	shifted batch.Sparse // the next molecule's context
	target  [2]batch.Floats
}

func init() {
	register("context", "neighbourhood matched to the ring around it (context prediction, Hu et al. 2020)",
		func(*Pool) (Objective, error) { return &context{}, nil })
}

func (c *context) Views() []View { return []View{Clean} }

func (c *context) Declare(params, states *param.Table, prefix string, cfg gnn.Config) {
	cfg.Layers = contextLayers
	cfg.Dropout = 0
	c.encoder = gnn.NewEncoder(cfg, prefix+".encoder", params, states)
}

func (c *context) Label(in *Labeling) (any, float64, error) {
	s := in.View(Clean)
	u := &s.Union
	inner, ball := int32(in.Config.Layers-1), int32(in.Config.Layers)
	var ring gnn.Union
	ring.Reset(u.Fields)
	var centers, anchors []int32 // clean row of each center; union atoms of the contexts, flat
	anchorPtr := []int32{0}
	for g := range u.Graphs() {
		mol := u.Graph(g)
		center := in.Rand.IntN(mol.Atoms)
		dist := distances(mol, center)
		keep := make([]bool, mol.Atoms)
		base, n := int32(ring.Atoms()), int32(0)
		var found []int32
		for v, d := range dist {
			if d < inner || d > inner+contextSize {
				continue
			}
			keep[v] = true
			if d <= ball {
				found = append(found, base+n)
			}
			n++
		}
		if len(found) == 0 {
			continue
		}
		ring.AddKept(mol, keep)
		centers = append(centers, s.Packed.Stack.Row[int(u.Ptr[g])+center])
		anchors = append(anchors, found...)
		anchorPtr = append(anchorPtr, int32(len(anchors)))
	}
	n := len(centers)
	if n == 0 {
		return nil, 0, nil
	}
	l := contextLabels{packed: in.Builder.PackLayers(in.Host, &ring, contextLayers, s.Packed.Sharing())}
	weight := make([]float64, len(anchors))
	for i := range n {
		for k := anchorPtr[i]; k < anchorPtr[i+1]; k++ {
			weight[k] = 1 / float64(anchorPtr[i+1]-anchorPtr[i])
		}
	}
	for k, atom := range anchors {
		anchors[k] = l.packed.Stack.Row[atom]
	}
	l.center = batch.PackGather(in.Host, s.Packed.NodeRows(), centers)
	l.anchors = batch.PackSparse(in.Host, l.packed.NodeRows(), anchorPtr, anchors, weight, nil, false)
	next := make([]int32, n)
	ones := make([]float64, n)
	for i := range n {
		next[i] = int32((i + 1) % n)
		ones[i] = 1
	}
	l.shifted = batch.PackGather(in.Host, n, next)
	l.target = [2]batch.Floats{in.Host.Floats(ones), in.Host.Floats(make([]float64, n))}
	return l, float64(n), nil
}

// distances returns the number of bonds from an atom to every other, beyond any context where there is no path.
func distances(g molecule.Graph, from int) []int32 {
	dist := make([]int32, g.Atoms)
	for v := range dist {
		dist[v] = 1 << 20
	}
	dist[from] = 0
	queue := []int{from}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for k := g.RowPtr[v] - g.RowPtr[0]; k < g.RowPtr[v+1]-g.RowPtr[0]; k++ {
			if w := int(g.Nbr[k]); dist[w] > dist[v]+1 {
				dist[w] = dist[v] + 1
				queue = append(queue, w)
			}
		}
	}
	return dist
}

func (c *context) Loss(f *Forward) *tape.Loss {
	l, ok := f.Labels.(contextLabels)
	if !ok {
		return &tape.Loss{} // no molecule of the batch is large enough
	}
	t := f.T
	ring := c.encoder.Forward(t, l.packed, f.Device, f.Pass)
	own := t.Aggregate(l.anchors.On(f.Device), ring, nil)
	center := t.Aggregate(l.center.On(f.Device), f.Nodes(Clean), nil)
	positive := t.RowDot(center, own)
	negative := t.RowDot(center, t.Aggregate(l.shifted.On(f.Device), own, nil))
	return t.Join(
		t.ElementLoss(gpu.BCE, positive, f.Device.Floats(l.target[0]), gpu.Buffer{}, f.Scale, f.Value),
		t.ElementLoss(gpu.BCE, negative, f.Device.Floats(l.target[1]), gpu.Buffer{}, f.Scale, f.Value))
}
