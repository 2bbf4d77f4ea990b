package transformer

import (
	"tapweight/gpu"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// Classifier is the head that each family of transformers' models has for whole sequences, over the row of the first token:
//
//	BERT        dropout, after a tanh layer called the pooler
//	RoBERTa     dropout, tanh layer, dropout
//	DistilBERT  ReLU layer, dropout
//
// and one affine map to the outputs.
type Classifier struct {
	cfg         Config
	hidden, out dense
}

// NewClassifier declares a head with the given number of outputs under the prefix.
func NewClassifier(cfg Config, prefix string, outputs int, params *param.Table) *Classifier {
	return &Classifier{cfg, newDense(params, prefix+".hidden", cfg.Width, cfg.Width), newDense(params, prefix+".out", outputs, cfg.Width)}
}

// Forward returns the outputs (sequences, outputs) from the rows of first tokens (sequences, C), which are not read afterwards.
func (m *Classifier) Forward(t *tape.Tape, first *tape.Var, pass tape.Pass) *tape.Var {
	h := first
	if m.cfg.family().roberta {
		h = dropout(t, h, m.cfg.DropHead, pass, streamHead)
	}
	h = m.layer(t, h)
	h = dropout(t, h, m.cfg.DropHead, pass, streamHead+1)
	defer t.Done(h)
	return t.Linear(h, t.Param(m.out.weight), t.Param(m.out.bias), gpu.Identity)
}

// Rescale turns output j, in the parameters of a flat vector, into std[j] times itself plus mean[j].
func (m *Classifier) Rescale(flat []float64, mean, std []float64) {
	w, b := m.out.weight, m.out.bias
	for j := range mean {
		row := flat[w.Offset+j*w.LD:][:w.Cols]
		for i := range row {
			row[i] *= std[j]
		}
		flat[b.Offset+j] = flat[b.Offset+j]*std[j] + mean[j]
	}
}

func (m *Classifier) layer(t *tape.Tape, h *tape.Var) *tape.Var {
	w, b := t.Param(m.hidden.weight), t.Param(m.hidden.bias)
	defer t.Done(h)
	if m.cfg.distil() {
		return t.Linear(h, w, b, gpu.ReLU)
	}
	x := t.Linear(h, w, b, gpu.Identity)
	defer t.Done(x)
	return t.Activate(gpu.Tanh, x)
}

// MaskedLM is the head that predicts tokens from rows: a layer with the encoder's activation (RoBERTa: always the exact GELU), a
// norm, and a product with the word embeddings, unless the model has a decoder of its own.
type MaskedLM struct {
	cfg      Config
	layer    dense
	norm     norm
	decoder  *param.Entry // (Vocab, C)
	own      bool         // the decoder belongs to the head
	perToken *param.Entry // bias
}

// NewMaskedLM declares the head under the prefix.
func NewMaskedLM(e *Encoder, prefix string, params *param.Table) *MaskedLM {
	m := &MaskedLM{cfg: e.Config, layer: newDense(params, prefix+".layer", e.Width, e.Width), norm: newNorm(params, prefix+".norm", e.Width), decoder: e.word, own: e.Untied}
	if m.own {
		m.decoder = params.Matrix(prefix+".decoder.weight", e.Vocab, e.Width, param.Normal)
	}
	m.perToken = params.Vector(prefix+".decoder.bias", e.Vocab, param.Zeros, 0)
	return m
}

// Tied reports whether the decoder is the table of word embeddings.
func (m *MaskedLM) Tied() bool { return !m.own }

// transform returns the rows that are multiplied with the decoder.
func (m *MaskedLM) transform(t *tape.Tape, rows *tape.Var) *tape.Var {
	act := m.cfg.Activation
	if m.cfg.family().roberta {
		act = GELU
	}
	return m.cfg.addNorm(t, activate(t, act, rows, m.layer), nil, nil, m.norm, 0, gpu.Key{})
}

// Loss is the cross entropy of the tokens (n) int32 that belong where the rows (n, C) are. Logits are never stored whole.
func (m *MaskedLM) Loss(t *tape.Tape, rows *tape.Var, tokens gpu.Buffer, scale float64, value gpu.Buffer) *tape.Loss {
	h := m.transform(t, rows)
	defer t.Done(h)
	return t.LinearCE(h, t.Param(m.decoder), t.Param(m.perToken), tokens, scale, value)
}

// Logits returns the logits (n, Vocab) of every token for the rows (n, C).
func (m *MaskedLM) Logits(t *tape.Tape, rows *tape.Var) *tape.Var {
	h := m.transform(t, rows)
	defer t.Done(h)
	return t.Linear(h, t.Param(m.decoder), t.Param(m.perToken), gpu.Identity)
}
