// Package level holds the three nested problems of TapWeight (Zhang, Somayajula, Xie; arXiv 2410.10006) and one step of each:
//
//	I   pretrain  θ* = argmin_θ Σ_i λ_i L_i(θ),  λ = softmax(a)
//	II  finetune  ω* = argmin_ω L_ft(ω) + γ|ω_enc − θ_enc|²
//	III reweight  min_a L_val(ω*(θ*(λ)))
//
// The package knows networks as flat vectors and losses as tape passes; whether the data are molecules or text is the
// business of whoever implements [Pretraining] and [Finetuning]. All state lives on the device in a [System].
package level

import (
	"math"
	"runtime/debug"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/train/optim"
)

// Initial knows how parameters start.
type Initial interface {
	// Initial writes the starting values of a parameter tensor to its Len elements, which are zero.
	Initial(seed uint64, e *param.Entry, values []float64) error
}

// Initialize gives the tensors of a vector at or behind an offset their starting values, one after another: the host never holds
// more than one.
func Initialize(b gpu.Backend, of Initial, params *param.Table, from int, seed uint64, value gpu.Buffer) error {
	var largest int
	for _, e := range params.Entries() {
		if e.Offset >= from {
			largest = max(largest, e.Len())
		}
	}
	room := make([]float64, largest)
	for _, e := range params.Entries() {
		if e.Offset < from {
			continue
		}
		values := room[:e.Len()]
		clear(values)
		if err := of.Initial(seed, e, values); err != nil {
			return err
		}
		b.Upload(value.Slice(e.Offset, e.Offset+e.Len()), values)
	}
	// A table of embeddings is large, and so may be what was read before: from here on the host needs little beside the batches.
	debug.FreeOSMemory()
	return nil
}

// Pretraining is the problem of Level I.
type Pretraining interface {
	Params() *param.Table
	States() *param.Table
	Initial
	// Names lists the objectives; an objective's own parameters are named "heads.<name>.…".
	Names() []string
	// Groups lists the objectives that share a forward pass.
	Groups() [][]int
	// Forward runs one group on a micro-batch and returns its losses in the group's order. value holds a float for each
	// objective of the problem, to which the losses are added.
	Forward(t *tape.Tape, group int, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) []*tape.Loss
}

// Finetuning is the problem of Level II and, on validation batches, of Level III.
type Finetuning interface {
	Params() *param.Table
	States() *param.Table
	Initial
	Loss(t *tape.Tape, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) *tape.Loss
}

// Network is a parameter vector with everything its optimiser keeps.
type Network struct {
	Params, States *param.Table
	Opt            optim.Config
	Total          int // updates the schedule is laid out for

	Value   gpu.Buffer // parameters
	Moment  gpu.Buffer // first moment or momentum, nil if the rule has none
	Second  gpu.Buffer // second moment, nil if the rule has none
	Running gpu.Buffer // running statistics
	Grad    gpu.Buffer
	Jac     gpu.Buffer // d value' / d gradient of the last update, element-wise: in Grad's place, unless clipping needs both
	Step    int        // updates done
	Batches int        // batches folded into the running statistics

	b     gpu.Backend
	norm2 gpu.Buffer // (1)
	scale gpu.Buffer // (1)
	owned []gpu.Buffer
	clips bool
}

// newNetwork allocates a network's vectors; total is the number of updates that its schedule spans. The gradient takes the beginning
// of grad, unless that is nil.
func newNetwork(b gpu.Backend, params, states *param.Table, opt optim.Config, total int, grad gpu.Buffer) (*Network, error) {
	n := &Network{Params: params, States: states, Opt: opt, Total: total, b: b, clips: opt.Clip > 0}
	size := params.Len()
	if !grad.IsNil() {
		n.Grad = grad.Slice(0, size)
	}
	want := []struct {
		dst *gpu.Buffer
		n   int
		on  bool
	}{
		{&n.Value, size, true},
		{&n.Grad, size, grad.IsNil()},
		{&n.Jac, size, n.clips},
		{&n.Moment, size, opt.Rule != gpu.SGD || opt.Momentum > 0},
		{&n.Second, size, opt.Rule != gpu.SGD},
		{&n.Running, max(states.Len(), 1), true},
		{&n.norm2, 1, true},
		{&n.scale, 1, true},
	}
	for _, w := range want {
		if !w.on {
			continue
		}
		buf, err := n.alloc(w.n)
		if err != nil {
			return nil, err
		}
		*w.dst = buf
	}
	if !n.clips {
		n.Jac = n.Grad
	}
	if states.Len() > 0 {
		b.Upload(n.Running, states.Initial(0))
	}
	return n, nil
}

// alloc returns a zeroed vector that Close frees.
func (n *Network) alloc(size int) (gpu.Buffer, error) {
	buf, err := n.b.Alloc(size, n.b.Info().FloatBytes)
	if err != nil {
		return buf, err
	}
	n.b.Fill(buf, 0)
	n.owned = append(n.owned, buf)
	return buf, nil
}

// Vector is a named vector of a network's state.
type Vector struct {
	Name   string // "value", "moment", "second" (layout Params) or "running" (layout States)
	Layout *param.Table
	Buf    gpu.Buffer
}

// Vectors lists the vectors that make up the network's state, in a fixed order: what a checkpoint holds.
func (n *Network) Vectors() []Vector {
	all := []Vector{{"value", n.Params, n.Value}, {"moment", n.Params, n.Moment}, {"second", n.Params, n.Second}, {"running", n.States, n.Running}}
	var vs []Vector
	for _, v := range all {
		if !v.Buf.IsNil() && v.Layout.Len() > 0 {
			vs = append(vs, v)
		}
	}
	return vs
}

// encoder returns the shared encoder's part of a vector of the network's length.
func (n *Network) encoder(v gpu.Buffer) gpu.Buffer { return v.Slice(0, n.Params.EncoderLen()) }

// statMomentum is the weight of the next batch in the running statistics: a plain average at first, so that they are usable
// from the first steps on, PyTorch's 0.1 later.
func (n *Network) statMomentum() float64 { return math.Max(0.1, 1/float64(1+n.Batches)) }

// rule is the optimiser's arithmetic over the whole vector.
func (n *Network) rule() gpu.Update {
	return gpu.Update{Rule: n.Opt.Rule, P: n.Value, G: n.Grad, M: n.Moment, V: n.Second, Momentum: n.Opt.Momentum,
		Beta1: n.Opt.Beta1, Beta2: n.Opt.Beta2, Eps: n.Opt.Eps, WeightDecay: n.Opt.WeightDecay}
}

// next is the next step along Grad.
func (n *Network) next() gpu.Update {
	u := n.rule()
	u.Rates = n.Opt.Rates(n.Step, n.Total)
	if n.clips {
		n.b.Dot(n.norm2, 1, n.Grad, n.Grad, false)
		n.b.ClipScale(n.scale, n.norm2, n.Opt.Clip)
		u.GradScale = n.scale
	}
	return u
}

// update takes one optimiser step along Grad. With jac it leaves d value'/d gradient in Jac.
func (n *Network) update(jac bool) {
	u := n.next()
	if jac {
		u.Jac = n.Jac
	}
	n.b.Update(u)
	n.Step++
}

// pullBack replaces x, a derivative with respect to the updated parameters, by the derivative with respect to the gradient
// that the last update took: x ← (d value'/d gradient)ᵀ x.
//
// The rule is element-wise, so its part is Jac∘x. Clipping by norm scales the gradient g by s = c/|g|, whose derivative is
// s(I − ĝĝᵀ), symmetric: x ← s(x − ĝ⟨ĝ,x⟩) where it was active, and nothing where it was not.
func (n *Network) pullBack(x, scratch gpu.Buffer) {
	n.b.Mul(x, 1, n.Jac, x)
	if !n.clips {
		return
	}
	dot, coef := scratch.Slice(0, 1), scratch.Slice(1, 2)
	n.b.Dot(dot, 1, n.Grad, x, false)
	n.b.ClipCoef(coef, n.scale, n.norm2, dot)
	n.b.Scale(x, 1, n.scale)
	n.b.Axpy(x, -1, coef, n.Grad)
}

func (n *Network) close() {
	for i := len(n.owned) - 1; i >= 0; i-- {
		n.b.Free(n.owned[i])
	}
	n.owned = nil
}
