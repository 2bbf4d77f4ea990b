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
	t := Tensor{Name: name, DType: "F32", Shape: shape, Data: make([]byte, 0, elem*len(values))}
	if elem == 8 {
		t.DType = "F64"
	}
	for _, v := range values {
		if elem == 8 {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
		}
	}
	return t
}

// Floats returns the values of an F32 or F64 tensor.
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
	return nil, fmt.Errorf("tensor %q is %s, not F32 or F64", t.Name, t.DType)
}

// FromFlat cuts a flat vector of the table's layout into tensors without padding, as F32 (elem 4) or F64 (elem 8). Each name
// gets the prefix.
func FromFlat(prefix string, table *param.Table, flat []float64, elem int) []Tensor {
	var ts []Tensor
	for _, e := range table.Entries() {
		ts = append(ts, NewTensor(prefix+e.Name, e.Shape, e.Unpad(flat), elem))
	}
	return ts
}

// ToFlat fills a flat vector of the table's layout from the tensors of the same names with the prefix. With keep it reads
// only the entries that keep selects and flat holds its own values in the others. Without keep the file's tensors under the
// prefix must be those of the table and no more. A file that does not fit gives one line that names what is missing,
// unexpected or of another shape, and leaves flat as it was.
func (f *File) ToFlat(prefix string, table *param.Table, flat []float64, keep func(*param.Entry) bool) error {
	var missing, shapes, unexpected []string
	known := map[string]bool{}
	values := map[*param.Entry][]float64{}
	for _, e := range table.Entries() {
		if keep != nil && !keep(e) {
			continue
		}
		name := prefix + e.Name
		known[name] = true
		t, ok := f.Tensors[name]
		switch {
		case !ok:
			missing = append(missing, name)
			continue
		case !slices.Equal(t.Shape, e.Shape):
			shapes = append(shapes, fmt.Sprintf("%s is %v, not %v", name, t.Shape, e.Shape))
			continue
		}
		v, err := t.Floats()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		values[e] = v
	}
	if keep == nil {
		for name := range f.Tensors {
			if strings.HasPrefix(name, prefix) && !known[name] {
				unexpected = append(unexpected, name)
			}
		}
		slices.Sort(unexpected)
	}
	var faults []string
	for _, c := range []struct {
		label string
		names []string
	}{{"missing ", missing}, {"unexpected ", unexpected}, {"", shapes}} {
		if len(c.names) > 0 {
			faults = append(faults, c.label+some(c.names))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: a checkpoint of another architecture: %s", f.Path, strings.Join(faults, "; "))
	}
	for e, v := range values {
		e.Pad(flat, v)
	}
	return nil
}

// some joins the first names of a list and counts the others.
func some(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
