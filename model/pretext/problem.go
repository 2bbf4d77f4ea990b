package pretext

import (
	"fmt"
	"math/rand/v2"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/text"
	"tapweight/model/transformer"
)

// Problem is Level I: an encoder and a set of objectives over a pool of text.
type Problem struct {
	pool       *Pool
	folder     *transformer.Folder
	tokenizer  *text.Tokenizer
	options    Options
	names      []string
	objectives []Objective
	encoder    *transformer.Encoder
	params     *param.Table
	states     *param.Table
}

// NewProblem declares the networks of the named objectives.
//
// cfg describes the encoder; folder holds the weights it starts from, or is nil.
func NewProblem(pool *Pool, cfg transformer.Config, folder *transformer.Folder, tok *text.Tokenizer, names []string, o Options) (*Problem, error) {
	if err := Check(names); err != nil {
		return nil, err
	}
	if pool.Len() == 0 {
		return nil, fmt.Errorf("the pretraining pool is empty")
	}
	p := &Problem{pool: pool, folder: folder, tokenizer: tok, options: o, names: names, params: param.NewTable(), states: param.NewTable()}
	p.encoder = transformer.NewEncoder(cfg, "encoder", p.params)
	p.params.EndEncoder()
	p.states.EndEncoder()
	for _, name := range names {
		ob := registered.Make(name)()
		ob.Declare(p.params, "heads."+name, p.encoder)
		p.objectives = append(p.objectives, ob)
	}
	return p, nil
}

// Params and States return the layouts of the parameters and the running statistics, of which there are none.
func (p *Problem) Params() *param.Table { return p.params }

// States returns an empty layout.
func (p *Problem) States() *param.Table { return p.states }

// Initial writes the starting values of a parameter tensor: the folder's, where it has them.
func (p *Problem) Initial(seed uint64, e *param.Entry, values []float64) error {
	modules := []transformer.Module{p.encoder}
	for _, o := range p.objectives {
		if h, ok := o.(headed); ok {
			modules = append(modules, h.module())
		}
	}
	return p.folder.Initial(seed, e, values, modules...)
}

// Names lists the objectives.
func (p *Problem) Names() []string { return p.names }

// Groups says that no two objectives share a forward pass.
func (p *Problem) Groups() [][]int {
	groups := make([][]int, len(p.names))
	for i := range groups {
		groups[i] = []int{i}
	}
	return groups
}

// Len returns the number of segments of the pool.
func (p *Problem) Len() int { return p.pool.Len() }

// EncoderCount returns the number of the encoder's parameters, without padding.
func (p *Problem) EncoderCount() int { return p.params.EncoderCount() }

// prepared is what a micro-batch remembers of each objective.
type prepared struct {
	sequences [][]transformer.Sequence
	packed    []*transformer.Packed
	rows      []transformer.Rows // that are read
	labels    []any
	scale     []float64
}

// Prepare builds the batch of a step on the host, in micro parts of equal size: a pure function of the pool's seed, the step and
// the segments. The parts' gradients add up to that of the batch in one piece, but that simcse takes its negatives from a part.
func (p *Problem) Prepare(step uint32, index []int, micro int) ([]*batch.Micro, error) {
	var parts []*batch.Micro
	counts := make([]float64, len(p.objectives))
	// A stream goes on from part to part, so that the parts' masks are those of the batch in one piece.
	streams := make([]*rand.Rand, len(p.objectives))
	for i, name := range p.names {
		streams[i] = batch.Stream(p.pool.Seed, step, name)
	}
	for m := range micro {
		part, d := &batch.Micro{}, &prepared{}
		for i, o := range p.objectives {
			in := &Building{Host: &part.Host, Pool: p.pool, Index: index[m*len(index)/micro : (m+1)*len(index)/micro], Tokenizer: p.tokenizer,
				Options: p.options, Rand: streams[i]}
			labels, n := o.Build(in)
			counts[i] += n
			packed, err := p.encoder.Pack(&part.Host, in.sequences...)
			if err != nil {
				return nil, fmt.Errorf("objective %s: %w", p.names[i], err)
			}
			d.labels, d.packed, d.sequences = append(d.labels, labels), append(d.packed, packed), append(d.sequences, in.sequences)
			d.rows = append(d.rows, packed.PackRows(&part.Host, in.read))
		}
		part.Detail = d
		parts = append(parts, part)
	}
	for _, part := range parts {
		d := part.Detail.(*prepared)
		d.scale = batch.Means(counts)
	}
	return parts, nil
}

// Forward runs the pass and the loss of one objective. value holds one float for each objective of the problem.
func (p *Problem) Forward(t *tape.Tape, g int, part *batch.Micro, d *batch.Device, pass tape.Pass, value gpu.Buffer) []*tape.Loss {
	prep := part.Detail.(*prepared)
	pass = pass.Part(1 + g)
	hidden := p.encoder.Forward(t, prep.packed[g], prep.rows[g], d, pass)
	return []*tape.Loss{p.objectives[g].Loss(&Forward{T: t, Device: d, Pass: pass, Labels: prep.labels[g], Scale: prep.scale[g],
		Value: value.Slice(g, g+1), Hidden: hidden})}
}

// Sparse reports whether the gradient of an objective is zero in the rows of the embeddings that its tokens do not read.
func (p *Problem) Sparse(g int) bool {
	d, ok := p.objectives[g].(decoder)
	return !ok || !d.tied()
}

// Reads returns the rows of the embeddings that an objective's tokens of a batch on the device read, int32, ascending and all
// different.
func (p *Problem) Reads(g int, part *batch.Micro, d *batch.Device) gpu.Buffer {
	return part.Detail.(*prepared).packed[g].Embedded(d)
}

// Describe says what a batch holds.
func (p *Problem) Describe(part *batch.Micro) string {
	sequences := 0
	for _, packed := range part.Detail.(*prepared).packed {
		sequences += packed.Len()
	}
	_, tokens := p.Rows(part)
	return fmt.Sprintf("a batch has %d tokens in %d sequences, none of them padding", tokens, sequences)
}

// Rows returns the rows of a batch, which are its tokens.
func (p *Problem) Rows(part *batch.Micro) (rows []int, tokens int) {
	for _, packed := range part.Detail.(*prepared).packed {
		tokens += packed.Tokens()
	}
	return []int{tokens}, tokens
}
