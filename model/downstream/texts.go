package downstream

import (
	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/text"
	"tapweight/model/transformer"
)

// Texts are texts or pairs of texts as token ids with the tokenizer's special tokens, a sequence each.
type Texts struct {
	ids   []int32
	types []uint8
	ptr   []int
}

// NewTexts turns texts into ids, cut to at most limit tokens each. The second of a pair may be empty; paired says whether there
// are pairs. progress, unless nil, is called from time to time.
func NewTexts(t *text.Tokenizer, texts [][2]string, paired bool, limit int, progress func(done, total int)) *Texts {
	s := &Texts{ptr: []int{0}}
	var a, b []int32
	for i, pair := range texts {
		a = t.Append(a[:0], pair[0])
		var second []int32
		if paired {
			b = t.Append(b[:0], pair[1])
			second = b
			if b == nil {
				second = []int32{}
			}
		}
		s.ids, s.types = t.Wrap(s.ids, s.types, a, second, limit)
		s.ptr = append(s.ptr, len(s.ids))
		if progress != nil && i%1000 == 999 {
			progress(i+1, len(texts))
		}
	}
	return s
}

// Len returns the number of sequences.
func (s *Texts) Len() int { return len(s.ptr) - 1 }

// Tokens returns the number of tokens of all sequences.
func (s *Texts) Tokens() int { return len(s.ids) }

// Sequence returns the i-th sequence.
func (s *Texts) Sequence(i int) transformer.Sequence {
	lo, hi := s.ptr[i], s.ptr[i+1]
	return transformer.Sequence{IDs: s.ids[lo:hi:hi], Types: s.types[lo:hi:hi]}
}

// Transformer is an encoder over texts with the classifier head of its family.
type Transformer struct {
	texts   *Texts
	cfg     transformer.Config
	folder  *transformer.Folder // the weights to start from, or nil
	Encoder *transformer.Encoder
	Head    *transformer.Classifier
}

// NewTransformer returns a network over texts.
func NewTransformer(texts *Texts, cfg transformer.Config, folder *transformer.Folder) *Transformer {
	return &Transformer{texts: texts, cfg: cfg, folder: folder}
}

// Declare adds the encoder and the head.
func (n *Transformer) Declare(params, states *param.Table, outputs int) {
	n.Encoder = transformer.NewEncoder(n.cfg, "encoder", params)
	params.EndEncoder()
	states.EndEncoder()
	n.Head = transformer.NewClassifier(n.cfg, "head", outputs, params)
}

// Initial writes the folder's values; of a head that it does not have, or has with another number of outputs, they are drawn.
func (n *Transformer) Initial(seed uint64, e *param.Entry, values []float64) error {
	return n.folder.Initial(seed, e, values, n.Encoder, n.Head)
}

// Len returns the number of texts.
func (n *Transformer) Len() int { return n.texts.Len() }

// packedTexts are the sequences of a batch and what is made of their rows.
type packedTexts struct {
	*transformer.Packed
	first transformer.Rows
	mean  batch.Sparse
}

// Pack appends the sequences.
func (n *Transformer) Pack(host *batch.Host, index []int, train bool) (any, error) {
	sequences := make([]transformer.Sequence, len(index))
	for k, i := range index {
		sequences[k] = n.texts.Sequence(i)
	}
	p, err := n.cfg.Pack(host, sequences...)
	if err != nil {
		return nil, err
	}
	packed := packedTexts{Packed: p, first: p.PackFirst(host)}
	if !train {
		packed.mean = p.PackMean(host)
	}
	return packed, nil
}

// Embed returns the mean of each text's rows, as sentence-transformers pools; for batches packed without training.
func (n *Transformer) Embed(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var {
	p := packed.(packedTexts)
	hidden := n.Encoder.Forward(t, p.Packed, transformer.Rows{}, d, pass)
	defer t.Done(hidden)
	return t.Aggregate(p.mean.On(d), hidden, nil)
}

// Predict returns the outputs of the head over each text's first token.
func (n *Transformer) Predict(t *tape.Tape, packed any, d *batch.Device, pass tape.Pass) *tape.Var {
	p := packed.(packedTexts)
	return n.Head.Forward(t, n.Encoder.Forward(t, p.Packed, p.first, d, pass), pass)
}

func (n *Transformer) table() *param.Entry { return n.Encoder.Embeddings() }

func (n *Transformer) rows(packed any, d *batch.Device) gpu.Buffer {
	return packed.(packedTexts).Embedded(d)
}
