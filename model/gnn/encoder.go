package gnn

import (
	"fmt"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

const (
	normEps    = 1e-5
	rowNormEps = 1e-12
)

// Encoder is a stack of message-passing layers. It owns no numbers: parameters and running statistics are entries of flat
// vectors that a pass binds.
type Encoder struct {
	Config
	atom   *param.Entry
	layers []layer
}

type layer struct {
	bond            *param.Entry
	w0, b0, w1, b1  *param.Entry // GIN: the MLP; others: w0, b0 the linear map
	att, bias       *param.Entry // GAT
	gamma, beta     *param.Entry
	runMean, runVar *param.Entry // batch norm's, in the table of states
}

// NewEncoder declares the encoder's parameters in params and its running statistics in states, under the prefix.
//
// GIN 5×300 with Hu et al.'s features has 1 858 200 parameters.
func NewEncoder(cfg Config, prefix string, params, states *param.Table) *Encoder {
	e := &Encoder{Config: cfg}
	c := cfg.Width
	e.atom = params.Matrix(prefix+".atom.weight", cfg.Features.AtomVocab(), c, param.Xavier)
	for i := range cfg.Layers {
		name := fmt.Sprintf("%s.layers.%d", prefix, i)
		var l layer
		wide := c
		if cfg.Conv == GAT {
			wide = attentionHeads * c
		}
		l.bond = params.Matrix(name+".bond.weight", cfg.Features.BondVocab(), wide, param.Xavier)
		if cfg.Conv == GIN {
			l.w0 = params.Matrix(name+".mlp.0.weight", 2*c, c, param.Uniform)
			l.b0 = params.Vector(name+".mlp.0.bias", 2*c, param.Uniform, c)
			l.w1 = params.Matrix(name+".mlp.2.weight", c, 2*c, param.Uniform)
			l.b1 = params.Vector(name+".mlp.2.bias", c, param.Uniform, 2*c)
		} else {
			l.w0 = params.Matrix(name+".linear.weight", wide, c, param.Uniform)
			l.b0 = params.Vector(name+".linear.bias", wide, param.Uniform, c)
		}
		if cfg.Conv == GAT {
			l.att = params.Matrix(name+".att", attentionHeads, 2*c, param.Xavier)
			l.bias = params.Vector(name+".bias", c, param.Zeros, 0)
		}
		l.gamma = params.Vector(name+".norm.weight", c, param.Ones, 0)
		l.beta = params.Vector(name+".norm.bias", c, param.Zeros, 0)
		if cfg.Norm == BatchNorm {
			l.runMean = states.Vector(name+".norm.running_mean", c, param.Zeros, 0)
			l.runVar = states.Vector(name+".norm.running_var", c, param.Ones, 0)
		}
		e.layers = append(e.layers, l)
	}
	return e
}

// Forward returns the rows of nodes (rows of the last depth, C) after the last layer.
func (e *Encoder) Forward(t *tape.Tape, p *Packed, d *batch.Device, pass tape.Pass) *tape.Var {
	return e.through(t, p, d, pass, len(e.layers))
}

// Graphs returns one row per graph: Pool of Forward. In evaluation a GIN's last map and norm are affine and commute with the
// mean, so they are applied to graphs instead of nodes.
func (e *Encoder) Graphs(t *tape.Tape, p *Packed, d *batch.Device, pass tape.Pass) *tape.Var {
	drops := pass.Drop && e.Dropout > 0
	if pass.Batch || drops || e.Conv != GIN || e.Norm != BatchNorm || e.Readout != Mean {
		nodes := e.Forward(t, p, d, pass)
		defer t.Done(nodes)
		return e.Pool(t, p, d, nodes)
	}
	last := len(e.layers) - 1
	l, h := e.layers[last], e.through(t, p, d, pass, last)
	bonds := t.Embedding(t.Param(l.bond), d.Ints(p.bond), e.Features.BondCodes(), len(e.Features.BondFields))
	hidden := e.hidden(t, l, p.layers[last].On(d), h, bonds)
	t.Done(h, bonds)
	pooled := e.Pool(t, p, d, hidden)
	t.Done(hidden)
	out := t.Linear(pooled, t.Param(l.w1), t.Param(l.b1), gpu.Identity)
	t.Done(pooled)
	defer t.Done(out)
	return e.normalise(t, l, gpu.Buffer{}, p.Stack.Graphs, out, gpu.Identity, pass)
}

// through runs the first layers of the encoder.
func (e *Encoder) through(t *tape.Tape, p *Packed, d *batch.Device, pass tape.Pass, layers int) *tape.Var {
	f := e.Features
	h := t.Embedding(t.Param(e.atom), d.Ints(p.atom), p.Stack.Rows0, len(f.AtomFields))
	for i, l := range e.layers[:layers] {
		bonds := t.Embedding(t.Param(l.bond), d.Ints(p.bond), f.BondCodes(), len(f.BondFields))
		out := e.convolve(t, l, p, i, d, h, bonds)
		t.Done(h, bonds)
		act := gpu.ReLU
		if i == len(e.layers)-1 {
			act = gpu.Identity
		}
		h = e.normalise(t, l, d.Floats(p.mult[i]), p.Stack.Atoms, out, act, pass)
		t.Done(out)
		if pass.Drop && e.Dropout > 0 {
			dropped := t.Dropout(h, e.Dropout, pass.Layer(i))
			t.Done(h)
			h = dropped
		}
	}
	return h
}

func (e *Encoder) convolve(t *tape.Tape, l layer, p *Packed, i int, d *batch.Device, h, bonds *tape.Var) *tape.Var {
	graph := p.layers[i].On(d)
	if e.Conv == GIN {
		hidden := e.hidden(t, l, graph, h, bonds)
		out := t.Linear(hidden, t.Param(l.w1), t.Param(l.b1), gpu.Identity)
		t.Done(hidden)
		return out
	}
	x := t.Linear(h, t.Param(l.w0), t.Param(l.b0), gpu.Identity)
	defer t.Done(x)
	switch e.Conv {
	case GAT:
		// The transposes of attention list edges, see gpu.GATGrad.
		s := tape.Attention{A: graph.A, T: graph.T, Self: d.Ints(p.self[i]), TSelf: p.selfGraph[i].On(d).T, Heads: attentionHeads}
		s.A.Weight, s.T.Cols = gpu.Buffer{}, s.A.NNZ
		heads := t.GAT(s, x, bonds, t.Param(l.att))
		defer t.Done(heads)
		return t.HeadMean(heads, t.Param(l.bias), attentionHeads)
	case SAGE:
		mean := t.Aggregate(graph, x, bonds)
		defer t.Done(mean)
		return t.RowNormalize(mean, rowNormEps)
	default:
		return t.Aggregate(graph, x, bonds)
	}
}

// hidden is relu(W0·(sum of neighbours and bonds) + b0), the first half of a GIN layer. The map and the sum are both linear. Where
// colours multiply from one depth to the next the map goes first: fewer rows before the sum than after. The bias then enters with
// the self loop, of which every row has one.
func (e *Encoder) hidden(t *tape.Tape, l layer, graph tape.Graph, h, bonds *tape.Var) *tape.Var {
	w, b := t.Param(l.w0), t.Param(l.b0)
	if 8*graph.A.Cols > 7*graph.A.Rows { // the sum is twice as wide after the map
		sum := t.Aggregate(graph, h, bonds)
		defer t.Done(sum)
		return t.Linear(sum, w, b, gpu.ReLU)
	}
	x := t.Linear(h, w, nil, gpu.Identity)
	edges := t.AddToRow(t.Linear(bonds, w, nil, gpu.Identity), b, int(e.Features.SelfLoopCode()))
	hidden := t.AggregateReLU(graph, x, edges)
	t.Forget(x, edges)
	return hidden
}

// normalise applies a layer's norm to rows that stand for mult atoms each, total together.
func (e *Encoder) normalise(t *tape.Tape, l layer, mult gpu.Buffer, total int, x *tape.Var, act gpu.Act, pass tape.Pass) *tape.Var {
	gamma, beta := t.Param(l.gamma), t.Param(l.beta)
	if e.Norm == LayerNorm {
		return t.LayerNorm(x, gamma, beta, act, normEps)
	}
	run := tape.Running{Mean: l.runMean.Vector(pass.States), Var: l.runVar.Vector(pass.States)}
	return t.BatchNorm(x, gamma, beta, run, tape.NormOptions{
		Mult: mult, Total: float64(total), Act: act, Eps: normEps,
		Frozen: !pass.Batch, Update: pass.Update, Momentum: pass.Momentum,
	})
}

// Pool returns one row per graph.
func (e *Encoder) Pool(t *tape.Tape, p *Packed, d *batch.Device, nodes *tape.Var) *tape.Var {
	g := p.readout.On(d)
	if e.Readout == Max {
		return t.SegmentMax(g.A, nodes)
	}
	return t.Aggregate(g, nodes, nil)
}
