// Package downstream is the task a user cares about: an encoder and a head over labelled molecules, the problem of Level II
// and, on the validation split, of Level III.
package downstream

import (
	"fmt"
	"math"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Head is the kind of prediction head.
type Head string

// Heads: a linear map of the molecule's row, or one hidden layer with ReLU.
const (
	Linear Head = "linear"
	MLP    Head = "mlp"
)

// Problem is an encoder with a head over a set of molecules.
type Problem struct {
	set      *molecule.Set
	labels   [][]float64 // [molecule][task], NaN = missing
	kind     gpu.LossKind
	cfg      gnn.Config
	compress bool
	encoder  *gnn.Encoder
	head     []*param.Entry // weight and bias of each layer
	params   *param.Table
	states   *param.Table
}

// NewProblem declares the network. labels holds 0/1 for gpu.BCE and standardised targets for gpu.MSE.
func NewProblem(set *molecule.Set, labels [][]float64, kind gpu.LossKind, cfg gnn.Config, head Head, compress bool) (*Problem, error) {
	if len(labels) != set.Len() || set.Len() == 0 {
		return nil, fmt.Errorf("downstream: %d rows of labels for %d molecules", len(labels), set.Len())
	}
	p := &Problem{set: set, labels: labels, kind: kind, cfg: cfg, compress: compress,
		params: param.NewTable(), states: param.NewTable()}
	p.encoder = gnn.NewEncoder(cfg, "encoder", p.params, p.states)
	p.params.EndEncoder()
	p.states.EndEncoder()
	c := cfg.Width
	layer := func(name string, out int) {
		p.head = append(p.head, p.params.Matrix(name+".weight", out, c, param.Uniform), p.params.Vector(name+".bias", out, param.Uniform, c))
	}
	switch head {
	case Linear:
		layer("head", len(labels[0]))
	case MLP:
		layer("head.0", c)
		layer("head.2", len(labels[0]))
	default:
		return nil, fmt.Errorf("head %q is not one of linear, mlp", head)
	}
	return p, nil
}

// Params and States return the layouts of the parameters and the running statistics.
func (p *Problem) Params() *param.Table { return p.params }

// States returns the layout of the running statistics.
func (p *Problem) States() *param.Table { return p.states }

// prepared is what a micro-batch remembers.
type prepared struct {
	packed         *gnn.Packed
	target, weight batch.Floats
	scale          float64
}

// Prepare builds a labelled batch in micro parts. The loss is one mean over the labels present in the whole batch. With
// train false no dropout is expected and rows are shared throughout.
func (p *Problem) Prepare(index []int, micro int, train bool) ([]*batch.Micro, error) {
	var parts []*batch.Micro
	count := 0.0
	for m := range micro {
		lo, hi := m*len(index)/micro, (m+1)*len(index)/micro
		part := &batch.Micro{}
		d := &prepared{packed: p.pack(part, index[lo:hi], train)}
		var target, weight []float64
		for _, mol := range index[lo:hi] {
			for _, y := range p.labels[mol] {
				w := 1.0
				if math.IsNaN(y) {
					y, w = 0, 0
				}
				count += w
				target, weight = append(target, y), append(weight, w)
			}
		}
		d.target, d.weight = part.Host.Floats(target), part.Host.Floats(weight)
		part.Detail = d
		parts = append(parts, part)
	}
	for _, part := range parts {
		if count > 0 {
			part.Detail.(*prepared).scale = 1 / count
		}
	}
	return parts, nil
}

func (p *Problem) pack(part *batch.Micro, index []int, train bool) *gnn.Packed {
	var u gnn.Union
	u.Reset(len(p.cfg.Features.AtomFields))
	for _, mol := range index {
		u.Add(p.set.Graph(mol))
	}
	sharing := gnn.ShareAll
	if train && p.cfg.Dropout > 0 {
		sharing = gnn.ShareFirst
	}
	if !p.compress {
		sharing = gnn.ShareNone
	}
	// A builder of its own: the loader prepares batches while the engine evaluates.
	return gnn.NewBuilder(p.cfg).Pack(&part.Host, &u, sharing)
}

// Forward returns the predictions (molecules, tasks): logits, or standardised values.
func (p *Problem) Forward(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass) *tape.Var {
	h := p.Embed(t, part, d, pass)
	for i := 0; i < len(p.head); i += 2 {
		act := gpu.ReLU
		if i == len(p.head)-2 {
			act = gpu.Identity
		}
		out := t.Linear(h, t.Param(p.head[i]), t.Param(p.head[i+1]), act)
		t.Done(h)
		h = out
	}
	return h
}

// Embed returns the molecules' rows (molecules, C).
func (p *Problem) Embed(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass) *tape.Var {
	return p.encoder.Graphs(t, part.Detail.(*prepared).packed, d, pass)
}

// Loss runs the network and its loss, adding its value to one float.
func (p *Problem) Loss(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) *tape.Loss {
	prep := part.Detail.(*prepared)
	x := p.Forward(t, part, d, pass)
	return t.ElementLoss(p.kind, x, d.Floats(prep.target), d.Floats(prep.weight), prep.scale, value)
}
