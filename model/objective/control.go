package objective

import (
	"math"
	"math/rand/v2"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// noiseClasses is the number of random classes of the noise control.
const noiseClasses = 10

// noise is a control: a random class per molecule, which teaches nothing and should lose weight.
type noise struct {
	label []int32
	head  linear
}

// oracle is a control: the downstream task's own training labels where pool molecules have them, which should gain weight.
type oracle struct {
	task [][]float64
	kind gpu.LossKind
	head linear
}

func init() {
	register("noise", "control: random labels, should lose weight", func(p *Pool) (Objective, error) {
		rng := rand.New(rand.NewPCG(p.Seed, 0x6e6f697365))
		n := &noise{label: make([]int32, p.Set.Len())}
		for i := range n.label {
			n.label[i] = int32(rng.IntN(noiseClasses))
		}
		return n, nil
	})
	register("oracle", "control: the task's own training labels where the pool has them, should gain weight", func(p *Pool) (Objective, error) {
		if p.Task == nil {
			return nil, errNoOverlap
		}
		o := &oracle{task: p.Task, kind: gpu.MSE}
		if p.Classification {
			o.kind = gpu.BCE
		}
		return o, nil
	})
}

func (n *noise) Views() []View { return []View{Clean} }

func (n *noise) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	n.head = declareLinear(params, prefix, noiseClasses, cfg.Width)
}

func (n *noise) Label(in *Labeling) (any, float64, error) {
	return labelClasses(in, n.label), float64(len(in.Index)), nil
}

func (n *noise) Loss(f *Forward) *tape.Loss {
	logits := n.head.apply(f.T, f.Pooled(Clean), gpu.Identity)
	return f.T.SoftmaxCE(logits, f.Device.Ints(f.Labels.(batch.Ints)), gpu.Buffer{}, f.Scale, f.Value)
}

func (o *oracle) Views() []View { return []View{Clean} }

func (o *oracle) Declare(params, _ *param.Table, prefix string, cfg gnn.Config) {
	o.head = declareLinear(params, prefix, len(o.task[0]), cfg.Width)
}

// taskLabels are labels with a weight of 0 where they are missing.
type taskLabels struct{ target, weight batch.Floats }

func (o *oracle) Label(in *Labeling) (any, float64, error) {
	var target, weight []float64
	count := 0.0
	for _, mol := range in.Index {
		for _, y := range o.task[mol] {
			w := 1.0
			if math.IsNaN(y) {
				y, w = 0, 0
			}
			count += w
			target, weight = append(target, y), append(weight, w)
		}
	}
	return taskLabels{in.Host.Floats(target), in.Host.Floats(weight)}, count, nil
}

func (o *oracle) Loss(f *Forward) *tape.Loss {
	l := f.Labels.(taskLabels)
	x := o.head.apply(f.T, f.Pooled(Clean), gpu.Identity)
	return f.T.ElementLoss(o.kind, x, f.Device.Floats(l.target), f.Device.Floats(l.weight), f.Scale, f.Value)
}
