// Package objective holds the pretraining objectives for molecules, one file each, and the problem of Level I that they
// form together.
//
// An [Objective] says which views of a molecule it looks at, declares its head, labels a batch on the host and computes
// its loss forward only; the tape does the rest. Objectives that look at a common view share one forward pass (a group).
// To add one: write a file with a type that implements Objective and a register call; nothing else changes.
package objective

import (
	"math/rand/v2"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/gnn"
	"tapweight/model/param"
	"tapweight/model/registry"
	"tapweight/model/tape"
)

// Objective is one pretraining task.
type Objective interface {
	// Views lists the graphs the objective looks at.
	Views() []View
	// Declare adds the head's parameters (and running statistics), named under prefix.
	Declare(params, states *param.Table, prefix string, cfg gnn.Config)
	// Label appends the targets of a batch. count is the number of terms the loss is averaged over; a batch that has none
	// gives 0. Over accumulated micro-batches the counts are added, so that the loss is one mean over the whole batch.
	Label(in *Labeling) (labels any, count float64, err error)
	// Loss computes the loss, each term times f.Scale, adding its value to f.Value.
	Loss(f *Forward) *tape.Loss
}

// Labeling is what Label works with.
type Labeling struct {
	Host    *batch.Host
	Index   []int // the batch's molecules in the pool
	Config  gnn.Config
	Builder *gnn.Builder
	Rand    *rand.Rand // the objective's own stream for this step
	views   map[string]*Seen
}

// View returns what the objective's view made of the batch.
func (l *Labeling) View(v View) *Seen { return l.views[v.Name] }

// Forward is what Loss works with.
type Forward struct {
	T      *tape.Tape
	Device *batch.Device
	Pass   tape.Pass
	Labels any
	Scale  float64    // 1/count of the whole batch
	Value  gpu.Buffer // one float

	encoder *gnn.Encoder
	views   map[string]*encoded
}

// encoded is a view's forward pass.
type encoded struct {
	seen          *Seen
	nodes, pooled *tape.Var
}

// Nodes returns the view's rows after the last layer, one per distinct colour; Seen.Packed.Stack.Row maps atoms to them.
func (f *Forward) Nodes(v View) *tape.Var { return f.views[v.Name].nodes }

// Pooled returns the view's row per molecule.
func (f *Forward) Pooled(v View) *tape.Var {
	e := f.views[v.Name]
	if e.pooled == nil {
		e.pooled = f.encoder.Pool(f.T, e.seen.Packed, f.Device, e.nodes)
	}
	return e.pooled
}

// linear declares and applies a linear head.
type linear struct{ w, b *param.Entry }

func declareLinear(params *param.Table, prefix string, out, in int) linear {
	return linear{params.Matrix(prefix+".weight", out, in, param.Uniform), params.Vector(prefix+".bias", out, param.Uniform, in)}
}

func (l linear) apply(t *tape.Tape, x *tape.Var, act gpu.Act) *tape.Var {
	return t.Linear(x, t.Param(l.w), t.Param(l.b), act)
}

var registered = registry.Registry[func(*Pool) (Objective, error)]{}

// register makes an objective known under a name. about is one line with its source.
func register(name, about string, make func(*Pool) (Objective, error)) {
	registered.Register(name, about, make)
}

// Names lists the known objectives in alphabetical order.
func Names() []string { return registered.Names() }

// About returns an objective's one-line description.
func About(name string) string { return registered.About(name) }

// Check reports an unknown or repeated name.
func Check(names []string) error { return registered.Check(names) }
