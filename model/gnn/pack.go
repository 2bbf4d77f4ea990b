package gnn

import (
	"slices"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/molecule"
	"tapweight/model/tape"
)

// Sparse refers to a sparse matrix and its transpose in a batch.
type Sparse struct {
	rows, cols  int
	ptr, col    batch.Ints
	code        batch.Ints
	weight      batch.Floats
	tptr, tcol  batch.Ints
	tweight     batch.Floats
	nnz         int
	coded, real bool // has codes, has weights
}

// PackSparse appends a CSR matrix and its transpose. weight and code may be nil. With edges true the transpose lists edge
// numbers instead of rows, which is what attention needs.
func PackSparse(h *batch.Host, cols int, ptr, col []int32, weight []float64, code []int32, edges bool) Sparse {
	rows := len(ptr) - 1
	s := Sparse{rows: rows, cols: cols, nnz: len(col), coded: code != nil, real: weight != nil}
	s.ptr, s.col = h.Ints(ptr), h.Ints(col)
	if s.coded {
		s.code = h.Ints(code)
	}
	if s.real {
		s.weight = h.Floats(weight)
	}
	// Counting sort by column; rows stay ascending within a column, which fixes the order of the gradient's sums.
	tptr := make([]int32, cols+1)
	for _, c := range col {
		tptr[c+1]++
	}
	for c := range cols {
		tptr[c+1] += tptr[c]
	}
	next := slices.Clone(tptr[:cols])
	tcol := make([]int32, len(col))
	var tweight []float64
	if s.real {
		tweight = make([]float64, len(col))
	}
	for r := range rows {
		for k := ptr[r]; k < ptr[r+1]; k++ {
			at := next[col[k]]
			next[col[k]]++
			tcol[at] = int32(r)
			if edges {
				tcol[at] = k
			}
			if s.real {
				tweight[at] = weight[k]
			}
		}
	}
	s.tptr, s.tcol = h.Ints(tptr), h.Ints(tcol)
	if s.real {
		s.tweight = h.Floats(tweight)
	}
	return s
}

// PackGather appends the matrix that picks the given rows out of cols rows, with an optional weight each.
func PackGather(h *batch.Host, cols int, rows []int32) Sparse {
	ptr := make([]int32, len(rows)+1)
	for i := range ptr {
		ptr[i] = int32(i)
	}
	return PackSparse(h, cols, ptr, rows, nil, nil, false)
}

// On returns the matrix on the device.
func (s Sparse) On(d *batch.Device) tape.Graph {
	g := tape.Graph{
		A: gpu.CSR{Rows: s.rows, Cols: s.cols, NNZ: s.nnz, RowPtr: d.Ints(s.ptr), Col: d.Ints(s.col)},
		T: gpu.CSR{Rows: s.cols, Cols: s.rows, NNZ: s.nnz, RowPtr: d.Ints(s.tptr), Col: d.Ints(s.tcol)},
	}
	if s.coded {
		g.A.Code = d.Ints(s.code)
	}
	if s.real {
		g.A.Weight, g.T.Weight = d.Floats(s.weight), d.Floats(s.tweight)
	}
	return g
}

// Packed is a stack in a batch.
type Packed struct {
	Stack     *Stack
	atom      batch.Ints // (Rows0, fields) rows of the atom table
	bond      batch.Ints // (codes, bond fields) rows of a bond table
	layers    []Sparse
	mult      []batch.Floats
	self      []batch.Ints // GAT: the column that is each row's own node
	selfGraph []Sparse     // GAT: its matrix, for the transpose
	readout   Sparse
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
		p.layers = append(p.layers, PackSparse(h, l.Cols, l.RowPtr, l.Col, l.Weight, code, b.cfg.Conv == GAT))
		p.mult = append(p.mult, h.Floats(l.Mult))
		if b.cfg.Conv == GAT {
			self := make([]int32, l.Rows)
			for r := range self {
				self[r] = l.Col[l.RowPtr[r+1]-1]
			}
			p.self = append(p.self, h.Ints(self))
			p.selfGraph = append(p.selfGraph, PackGather(h, l.Cols, self))
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
func packReadout(h *batch.Host, s *Stack, r Readout) Sparse {
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
	return PackSparse(h, cols, ptr, col, weight, nil, false)
}
