package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"tapweight/model/param"
)

// NewTensor packs values as F32 (elem 4, rounded) or F64 (elem 8).
func NewTensor(name string, shape []int, values []float64, elem int) Tensor {
	return Tensor{Name: name, DType: floatType(elem), Shape: shape, Data: appendFloats(make([]byte, 0, elem*len(values)), values, elem)}
}

// NewRows is NewTensor of values that are fetched, a row of the last dimension at a time, when the tensor is written.
func NewRows(name string, shape []int, row func(i int) []float64, elem int) Tensor {
	return Tensor{Name: name, DType: floatType(elem), Shape: shape, row: row}
}

func floatType(elem int) string {
	if elem == 8 {
		return "F64"
	}
	return "F32"
}

func appendFloats(dst []byte, values []float64, elem int) []byte {
	for _, v := range values {
		if elem == 8 {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v)))
		}
	}
	return dst
}

// decoders turn little-endian values of each floating-point type into float64.
var decoders = map[string]func(dst []float64, src []byte){
	"F64": func(dst []float64, src []byte) {
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
	},
	"F32": func(dst []float64, src []byte) {
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	},
	"F16": func(dst []float64, src []byte) {
		for i := range dst {
			dst[i] = half(binary.LittleEndian.Uint16(src[2*i:]))
		}
	},
	"BF16": func(dst []float64, src []byte) { // the upper half of a float32
		for i := range dst {
			dst[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16))
		}
	},
}

// half is the value of an IEEE 754 binary16 number: sign, 5 bits of exponent, 10 of fraction.
func half(b uint16) float64 {
	fraction, exponent := float64(b&0x3ff), int(b>>10&31)
	v := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		v = math.Inf(1)
	case exponent == 31:
		v = math.NaN()
	}
	if b>>15 == 1 {
		return -v
	}
	return v
}

// Floats returns the values of a tensor of floating-point numbers.
func (t Tensor) Floats() ([]float64, error) {
	decode, ok := decoders[t.DType]
	if !ok {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, notWeights(t.DType))
	}
	v := make([]float64, len(t.Data)/elementBytes[t.DType])
	decode(v, t.Data)
	return v, nil
}

func notWeights(dtype string) error {
	return fmt.Errorf("%s is not a type of weights, which are F64, F32, F16 or BF16", dtype)
}

// FromFlat cuts a flat vector of the table's layout into tensors without padding, as F32 (elem 4) or F64 (elem 8). Each name
// gets the prefix. The tensors are views of flat.
func FromFlat(prefix string, table *param.Table, flat []float64, elem int) []Tensor {
	return FromVector(prefix, table, func() []float64 { return flat }, elem)
}

// FromVector is FromFlat of a vector that is asked for, again and again, when its tensors are written.
func FromVector(prefix string, table *param.Table, vector func() []float64, elem int) []Tensor {
	var ts []Tensor
	for _, e := range table.Entries() {
		ts = append(ts, NewRows(prefix+e.Name, e.Shape, func(i int) []float64 { return e.Row(vector(), i) }, elem))
	}
	return ts
}

// ToFlat fills a flat vector of the table's layout from the tensors of the same names with the prefix. With keep it reads
// only the entries that keep selects; flat holds its own values in the others. A file that does not fit gives one line that
// names what is missing or of another shape, and leaves flat as it was. Other tensors of the file are not looked at: see
// [File.Only].
func (f *File) ToFlat(prefix string, table *param.Table, flat []float64, keep func(*param.Entry) bool) error {
	var misfits Misfits
	var fits []*param.Entry
	for _, e := range table.Entries() {
		if keep != nil && !keep(e) {
			continue
		}
		t, ok := f.Tensors[prefix+e.Name]
		if ok && decoders[t.DType] == nil {
			return fmt.Errorf("%s: tensor %q: %w", f.Path, t.Name, notWeights(t.DType))
		}
		if misfits.Fits(prefix+e.Name, ok, t.Shape, e.Shape) {
			fits = append(fits, e)
		}
	}
	if len(misfits) > 0 {
		return f.otherArchitecture(misfits.String())
	}
	for _, e := range fits {
		t := f.Tensors[prefix+e.Name]
		row := e.Cols * elementBytes[t.DType]
		for i := range e.Rows {
			decoders[t.DType](e.Row(flat, i), t.Data[i*row:])
		}
	}
	return nil
}

// Misfits collects what tensors of a file are not as a network needs them.
type Misfits []misfit

type misfit struct {
	name    string
	missing bool
	shapes  string
}

// Fits notes a tensor that is missing or of another shape, and reports whether there is nothing to note.
func (m *Misfits) Fits(name string, there bool, shape, want []int) bool {
	switch {
	case !there:
		*m = append(*m, misfit{name: name, missing: true})
	case !slices.Equal(shape, want):
		*m = append(*m, misfit{name: name, shapes: fmt.Sprintf("%s is %v, not %v", name, shape, want)})
	default:
		return true
	}
	return false
}

// String names the first of both kinds in one line.
func (m Misfits) String() string {
	var missing, shapes, parts []string
	for _, x := range m {
		if x.missing {
			missing = append(missing, x.name)
		} else {
			shapes = append(shapes, x.shapes)
		}
	}
	if len(missing) > 0 {
		parts = append(parts, "missing "+some(missing))
	}
	if len(shapes) > 0 {
		parts = append(parts, some(shapes))
	}
	return strings.Join(parts, "; ")
}

// Only checks that every tensor of the file belongs to one of the tables. With ToFlat, which finds what is missing, it tells
// a checkpoint of a deeper network from one of this network.
func (f *File) Only(tables ...*param.Table) error {
	var unexpected []string
	for name := range f.Tensors {
		if !slices.ContainsFunc(tables, func(t *param.Table) bool { return t.Entry(name) != nil }) {
			unexpected = append(unexpected, name)
		}
	}
	if len(unexpected) == 0 {
		return nil
	}
	slices.Sort(unexpected)
	return f.otherArchitecture("unexpected " + some(unexpected))
}

func (f *File) otherArchitecture(why string) error {
	return fmt.Errorf("%s: a checkpoint of another architecture: %s", f.Path, why)
}

// some joins the first names of a list and counts the others.
func some(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
