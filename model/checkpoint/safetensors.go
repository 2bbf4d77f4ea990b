// Package checkpoint reads and writes safetensors files, replaces files atomically and locks run folders.
package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"

	"tapweight/model/param"
)

// Tensor is a named array, little-endian.
type Tensor struct {
	Name  string
	DType string // "F32" or "F64"
	Shape []int
	Data  []byte
}

// File is a safetensors file in memory.
type File struct {
	Path     string
	Tensors  map[string]Tensor
	Metadata map[string]string
}

type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// maxHeader is the format's limit on the JSON header.
const maxHeader = 100 << 20

var elementBytes = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "U16": 2, "U32": 4, "U64": 8}

// Write replaces path by a file of the tensors, in the order given.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	header := map[string]any{}
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	at := 0
	for _, t := range tensors {
		header[t.Name] = entry{t.DType, t.Shape, [2]int{at, at + len(t.Data)}}
		at += len(t.Data)
	}
	head, err := json.Marshal(header) // keys sorted: the same bytes every time
	if err != nil {
		return err
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	return AtomicWrite(path, func(w io.Writer) error {
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))); err != nil {
			return err
		}
		if _, err := w.Write(head); err != nil {
			return err
		}
		for _, t := range tensors {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// Read reads and checks a file.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Path = path
	return f, nil
}

// Parse checks the content of a file: header, types, shapes, and that the tensors cover the data without gap or overlap.
func Parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("not a safetensors file: %d bytes", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("truncated or not a safetensors file: a header of %d bytes in a file of %d", n, len(data))
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &raw); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	body := data[8+n:]
	f := &File{Tensors: map[string]Tensor{}}
	type piece struct {
		name string
		at   [2]int
	}
	var pieces []piece
	for name, msg := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(msg, &f.Metadata); err != nil {
				return nil, fmt.Errorf("safetensors metadata: %w", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(msg, &e); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		size, ok := elementBytes[e.DType]
		if !ok {
			return nil, fmt.Errorf("tensor %q: unknown type %q", name, e.DType)
		}
		for _, d := range e.Shape {
			if d < 0 || d > 0 && size > math.MaxInt/d {
				return nil, fmt.Errorf("tensor %q: shape %v", name, e.Shape)
			}
			size *= d
		}
		if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > len(body) {
			return nil, fmt.Errorf("tensor %q: bytes %v of %d: the file is truncated or damaged", name, e.Offsets, len(body))
		}
		if e.Offsets[1]-e.Offsets[0] != size {
			return nil, fmt.Errorf("tensor %q: shape %v of %s takes %d bytes, the file has %d", name, e.Shape, e.DType, size, e.Offsets[1]-e.Offsets[0])
		}
		pieces = append(pieces, piece{name, e.Offsets})
		f.Tensors[name] = Tensor{name, e.DType, e.Shape, body[e.Offsets[0]:e.Offsets[1]]}
	}
	sort.Slice(pieces, func(i, j int) bool {
		if pieces[i].at != pieces[j].at {
			return pieces[i].at[0] < pieces[j].at[0] || pieces[i].at[0] == pieces[j].at[0] && pieces[i].at[1] < pieces[j].at[1]
		}
		return pieces[i].name < pieces[j].name
	})
	end := 0
	for _, p := range pieces {
		if p.at[0] != end {
			return nil, fmt.Errorf("tensor %q: data begins at byte %d, not %d: gap or overlap", p.name, p.at[0], end)
		}
		end = p.at[1]
	}
	if end != len(body) {
		return nil, fmt.Errorf("%d bytes after the last tensor", len(body)-end)
	}
	return f, nil
}

// Floats returns a float tensor's values.
func (t Tensor) Floats() ([]float64, error) {
	switch t.DType {
	case "F32":
		v := make([]float64, len(t.Data)/4)
		for i := range v {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:])))
		}
		return v, nil
	case "F64":
		v := make([]float64, len(t.Data)/8)
		for i := range v {
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
		}
		return v, nil
	}
	return nil, fmt.Errorf("tensor %q is %s, want F32 or F64", t.Name, t.DType)
}

// NewTensor packs values as F32 (size 4) or F64 (size 8).
func NewTensor(name string, shape []int, values []float64, size int) Tensor {
	t := Tensor{Name: name, DType: "F32", Shape: shape}
	if size == 8 {
		t.DType = "F64"
	}
	for _, v := range values {
		if size == 8 {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
		}
	}
	return t
}

// FromFlat cuts a flat vector into the tensors of its table, names prefixed.
func FromFlat(prefix string, table *param.Table, flat []float64, size int) []Tensor {
	var ts []Tensor
	for _, e := range table.Entries() {
		ts = append(ts, NewTensor(prefix+e.Name, e.Shape, e.Unpad(flat), size))
	}
	return ts
}

// ToFlat fills a flat vector from the tensors of its table. keep selects which entries to read (nil = all); the others keep
// what flat holds. A missing tensor or another shape is an error that names it.
func (f *File) ToFlat(prefix string, table *param.Table, flat []float64, keep func(*param.Entry) bool) error {
	for _, e := range table.Entries() {
		if keep != nil && !keep(e) {
			continue
		}
		t, ok := f.Tensors[prefix+e.Name]
		if !ok {
			return fmt.Errorf("%s: no tensor %q: a checkpoint of another architecture?", f.Path, prefix+e.Name)
		}
		if fmt.Sprint(t.Shape) != fmt.Sprint(e.Shape) {
			return fmt.Errorf("%s: tensor %q has shape %v, the network needs %v: a checkpoint of another architecture", f.Path, prefix+e.Name, t.Shape, e.Shape)
		}
		v, err := t.Floats()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		e.Pad(flat, v)
	}
	return nil
}
