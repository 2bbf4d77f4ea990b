package gnn

import (
	"slices"

	"tapweight/model/batch"
	"tapweight/model/molecule"
)

// Packed is a stack in a batch.
type Packed struct {
	Stack     *Stack
	atom      batch.Ints // (Rows0, fields) rows of the atom table
	bond      batch.Ints // (codes, bond fields) rows of a bond table
	layers    []batch.Sparse
	mult      []batch.Floats
	self      []batch.Ints   // GAT: the column that is each row's own node
	selfGraph []batch.Sparse // GAT: its matrix, for the transpose
	readout   batch.Sparse
	sharing   Sharing
}

// NodeRows returns the number of rows after the last layer.
func (p *Packed) NodeRows() int { return p.Stack.Layers[len(p.Stack.Layers)-1].Rows }

// Sharing returns how the batch was compressed.
func (p *Packed) Sharing() Sharing { return p.sharing }

// Builder compresses and packs batches for one network. It is not safe for concurrent use.
type Builder struct {
	cfg Config
	c   compressor
}

// NewBuilder returns a builder of batches for the network.
func NewBuilder(cfg Config) *Builder { return &Builder{cfg: cfg} }

// Pack compresses u for the network and appends the result to h.
func (b *Builder) Pack(h *batch.Host, u *Union, sharing Sharing) *Packed {
	return b.PackLayers(h, u, b.cfg.Layers, sharing)
}

// PackLayers is Pack for a network of another depth.
func (b *Builder) PackLayers(h *batch.Host, u *Union, layers int, sharing Sharing) *Packed {
	f := b.cfg.Features
	s := b.c.compress(u, b.cfg, layers, sharing)
	p := &Packed{Stack: s, sharing: sharing}

	rows := make([]int32, len(s.Atom))
	for i := 0; i < len(s.Atom); i += u.Fields {
		f.AtomRows(rows[i:i+u.Fields], s.Atom[i:i+u.Fields])
	}
	p.atom = h.Ints(rows)
	p.bond = h.Ints(bondRows(f))

	for _, l := range s.Layers {
		code := make([]int32, len(l.Code))
		for k, c := range l.Code {
			code[k] = int32(c)
		}
		p.layers = append(p.layers, batch.PackSparse(h, l.Cols, l.RowPtr, l.Col, l.Weight, code, b.cfg.Conv == GAT))
		p.mult = append(p.mult, h.Floats(l.Mult))
		if b.cfg.Conv == GAT {
			self := make([]int32, l.Rows)
			for r := range self {
				self[r] = l.Col[l.RowPtr[r+1]-1]
			}
			p.self = append(p.self, h.Ints(self))
			p.selfGraph = append(p.selfGraph, batch.PackGather(h, l.Cols, self))
		}
	}
	p.readout = packReadout(h, s, b.cfg.Readout)
	return p
}

func bondRows(f molecule.Features) []int32 {
	n := len(f.BondFields)
	rows := make([]int32, f.BondCodes()*n)
	for code := range f.BondCodes() {
		f.BondRows(rows[code*n:(code+1)*n], code)
	}
	return rows
}

// packReadout builds the matrix from node rows to graphs: each distinct row of a graph once, weighted by how many of the
// graph's atoms it stands for.
func packReadout(h *batch.Host, s *Stack, r Readout) batch.Sparse {
	ptr := make([]int32, 1, s.Graphs+1)
	var col []int32
	var weight []float64
	var scratch []int32
	for g := range s.Graphs {
		scratch = append(scratch[:0], s.Row[s.Ptr[g]:s.Ptr[g+1]]...)
		slices.Sort(scratch)
		unit := 1.0
		if r == Mean {
			unit = 1 / float64(len(scratch))
		}
		for i := 0; i < len(scratch); {
			j := i
			for j < len(scratch) && scratch[j] == scratch[i] {
				j++
			}
			col = append(col, scratch[i])
			weight = append(weight, unit*float64(j-i))
			i = j
		}
		ptr = append(ptr, int32(len(col)))
	}
	cols := s.Layers[len(s.Layers)-1].Rows
	return batch.PackSparse(h, cols, ptr, col, weight, nil, false)
}
