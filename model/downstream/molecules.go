package downstream

import (
	"fmt"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Head is the kind of prediction head over a molecule's row.
type Head string

// Heads: a linear map, or one hidden layer with ReLU.
const (
	Linear Head = "linear"
	MLP    Head = "mlp"
)

// molecules is a graph network over a set of molecules.
type molecules struct {
	set      *molecule.Set
	cfg      gnn.Config
	kind     Head
	compress bool
	encoder  *gnn.Encoder
	head     []*param.Entry // weight and bias of each layer
}

// NewMolecules returns a graph network with a head over the molecules of a set.
func NewMolecules(set *molecule.Set, cfg gnn.Config, head Head, compress bool) (Network, error) {
	if head != Linear && head != MLP {
		return nil, fmt.Errorf("head %q is not one of linear, mlp", head)
	}
	return &molecules{set: set, cfg: cfg, kind: head, compress: compress}, nil
}

func (m *molecules) Declare(params, states *param.Table, outputs int) {
	m.encoder = gnn.NewEncoder(m.cfg, "encoder", params, states)
	params.EndEncoder()
	states.EndEncoder()
	c := m.cfg.Width
	layer := func(name string, out int) {
		m.head = append(m.head, params.Matrix(name+".weight", out, c, param.Uniform), params.Vector(name+".bias", out, param.Uniform, c))
	}
	if m.kind == Linear {
		layer("head", outputs)
	} else {
		layer("head.0", c)
		layer("head.2", outputs)
	}
}

func (m *molecules) Initial(seed uint64, e *param.Entry, values []float64) error {
	e.Initial(seed, values)
	return nil
}

func (m *molecules) Len() int { return m.set.Len() }

// Pack shares rows throughout where no dropout tells atoms apart.
func (m *molecules) Pack(host *batch.Host, index []int, train bool) (any, error) {
	var u gnn.Union
	u.Reset(len(m.cfg.Features.AtomFields))
	for _, i := range index {
		u.Add(m.set.Graph(i))
	}
	sharing := gnn.ShareAll
	if train && m.cfg.Dropout > 0 {
		sharing = gnn.ShareFirst
	}
	if !m.compress {
		sharing = gnn.ShareNone
	}
	// A builder of its own: the loader prepares batches while the engine evaluates.
	return gnn.NewBuilder(m.cfg).Pack(host, &u, sharing), nil
}

func (m *molecules) Embed(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var {
	return m.encoder.Graphs(t, packed.(*gnn.Packed), d, pass)
}

func (m *molecules) Predict(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var {
	h := m.Embed(t, packed, d, pass)
	for i := 0; i < len(m.head); i += 2 {
		act := gpu.ReLU
		if i == len(m.head)-2 {
			act = gpu.Identity
		}
		out := t.Linear(h, t.Param(m.head[i]), t.Param(m.head[i+1]), act)
		t.Done(h)
		h = out
	}
	return h
}
