package transformer

import (
	"fmt"
	"slices"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/tape"
)

// Sequence is a text as the encoder reads it, special tokens included.
type Sequence struct {
	IDs   []int32
	Types []uint8 // of every token; nil for all 0
}

// Packed is a batch of sequences in one stream of tokens, a row each.
type Packed struct {
	// Start[s] is the row of the first token of sequence s, Start[s+1] the one after its last. It must not be changed.
	Start   []int32
	longest int
	fields  int        // tables that a token's embedding is a sum over
	idx     batch.Ints // (tokens, fields) rows of the joint table
	ptr     batch.Ints // Start
	// The transpose of idx: the rows in use, and the tokens that read each.
	distinct, rowPtr, tokens batch.Ints
}

// Pack appends the sequences to a batch. A sequence that the network cannot read is an error.
func (c *Config) Pack(h *batch.Host, sequences ...Sequence) (*Packed, error) {
	p := &Packed{Start: make([]int32, 1, len(sequences)+1), fields: 2}
	if c.Types > 0 {
		p.fields = 3
	}
	var idx []int32
	for i, s := range sequences {
		if err := c.readable(s); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		idx = c.rows(idx, s)
		p.Start = append(p.Start, p.Start[i]+int32(len(s.IDs)))
		p.longest = max(p.longest, len(s.IDs))
	}
	p.idx, p.ptr = h.Ints(idx), h.Ints(p.Start)

	// By row of the table, then by token: the order of the gradient's sums.
	pairs := make([]uint64, len(idx))
	for k, row := range idx {
		pairs[k] = uint64(row)<<32 | uint64(k/p.fields)
	}
	slices.Sort(pairs)
	var distinct, rowPtr []int32
	tokens := make([]int32, len(pairs))
	for k, pair := range pairs {
		if k == 0 || pair>>32 != pairs[k-1]>>32 {
			distinct, rowPtr = append(distinct, int32(pair>>32)), append(rowPtr, int32(k))
		}
		tokens[k] = int32(uint32(pair))
	}
	p.distinct, p.rowPtr, p.tokens = h.Ints(distinct), h.Ints(append(rowPtr, int32(len(pairs)))), h.Ints(tokens)
	return p, nil
}

// readable tells what is wrong with a sequence.
func (c *Config) readable(s Sequence) error {
	switch n := len(s.IDs); {
	case n == 0:
		return fmt.Errorf("no tokens")
	case n > c.Longest():
		return fmt.Errorf("%d tokens; the model has positions for %d", n, c.Longest())
	case s.Types != nil && len(s.Types) != n:
		return fmt.Errorf("%d types for %d tokens", len(s.Types), n)
	}
	for _, id := range s.IDs {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("token %d is not one of the model's %d", id, c.Vocab)
		}
	}
	if c.Types > 0 && s.Types != nil && int(slices.Max(s.Types)) >= c.Types {
		return fmt.Errorf("a token of type %d; the model has %d", slices.Max(s.Types), c.Types)
	}
	return nil
}

// rows appends the rows of the joint table that each token's embedding is the sum of.
func (c *Config) rows(idx []int32, s Sequence) []int32 {
	next := c.firstPosition()
	for i, id := range s.IDs {
		at := next
		if c.family().roberta && int(id) == c.Pad { // padding within a text has the position of padding, and is not counted
			at = c.Pad
		} else {
			next++
		}
		idx = append(idx, id, int32(c.Vocab+at))
		if c.Types > 0 {
			kind := 0
			if s.Types != nil {
				kind = int(s.Types[i])
			}
			idx = append(idx, int32(c.Vocab+c.Positions+kind))
		}
	}
	return idx
}

// Len returns the number of sequences.
func (p *Packed) Len() int { return len(p.Start) - 1 }

// Tokens returns the number of tokens.
func (p *Packed) Tokens() int { return int(p.Start[p.Len()]) }

// Rows are those rows of a batch that are wanted after the last block. The zero value is all of them.
type Rows struct {
	some    bool
	gather  batch.Sparse // picks them
	ptr     batch.Ints   // where those of each sequence begin among them
	longest int          // the largest number of a sequence
}

// PackFirst appends every sequence's first row, that of [CLS].
func (p *Packed) PackFirst(h *batch.Host) Rows { return p.PackRows(h, p.Start[:p.Len()]) }

// PackRows appends the given rows, which ascend.
func (p *Packed) PackRows(h *batch.Host, rows []int32) Rows {
	r := Rows{some: true}
	ptr := make([]int32, p.Len()+1)
	n := 0
	for s := range p.Len() {
		for n < len(rows) && rows[n] < p.Start[s+1] && (n == 0 || rows[n] > rows[n-1]) {
			n++
		}
		ptr[s+1] = int32(n)
		r.longest = max(r.longest, n-int(ptr[s]))
	}
	if n < len(rows) {
		panic(fmt.Sprintf("transformer: row %d of %d, wanted as number %d, does not ascend", rows[n], p.Tokens(), n))
	}
	if n == p.Tokens() {
		return Rows{}
	}
	r.gather, r.ptr = batch.PackGather(h, p.Tokens(), rows), h.Ints(ptr)
	return r
}

// PackMean appends the matrix of every sequence's mean over all its tokens, special ones included, as sentence-transformers pools.
func (p *Packed) PackMean(h *batch.Host) batch.Sparse {
	col, weight := make([]int32, p.Tokens()), make([]float64, p.Tokens())
	for s := range p.Len() {
		lo, hi := p.Start[s], p.Start[s+1]
		for i := lo; i < hi; i++ {
			col[i], weight[i] = i, 1/float64(hi-lo)
		}
	}
	return batch.PackSparse(h, p.Tokens(), p.Start, col, weight, nil, false)
}

// Embedded returns the rows of Encoder.Embeddings that the tokens read, int32, ascending and all different.
func (p *Packed) Embedded(d *batch.Device) gpu.Buffer { return d.Ints(p.distinct) }

func (p *Packed) lookup(d *batch.Device) tape.Lookup {
	n := p.distinct.Len()
	return tape.Lookup{
		Idx: d.Ints(p.idx), Rows: p.Tokens(), Fields: p.fields, Distinct: d.Ints(p.distinct),
		T: gpu.CSR{Rows: n, Cols: p.Tokens(), NNZ: p.tokens.Len(), RowPtr: d.Ints(p.rowPtr), Col: d.Ints(p.tokens)},
	}
}

// sequences are the wanted rows as queries over all rows as keys.
func (p *Packed) sequences(rows Rows, d *batch.Device) tape.Sequences {
	ptr := d.Ints(p.ptr)
	if !rows.some {
		return tape.Sequences{QPtr: ptr, Ptr: ptr, N: p.Len(), LongestQ: p.longest, Longest: p.longest}
	}
	return tape.Sequences{QPtr: d.Ints(rows.ptr), Ptr: ptr, N: p.Len(), LongestQ: rows.longest, Longest: p.longest}
}
