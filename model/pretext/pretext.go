// Package pretext holds the pretraining objectives for texts, one file each, and the problem of Level I that they form
// together.
//
// An [Objective] builds sequences of its own from the segments of a batch, declares its head, and computes its loss forward
// only; the tape does the rest. Each has a forward pass of its own, so that the gradients apart, which the hypergradient needs,
// cost nothing. To add one: write a file with a type that implements Objective and a register call; nothing else changes.
package pretext

import (
	"math/rand/v2"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/registry"
	"tapweight/model/tape"
	"tapweight/model/text"
	"tapweight/model/transformer"
)

// Objective is one pretraining task.
type Objective interface {
	// Declare adds the head's parameters, named under prefix.
	Declare(params *param.Table, prefix string, enc *transformer.Encoder)
	// Build makes the sequences of a batch and its targets, and says which rows Loss reads. count is the number of terms the loss
	// is averaged over; a batch that has none gives 0. Over accumulated micro-batches the counts are added, so that the loss is one
	// mean over the whole batch.
	Build(in *Building) (labels any, count float64)
	// Loss computes the loss, each term times f.Scale, adding its value to f.Value.
	Loss(f *Forward) *tape.Loss
}

// headed is an objective whose head Hugging Face folders may hold.
type headed interface{ module() transformer.Module }

// decoder is an objective that may read the word embeddings other than by looking tokens up.
type decoder interface{ tied() bool }

// Building is what Build works with.
type Building struct {
	Host      *batch.Host
	Pool      *Pool
	Index     []int // the batch's segments in the pool
	Tokenizer *text.Tokenizer
	Options   Options
	Rand      *rand.Rand // the objective's own stream for this step

	sequences []transformer.Sequence
	tokens    int32
	read      []int32
}

// Single appends the sequence of one text and returns its ids, which may be edited, and the row of the first among all tokens.
func (in *Building) Single(ids []int32) (sequence []int32, first int32) { return in.Pair(ids, nil) }

// Pair appends the sequence of two texts.
func (in *Building) Pair(a, b []int32) (sequence []int32, first int32) {
	ids, types := in.Tokenizer.Wrap(nil, nil, a, b, in.Options.MaxTokens)
	first = in.tokens
	in.sequences = append(in.sequences, transformer.Sequence{IDs: ids, Types: types})
	in.tokens += int32(len(ids))
	return ids, first
}

// Read says that the loss reads a row after the last layer, where those that nobody reads are not computed. Rows ascend from call to
// call.
func (in *Building) Read(row int32) { in.read = append(in.read, row) }

// Options are the settings of objectives.
type Options struct {
	MaxTokens  int  // of a sequence, with its special tokens
	WholeWords bool // mlm masks whole words instead of tokens
	SwapHalves bool // sop swaps the halves of a segment instead of two consecutive segments
}

// Forward is what Loss works with.
type Forward struct {
	T      *tape.Tape
	Device *batch.Device
	Pass   tape.Pass
	Labels any
	Scale  float64    // 1/count of the whole batch
	Value  gpu.Buffer // one float
	Hidden *tape.Var  // after the last layer: the rows that Build said are read
}

// dense is a layer with tanh over the rows of first tokens: what simcse and sop put on the encoder.
type dense struct{ w, b *param.Entry }

func newDense(params *param.Table, prefix string, width int) dense {
	return dense{params.Matrix(prefix+".dense.weight", width, width, param.Normal), params.Vector(prefix+".dense.bias", width, param.Zeros, 0)}
}

// apply returns the layer's rows for those that are read.
func (d dense) apply(f *Forward) *tape.Var {
	return f.T.Activate(gpu.Tanh, f.T.Linear(f.Hidden, f.T.Param(d.w), f.T.Param(d.b), gpu.Identity))
}

var registered = registry.Registry[func() Objective]{}

// register makes an objective known under a name. about is one line with its source.
func register(name, about string, make func() Objective) { registered.Register(name, about, make) }

// Names lists the known objectives in alphabetical order.
func Names() []string { return registered.Names() }

// About returns an objective's one-line description.
func About(name string) string { return registered.About(name) }

// Check reports an unknown or repeated name.
func Check(names []string) error { return registered.Check(names) }
