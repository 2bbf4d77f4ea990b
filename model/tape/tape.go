// Package tape records a forward pass over a small set of operations and replays it backward (gradients) or forward once
// more along a direction (tangents).
//
// Layers are written forward only:
//
//	h := t.Linear(x, t.Param(w), t.Param(b), gpu.ReLU)
//	l := t.SoftmaxCE(h, target, weight, 1/n, lossSlot)
//	t.Backward(grads, tape.Seed{Loss: l})          // d loss / d parameters is added to grads
//	t.Tangent(direction, []*tape.Loss{l}, out)     // out[i] = <d loss_i / d parameters, direction>
//
// Values live in an arena. Backward gives them back as it goes unless it is told to keep them, so the peak is one forward
// pass plus the widest pair of gradients. Tangent needs a kept pass; it computes no value again.
package tape

import (
	"fmt"
	"slices"

	"tapweight/gpu"
	"tapweight/model/param"
)

// Var is a matrix in a recorded computation.
type Var struct {
	Value   gpu.Mat
	entry   *param.Entry // of parameters
	needs   bool         // a gradient or tangent flows through it
	grad    gpu.Mat
	tangent gpu.Mat
	uses    int // recorded operations that read it
	pending int // of those, the ones Tangent has yet to visit
	owned   bool
	spare   bool // its own operation and the losses do not read the value again
	taken   bool // a later operation keeps something else in the value's memory
}

// node is one recorded operation.
type node struct {
	out      *Var
	in       []*Var
	saved    []gpu.Buffer // freed with the node
	backward func()       // reads out.grad, adds to the inputs' gradients
	tangent  func()       // reads the inputs' tangents, writes out.tangent
}

// Tape records operations. The zero value is not usable; see New.
type Tape struct {
	B gpu.Backend
	A *gpu.Arena

	values   param.Binding
	grads    param.Binding
	tangents param.Binding
	noGrad   bool
	nodes    []node
	params   map[*param.Entry]*Var
	losses   []*Loss
	loose    []*Var       // values without a node: inputs and results of no-grad passes
	zeroed   []gpu.Buffer // explicit zero tangents of the sweep under way
}

// New returns a tape over a backend and an arena.
func New(b gpu.Backend, a *gpu.Arena) *Tape {
	return &Tape{B: b, A: a, params: map[*param.Entry]*Var{}}
}

// Start begins a new pass with the given parameter values. With grad false nothing is recorded and Done frees values early.
func (t *Tape) Start(values param.Binding, grad bool) {
	t.Release()
	t.values, t.noGrad = values, !grad
}

// Param returns the variable of a parameter.
func (t *Tape) Param(e *param.Entry) *Var {
	if v := t.params[e]; v != nil {
		return v
	}
	v := &Var{Value: t.values.Mat(e), entry: e, needs: !t.noGrad}
	t.params[e] = v
	return v
}

// Constant returns a variable through which nothing is differentiated. Its memory stays the caller's.
func (t *Tape) Constant(m gpu.Mat) *Var { return &Var{Value: m} }

// Done says that the caller reads v no more. In a no-grad pass its memory is free at once; otherwise nothing happens.
func (t *Tape) Done(vs ...*Var) {
	if !t.noGrad {
		return
	}
	for _, v := range vs {
		t.freeValue(v)
	}
}

// Forget says that neither the caller nor any operation recorded so far, backward or along a tangent, reads v's value again. Its
// memory is free at once.
func (t *Tape) Forget(vs ...*Var) {
	for _, v := range vs {
		t.freeValue(v)
	}
}

// Release frees everything the tape still holds.
func (t *Tape) Release() {
	for i := len(t.nodes) - 1; i >= 0; i-- {
		t.releaseNode(&t.nodes[i])
	}
	for _, v := range t.loose {
		t.freeValue(v)
	}
	for _, l := range t.losses {
		l.free(t)
	}
	clear(t.params)
	clear(t.nodes)
	t.nodes, t.loose, t.losses = t.nodes[:0], t.loose[:0], t.losses[:0]
}

func (t *Tape) releaseNode(n *node) {
	t.freeGrad(n.out)
	t.freeTangent(n.out)
	t.freeValue(n.out)
	for _, b := range n.saved {
		t.A.Free(b)
	}
	n.saved = nil
}

func (t *Tape) freeValue(v *Var) {
	if v.owned {
		t.A.Free(v.Value.Buf)
		v.owned = false
	}
}

func (t *Tape) freeGrad(v *Var) {
	if v.entry == nil && !v.grad.IsNil() {
		t.A.Free(v.grad.Buf)
	}
	v.grad = gpu.Mat{}
}

func (t *Tape) freeTangent(v *Var) {
	if v.entry == nil && !v.tangent.IsNil() {
		t.A.Free(v.tangent.Buf)
	}
	v.tangent = gpu.Mat{}
}

// newVar allocates the result of an operation on the given inputs.
func (t *Tape) newVar(rows, cols int, in ...*Var) *Var {
	check(in)
	v := &Var{Value: t.A.Mat(rows, cols), owned: true}
	for _, x := range in {
		v.needs = v.needs || x.needs
	}
	v.needs = v.needs && !t.noGrad
	return v
}

// check refuses inputs whose value is gone.
func check(in []*Var) {
	for _, x := range in {
		if x.taken {
			panic(fmt.Sprintf("tape: a %d×%d value is read after AddNorm took its memory", x.Value.Rows, x.Value.Cols))
		}
	}
}

// record stores an operation. saved are arena buffers that its backward or tangent reads.
func (t *Tape) record(out *Var, in []*Var, saved []gpu.Buffer, backward, tangent func()) *Var {
	if !out.needs {
		t.loose = append(t.loose, out)
		for _, b := range saved {
			t.A.Free(b)
		}
		return out
	}
	for _, x := range in {
		x.uses++
	}
	t.nodes = append(t.nodes, node{out, in, saved, backward, tangent})
	return out
}

// gradOf returns where v's gradient goes and whether to add to what is there. Ask only when v.needs.
func (t *Tape) gradOf(v *Var) (dst gpu.Mat, accumulate bool) {
	if v.entry != nil {
		return t.grads.Mat(v.entry), true
	}
	if v.grad.IsNil() {
		v.grad = t.A.Mat(v.Value.Rows, v.Value.Cols)
		return v.grad, false
	}
	return v.grad, true
}

// gradVec is gradOf for a one-row parameter.
func (t *Tape) gradVec(v *Var) gpu.Buffer { return rowVec(t.grads.Mat(v.entry)) }

func rowVec(m gpu.Mat) gpu.Buffer { return m.Buf.Slice(0, m.Cols) }

// tangentOf returns v's tangent; the zero Mat means zero.
func (t *Tape) tangentOf(v *Var) gpu.Mat {
	if v.entry != nil {
		return t.tangents.Mat(v.entry)
	}
	return v.tangent
}

// tangentOrZero is tangentOf with explicit zeros, for operations that have no variant without.
func (t *Tape) tangentOrZero(v *Var) gpu.Mat {
	if m := t.tangentOf(v); !m.IsNil() {
		return m
	}
	m := t.A.Mat(v.Value.Rows, v.Value.Cols)
	t.B.Fill(m.Buf, 0)
	t.zeroed = append(t.zeroed, m.Buf)
	return m
}

// moving reports whether any of the variables has a tangent.
func (t *Tape) moving(in []*Var) bool {
	return slices.ContainsFunc(in, func(x *Var) bool { return !t.tangentOf(x).IsNil() })
}

func (t *Tape) newTangent(v *Var) gpu.Mat {
	v.tangent = t.A.Mat(v.Value.Rows, v.Value.Cols)
	return v.tangent
}

// Seed starts a backward pass at a loss; Scale is one float on the device, or nil for 1.
type Seed struct {
	Loss  *Loss
	Scale gpu.Buffer
}

// Backward adds the gradient of sum_i Scale_i*Loss_i with respect to the parameters to grads. With keep false it frees the
// pass as it goes; with keep true the pass can be run backward or along a tangent again.
func (t *Tape) Backward(grads param.Binding, keep bool, seeds ...Seed) {
	t.grads = grads
	for _, s := range seeds {
		for _, term := range s.Loss.terms {
			if slices.ContainsFunc(term.in, func(x *Var) bool { return x.needs }) {
				term.backward(s.Scale)
			}
		}
	}
	if !keep {
		for _, l := range t.losses {
			l.free(t)
		}
		t.losses = t.losses[:0]
	}
	for i := len(t.nodes) - 1; i >= 0; i-- {
		n := &t.nodes[i]
		if !n.out.grad.IsNil() {
			n.backward()
		}
		if keep {
			t.freeGrad(n.out)
		} else {
			t.releaseNode(n)
		}
	}
	if !keep {
		t.nodes = t.nodes[:0]
		t.Release()
	}
}

// Tangent writes out[i] += c*<d losses[i] / d parameters, direction> for a kept pass: one forward sweep gives the
// directional derivative of every loss. Intermediate tangents are freed as soon as nothing reads them any more.
func (t *Tape) Tangent(direction param.Binding, c float64, losses []*Loss, out []gpu.Buffer) {
	t.tangents = direction
	for i := range t.nodes {
		for _, x := range t.nodes[i].in {
			x.pending = x.uses
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		if t.moving(n.in) {
			n.tangent()
		}
		for _, x := range n.in {
			if x.pending--; x.pending == 0 && !t.readByLoss(x) {
				t.freeTangent(x)
			}
		}
	}
	for i, l := range losses {
		for _, term := range l.terms {
			if t.moving(term.in) {
				term.tangent(c, out[i])
			}
		}
	}
	for i := range t.nodes {
		t.freeTangent(t.nodes[i].out)
	}
	for _, b := range t.zeroed {
		t.A.Free(b)
	}
	t.zeroed = t.zeroed[:0]
}

func (t *Tape) readByLoss(v *Var) bool {
	for _, l := range t.losses {
		for _, term := range l.terms {
			if slices.Contains(term.in, v) {
				return true
			}
		}
	}
	return false
}
