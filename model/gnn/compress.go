package gnn

import (
	"math"
	"slices"
)

// Bipartite is one message-passing layer of a batch: rows are the distinct colours after the layer, columns those before.
type Bipartite struct {
	Rows, Cols int
	RowPtr     []int32
	Col        []int32
	Code       []uint8   // bond code of each edge; the last edge of a row is the self loop
	Weight     []float64 // nil for all ones
	Mult       []float64 // (Rows) atoms that share the row
}

// Stack is a batch of graphs with one row per distinct colour and depth.
//
// After l rounds of message passing two atoms have the same row if their neighbourhoods look the same up to depth l
// (Weisfeiler–Leman colours; Bollen et al., arXiv 2304.14793). Layer l therefore maps Layers[l].Cols rows to Layers[l].Rows
// rows, each standing for Mult atoms. Outputs and gradients equal those of the batch with a row per atom.
type Stack struct {
	Graphs, Atoms int
	Atom          []uint8 // (Rows0, fields) features of the first rows
	Rows0         int
	Layers        []Bipartite
	Row           []int32 // (atoms) the row of each atom after the last layer
	Ptr           []int32 // (graphs+1) first atom of each graph
}

// Rows returns the number of rows per depth, the first rows included.
func (s *Stack) Rows() []int {
	rows := []int{s.Rows0}
	for _, l := range s.Layers {
		rows = append(rows, l.Rows)
	}
	return rows
}

// Sharing says where atoms may share rows.
type Sharing uint8

// With dropout between layers atoms of one colour part ways after the first, so only the first rows can be shared.
const (
	ShareAll Sharing = iota
	ShareFirst
	ShareNone
)

// compressor refines colours. Its tables are kept from batch to batch.
type compressor struct {
	slots []int32  // open addressing: row + 1
	hash  []uint64 // of each row
	sig   []uint64 // signature entries, flat
	ptr   []int32  // (rows+1) into sig
	key   []uint64 // signature under construction
}

func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// reset empties the table for up to n rows.
func (c *compressor) reset(n int) {
	size := 16
	for size < 2*n {
		size *= 2
	}
	if len(c.slots) < size {
		c.slots = make([]int32, size)
	} else {
		c.slots = c.slots[:size]
		clear(c.slots)
	}
	c.hash, c.sig = c.hash[:0], c.sig[:0]
	c.ptr = append(c.ptr[:0], 0)
}

// row returns the row of c.key, which becomes a new row unless an equal signature is there already. Signatures are
// compared in full: equal hashes never merge different atoms.
func (c *compressor) row(share bool) int32 {
	h := uint64(len(c.key))
	for _, k := range c.key {
		h = mix(h ^ mix(k))
	}
	mask := uint64(len(c.slots) - 1)
	i := h & mask
	for share && c.slots[i] != 0 {
		r := c.slots[i] - 1
		if c.hash[r] == h && slices.Equal(c.sig[c.ptr[r]:c.ptr[r+1]], c.key) {
			return r
		}
		i = (i + 1) & mask
	}
	r := int32(len(c.hash))
	if share {
		c.slots[i] = r + 1
	}
	c.hash = append(c.hash, h)
	c.sig = append(c.sig, c.key...)
	c.ptr = append(c.ptr, int32(len(c.sig)))
	return r
}

// compress builds the stack of u for a network.
func (c *compressor) compress(u *Union, cfg Config, layers int, sharing Sharing) *Stack {
	n := u.Atoms()
	s := &Stack{Graphs: u.Graphs(), Atoms: n, Ptr: slices.Clone(u.Ptr)}
	colour := make([]int32, n)
	next := make([]int32, n)

	c.reset(n)
	for v := range n {
		c.key = c.key[:0]
		var word uint64
		for f := range u.Fields {
			word = word<<8 | uint64(u.Atom[v*u.Fields+f])
			if f%8 == 7 || f == u.Fields-1 {
				c.key = append(c.key, word)
				word = 0
			}
		}
		colour[v] = c.row(sharing != ShareNone)
		if int(colour[v]) == s.Rows0 {
			s.Rows0++
			s.Atom = append(s.Atom, u.Atom[v*u.Fields:(v+1)*u.Fields]...)
		}
	}

	self := uint64(cfg.Features.SelfLoopCode())
	cols := s.Rows0
	for range layers {
		c.reset(n)
		for v := range n {
			// An edge is (colour, degree, bond): the degree matters to GCN, whose weights see the sender's degree one round
			// before its colour does. The self loop goes last, apart from the sorted neighbours.
			c.key = c.key[:0]
			for k := u.RowPtr[v]; k < u.RowPtr[v+1]; k++ {
				c.key = append(c.key, u.edge(colour, u.Nbr[k], uint64(u.Bond[k]), cfg.Conv))
			}
			sortSmall(c.key)
			c.key = append(c.key, u.edge(colour, int32(v), self, cfg.Conv))
			next[v] = c.row(sharing == ShareAll)
		}
		s.Layers = append(s.Layers, c.layer(cols, next, cfg.Conv))
		cols = s.Layers[len(s.Layers)-1].Rows
		colour, next = next, colour
	}
	s.Row = colour
	return s
}

// edge packs an edge into one word: colour 32 bits, the sender's degree 24 bits (GCN only), bond code 8 bits.
func (u *Union) edge(colour []int32, from int32, bond uint64, conv Conv) uint64 {
	w := uint64(colour[from])<<32 | bond
	if conv == GCN {
		w |= uint64(u.RowPtr[from+1]-u.RowPtr[from]+1) << 8 // with the self loop
	}
	return w
}

// sortSmall is insertion sort: neighbour lists have two to four entries.
func sortSmall(a []uint64) {
	if len(a) > 32 {
		slices.Sort(a)
		return
	}
	for i := 1; i < len(a); i++ {
		for j := i; j > 0 && a[j] < a[j-1]; j-- {
			a[j], a[j-1] = a[j-1], a[j]
		}
	}
}

// layer turns the table of signatures into a bipartite layer.
func (c *compressor) layer(cols int, rowOf []int32, conv Conv) Bipartite {
	rows := len(c.hash)
	l := Bipartite{Rows: rows, Cols: cols, RowPtr: slices.Clone(c.ptr), Mult: make([]float64, rows)}
	for _, r := range rowOf {
		l.Mult[r]++
	}
	l.Col, l.Code = make([]int32, len(c.sig)), make([]uint8, len(c.sig))
	for k, w := range c.sig {
		l.Col[k], l.Code[k] = int32(w>>32), uint8(w)
	}
	if conv != GCN && conv != SAGE {
		return l
	}
	l.Weight = make([]float64, len(c.sig))
	for r := range rows {
		lo, hi := c.ptr[r], c.ptr[r+1]
		deg := float64(hi - lo)
		for k := lo; k < hi; k++ {
			if conv == SAGE {
				l.Weight[k] = 1 / deg
			} else {
				l.Weight[k] = 1 / math.Sqrt(deg*float64(c.sig[k]>>8&0xffffff))
			}
		}
	}
	return l
}
