package transformer

import (
	"fmt"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// A pass has 256 random streams (see tape.Pass): one for the embeddings, three for every block, the last ones for heads.
const (
	streamEmbeddings = iota
	streamBlocks
	streamsPerBlock = 3
	streamHead      = 250
	maxLayers       = (streamHead - streamBlocks) / streamsPerBlock
)

// dense is an affine map.
type dense struct{ weight, bias *param.Entry }

func newDense(params *param.Table, name string, out, in int) dense {
	return dense{params.Matrix(name+".weight", out, in, param.Normal), params.Vector(name+".bias", out, param.Zeros, 0)}
}

// part is the map to the outputs [lo,hi).
func (d dense) part(lo, hi int) dense { return dense{d.weight.Part(lo, hi), d.bias.Part(lo, hi)} }

// norm is a layer norm.
type norm struct{ gamma, beta *param.Entry }

func newNorm(params *param.Table, name string, width int) norm {
	return norm{params.Vector(name+".weight", width, param.Ones, 0), params.Vector(name+".bias", width, param.Zeros, 0)}
}

// block is a layer: attention, then two maps, each closed by a sum with what went in and a norm.
type block struct {
	qkv, out  dense // (3C,C): queries, keys and values in one product
	q, kv     dense // of which these are (C,C) and (2C,C), for products apart
	attended  norm
	up, down  dense
	completed norm
}

// Encoder is a stack of post-norm blocks over embeddings. It owns no numbers: parameters are entries of a flat vector that a
// pass binds.
type Encoder struct {
	Config
	word, position, types *param.Entry // types is nil where there are none
	table                 *param.Entry // the three as one
	embedded              norm
	blocks                []block
}

// NewEncoder declares the encoder's parameters under the prefix. BERT-base with its 30 522 tokens has 108 891 648.
func NewEncoder(cfg Config, prefix string, params *param.Table) *Encoder {
	e := &Encoder{Config: cfg}
	c := cfg.Width
	name := prefix + ".embeddings"
	e.word = params.Matrix(name+".word.weight", cfg.Vocab, c, param.Normal)
	e.position = params.Matrix(name+".position.weight", cfg.Positions, c, param.Normal)
	tables := []*param.Entry{e.word, e.position}
	if cfg.Types > 0 {
		e.types = params.Matrix(name+".type.weight", cfg.Types, c, param.Normal)
		tables = append(tables, e.types)
	}
	e.table = params.Joined(tables...)
	e.embedded = newNorm(params, name+".norm", c)
	for i := range cfg.Layers {
		name := fmt.Sprintf("%s.layers.%d", prefix, i)
		b := block{
			qkv: newDense(params, name+".attention.qkv", 3*c, c), out: newDense(params, name+".attention.out", c, c),
			attended: newNorm(params, name+".attention.norm", c),
			up:       newDense(params, name+".mlp.up", cfg.Inner, c), down: newDense(params, name+".mlp.down", c, cfg.Inner),
			completed: newNorm(params, name+".mlp.norm", c),
		}
		b.q, b.kv = b.qkv.part(0, c), b.qkv.part(c, 3*c)
		e.blocks = append(e.blocks, b)
	}
	return e
}

// Embeddings returns the tables of words, positions and types as one matrix, of which a batch reads few rows.
func (e *Encoder) Embeddings() *param.Entry { return e.table }

// probability is p where a pass drops at all.
func probability(pass tape.Pass, p float64) float64 {
	if !pass.Drop {
		return 0
	}
	return p
}

// dropout drops elements of x in a pass that drops. x is not read afterwards.
func dropout(t *tape.Tape, x *tape.Var, p float64, pass tape.Pass, stream int) *tape.Var {
	if p = probability(pass, p); p == 0 {
		return x
	}
	defer t.Done(x)
	return t.Dropout(x, p, pass.Layer(stream))
}

// Forward returns the wanted rows (rows, C) after the last block, which computes no others.
func (e *Encoder) Forward(t *tape.Tape, p *Packed, rows Rows, d *batch.Device, pass tape.Pass) *tape.Var {
	x := t.LookUp(t.Param(e.table), p.lookup(d))
	h := e.addNorm(t, x, nil, nil, e.embedded, 0, gpu.Key{})
	h = dropout(t, h, e.Dropout, pass, streamEmbeddings) // BERT drops behind this norm, but before all others
	for i, b := range e.blocks {
		of := Rows{}
		if i == len(e.blocks)-1 {
			of = rows
		}
		h = e.block(t, b, p, of, d, h, pass, streamBlocks+streamsPerBlock*i)
	}
	return h
}

// block runs one layer for the wanted rows of h, which is not read afterwards.
func (e *Encoder) block(t *tape.Tape, b block, p *Packed, rows Rows, d *batch.Device, h *tape.Var, pass tape.Pass, stream int) *tape.Var {
	attend, drop := probability(pass, e.DropAttend), probability(pass, e.Dropout)
	dropOut := drop
	if e.distil() { // which drops nothing behind its attention
		dropOut = 0
	}
	h, heads := e.attend(t, b, p, rows, d, h, attend, pass.Layer(stream))
	out := t.Linear(heads, t.Param(b.out.weight), nil, gpu.Identity)
	t.Done(heads)
	attended := e.addNorm(t, out, h, b.out.bias, b.attended, dropOut, pass.Layer(stream+1))
	t.Done(h)
	inner := activate(t, e.Activation, attended, b.up)
	down := t.Linear(inner, t.Param(b.down.weight), nil, gpu.Identity)
	t.Done(inner)
	defer t.Done(attended)
	return e.addNorm(t, down, attended, b.down.bias, b.completed, drop, pass.Layer(stream+2))
}

// attend returns the wanted rows of h, which is not read afterwards, and what their heads see: all rows.
func (e *Encoder) attend(t *tape.Tape, b block, p *Packed, rows Rows, d *batch.Device, h *tape.Var, drop float64, key gpu.Key) (of, heads *tape.Var) {
	c, seq := e.Width, p.sequences(rows, d)
	affine := func(x *tape.Var, m dense) *tape.Var {
		return t.Linear(x, t.Param(m.weight), t.Param(m.bias), gpu.Identity)
	}
	if !rows.some {
		qkv := affine(h, b.qkv)
		defer t.Done(qkv)
		return h, t.Attention(qkv.Columns(0, c), qkv.Columns(c, 2*c), qkv.Columns(2*c, 3*c), seq, e.Heads, drop, key)
	}
	of = t.Aggregate(rows.gather.On(d), h, nil)
	q, kv := affine(of, b.q), affine(h, b.kv)
	t.Done(h)
	defer t.Done(q, kv)
	return of, t.Attention(q.Columns(0, c), kv.Columns(0, c), kv.Columns(c, 2*c), seq, e.Heads, drop, key)
}

// addNorm is the norm of r + dropout(x + bias), and done with x.
func (c *Config) addNorm(t *tape.Tape, x, r *tape.Var, bias *param.Entry, n norm, p float64, key gpu.Key) *tape.Var {
	var b *tape.Var
	if bias != nil {
		b = t.Param(bias)
	}
	defer t.Done(x)
	return t.AddNorm(x, r, b, t.Param(n.gamma), t.Param(n.beta), p, key, c.NormEps)
}

// activate is the activation of an affine map.
func activate(t *tape.Tape, act Activation, x *tape.Var, m dense) *tape.Var {
	if act == ReLU {
		return t.Linear(x, t.Param(m.weight), t.Param(m.bias), gpu.ReLU)
	}
	y := t.Linear(x, t.Param(m.weight), nil, gpu.Identity)
	defer t.Done(y)
	return t.GELU(y, t.Param(m.bias), act == TanhGELU)
}
