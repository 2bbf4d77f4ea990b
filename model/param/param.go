// Package param lays the parameters of a network out in one flat vector.
//
// A [Table] lists the tensors: name, shape, offset. Values, gradients, optimiser moments, directions and checkpoints of a
// network are vectors of the same length and layout, so that an optimiser step, a proximal gradient, a perturbation or a
// dot product is one kernel over one vector. Rows of matrices are padded to gpu.RowAlign elements; padding is zero in
// values and gradients and stays zero under every update rule.
//
// The shared encoder is declared first and occupies [0, EncoderLen) in the pretraining and the finetuning network alike,
// which is what couples the two in the proximal term.
package param

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"tapweight/gpu"
)

// Init says how a tensor starts.
type Init uint8

// Initialisations. Uniform is PyTorch's default for linear layers, U(±1/sqrt(fan-in)); Xavier is Glorot 2010's uniform; Normal
// is BERT's, of standard deviation NormalScale.
const (
	Zeros Init = iota
	Ones
	Uniform
	Xavier
	Normal
)

// NormalScale is the standard deviation of Normal.
const NormalScale = 0.02

// Entry is one tensor of a flat vector. A vector has Rows 1.
type Entry struct {
	Name       string
	Shape      []int // as in checkpoints, without padding
	Rows, Cols int
	LD         int // leading dimension in the flat vector
	Offset     int
	Init       Init
	FanIn      int // of Uniform; Cols unless the tensor is a bias
}

// Len returns the elements the entry occupies, with padding.
func (e *Entry) Len() int { return e.Rows * e.LD }

// Mat views the entry inside a flat vector.
func (e *Entry) Mat(flat gpu.Buffer) gpu.Mat {
	return gpu.Mat{Buf: flat.Slice(e.Offset, e.Offset+e.Len()), Rows: e.Rows, Cols: e.Cols, LD: e.LD}
}

// Vector views a one-row entry inside a flat vector.
func (e *Entry) Vector(flat gpu.Buffer) gpu.Buffer { return flat.Slice(e.Offset, e.Offset+e.Cols) }

// Table is the list of tensors of a network.
type Table struct {
	entries []*Entry
	byName  map[string]*Entry
	size    int
	encoder int
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{byName: map[string]*Entry{}} }

func (t *Table) add(e *Entry) *Entry {
	if t.byName[e.Name] != nil {
		panic(fmt.Sprintf("param: %q declared twice", e.Name))
	}
	e.LD, e.Offset = gpu.PadCols(e.Cols), t.size
	t.size += e.Len()
	t.entries = append(t.entries, e)
	t.byName[e.Name] = e
	return e
}

// Matrix declares a rows×cols tensor.
func (t *Table) Matrix(name string, rows, cols int, init Init) *Entry {
	return t.add(&Entry{Name: name, Shape: []int{rows, cols}, Rows: rows, Cols: cols, Init: init, FanIn: cols})
}

// Vector declares a tensor of n elements; fanIn is used by Uniform only.
func (t *Table) Vector(name string, n int, init Init, fanIn int) *Entry {
	return t.add(&Entry{Name: name, Shape: []int{n}, Rows: 1, Cols: n, Init: init, FanIn: fanIn})
}

// Joined views matrices of one width that were declared one after the other as a single matrix, which is not listed in the
// table: an index into it reaches the rows of all of them.
func (t *Table) Joined(entries ...*Entry) *Entry {
	first := entries[0]
	all := &Entry{Name: first.Name, Cols: first.Cols, LD: first.LD, Offset: first.Offset}
	for i, e := range entries {
		if e.Cols != all.Cols || e.Offset != all.Offset+all.Len() || (e.Offset < t.encoder) != (all.Offset < t.encoder) {
			panic(fmt.Sprintf("param: %q cannot be joined to what is before it", e.Name))
		}
		if i > 0 {
			all.Name += "+" + e.Name
		}
		all.Rows += e.Rows
	}
	all.Shape = []int{all.Rows, all.Cols}
	return all
}

// Part views the rows [lo,hi) of a matrix, or the elements of a vector, as a tensor, which is not listed in the table.
func (e *Entry) Part(lo, hi int) *Entry {
	part := *e
	part.Name = fmt.Sprintf("%s[%d:%d]", e.Name, lo, hi)
	if len(e.Shape) == 1 {
		part.Shape, part.Cols, part.LD, part.Offset = []int{hi - lo}, hi-lo, hi-lo, e.Offset+lo
		return &part
	}
	part.Shape, part.Rows, part.Offset = []int{hi - lo, e.Cols}, hi-lo, e.Offset+lo*e.LD
	return &part
}

// EndEncoder marks everything declared so far as the shared encoder.
func (t *Table) EndEncoder() { t.encoder = t.size }

// Len returns the length of the flat vector.
func (t *Table) Len() int { return t.size }

// EncoderLen returns the length of the shared encoder's part.
func (t *Table) EncoderLen() int { return t.encoder }

// Entries lists the tensors in order of their offsets.
func (t *Table) Entries() []*Entry { return t.entries }

// Entry returns the tensor of that name, or nil.
func (t *Table) Entry(name string) *Entry { return t.byName[name] }

// Count returns the number of parameters, without padding.
func (t *Table) Count() int {
	n := 0
	for _, e := range t.entries {
		n += e.Rows * e.Cols
	}
	return n
}

// EncoderCount returns the number of the encoder's parameters, without padding.
func (t *Table) EncoderCount() int {
	n := 0
	for _, e := range t.entries {
		if e.Offset < t.encoder {
			n += e.Rows * e.Cols
		}
	}
	return n
}

// Initial returns the starting values. Each tensor's numbers depend on the seed and on its name only, so that adding an
// objective leaves the rest of the network as it was.
func (t *Table) Initial(seed uint64) []float64 {
	flat := make([]float64, t.size)
	for _, e := range t.entries {
		e.Initial(seed, flat[e.Offset:e.Offset+e.Len()])
	}
	return flat
}

// Initial writes the tensor's starting values, of which Table.Initial is made, to its Len elements.
func (e *Entry) Initial(seed uint64, values []float64) {
	h := fnv.New64a()
	h.Write([]byte(e.Name))
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	for i := range e.Rows {
		for j := range e.Cols {
			// Rounded to float32 so that every backend starts from the same numbers.
			values[i*e.LD+j] = float64(float32(e.draw(rng)))
		}
	}
}

// draw returns the next starting value.
func (e *Entry) draw(rng *rand.Rand) float64 {
	switch e.Init {
	case Ones:
		return 1
	case Uniform:
		return (2*rng.Float64() - 1) * (1 / math.Sqrt(float64(e.FanIn)))
	case Xavier:
		return (2*rng.Float64() - 1) * math.Sqrt(6/float64(e.Rows+e.Cols))
	case Normal:
		return rng.NormFloat64() * NormalScale
	}
	return 0
}

// Row is the i-th row of the entry in a flat vector.
func (e *Entry) Row(flat []float64, i int) []float64 {
	at := e.Offset + i*e.LD
	return flat[at : at+e.Cols]
}

// Unpad copies an entry out of a flat vector without padding; Pad is its inverse.
func (e *Entry) Unpad(flat []float64) []float64 {
	out := make([]float64, 0, e.Rows*e.Cols)
	for i := range e.Rows {
		out = append(out, e.Row(flat, i)...)
	}
	return out
}

// Pad copies unpadded values into a flat vector.
func (e *Entry) Pad(flat, values []float64) {
	for i := range e.Rows {
		copy(e.Row(flat, i), values[i*e.Cols:])
	}
}

// Binding says which flat vectors stand behind the parameters of a table: one for the shared encoder, one for the rest
// (indexed from EncoderLen on). The split lets the gradients of several objectives share the heads' part, because an
// objective touches only its own head.
type Binding struct {
	Encoder, Heads gpu.Buffer
	split          int
	from           int     // where Encoder begins
	rows           gpu.Mat // of the table in front of it
}

// Bind views one full-length vector as a binding.
func (t *Table) Bind(flat gpu.Buffer) Binding {
	return t.BindSplit(flat.Slice(0, t.encoder), flat.Slice(t.encoder, t.size))
}

// BindSplit joins an encoder vector and a heads vector.
func (t *Table) BindSplit(encoder, heads gpu.Buffer) Binding {
	return Binding{Encoder: encoder, Heads: heads, split: t.encoder}
}

// WithRows is b with an Encoder that begins behind a table in front of all parameters, of which rows holds those that are in use. It
// suits the gradients of passes that read the table by look-up only.
func (b Binding) WithRows(table *Entry, rows gpu.Mat) Binding {
	b.from, b.rows = table.Len(), rows
	return b
}

// Rows returns the rows in use of a table of which nothing else is bound, or the zero Mat.
func (b Binding) Rows(e *Entry) gpu.Mat {
	if e.Offset < b.from {
		return b.rows
	}
	return gpu.Mat{}
}

// IsNil reports whether nothing is bound.
func (b Binding) IsNil() bool { return b.Encoder.IsNil() && b.Heads.IsNil() }

// Mat views an entry in the bound vectors; the zero Mat if its part is not bound (a direction that is zero there).
func (b Binding) Mat(e *Entry) gpu.Mat {
	buf, off := b.Encoder, e.Offset-b.from
	if e.Offset >= b.split {
		buf, off = b.Heads, e.Offset-b.split
	}
	if buf.IsNil() {
		return gpu.Mat{}
	}
	return gpu.Mat{Buf: buf.Slice(off, off+e.Len()), Rows: e.Rows, Cols: e.Cols, LD: e.LD}
}
