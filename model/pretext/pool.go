package pretext

// Pool is the text to pretrain on: segments (sentences or short texts) in order, each of a document.
type Pool struct {
	Seed   uint64
	tokens []int32 // of all segments, without special tokens
	ptr    []int   // first token of each segment
	doc    []int32 // document of each segment
}

// NewPool returns an empty pool.
func NewPool(seed uint64) *Pool { return &Pool{Seed: seed, ptr: []int{0}} }

// Add appends a segment of a document: its token ids. Segments without tokens are left out.
func (p *Pool) Add(doc int32, ids []int32) {
	if len(ids) == 0 {
		return
	}
	p.tokens, p.ptr, p.doc = append(p.tokens, ids...), append(p.ptr, len(p.tokens)+len(ids)), append(p.doc, doc)
}

// Len returns the number of segments.
func (p *Pool) Len() int { return len(p.doc) }

// Tokens returns the number of tokens.
func (p *Pool) Tokens() int { return len(p.tokens) }

// Segment returns the token ids of a segment.
func (p *Pool) Segment(i int) []int32 { return p.tokens[p.ptr[i]:p.ptr[i+1]] }

// Next returns the segment that follows in the same document.
func (p *Pool) Next(i int) (ids []int32, ok bool) {
	if i+1 >= p.Len() || p.doc[i+1] != p.doc[i] {
		return nil, false
	}
	return p.Segment(i + 1), true
}
