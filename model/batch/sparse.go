package batch

import (
	"slices"

	"tapweight/gpu"
	"tapweight/model/tape"
)

// Sparse refers to a sparse matrix and its transpose in a batch.
type Sparse struct {
	rows, cols  int
	ptr, col    Ints
	code        Ints
	weight      Floats
	tptr, tcol  Ints
	tweight     Floats
	nnz         int
	coded, real bool // has codes, has weights
}

// PackSparse appends a CSR matrix and its transpose. weight and code may be nil. With edges true the transpose lists edge
// numbers instead of rows, which is what attention needs.
func PackSparse(h *Host, cols int, ptr, col []int32, weight []float64, code []int32, edges bool) Sparse {
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

// PackGather appends the matrix that picks the given rows out of cols rows.
func PackGather(h *Host, cols int, rows []int32) Sparse {
	ptr := make([]int32, len(rows)+1)
	for i := range ptr {
		ptr[i] = int32(i)
	}
	return PackSparse(h, cols, ptr, rows, nil, nil, false)
}

// On returns the matrix on the device.
func (s Sparse) On(d *Device) tape.Graph {
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
