package checkpoint

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapweight/model/param"
)

// TestReadPython reads a file of the Python library; testdata/make_golden.py made it.
func TestReadPython(t *testing.T) {
	f, err := Read("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		shape  []int
		values []float64
	}{
		"f32":      {[]int{2, 3}, []float64{0, 0.25, 0.5, 0.75, 1, 1.25}},
		"f64":      {[]int{2}, []float64{math.Pi, -1e300}},
		"scalar":   {[]int{}, []float64{2.5}},
		"empty":    {[]int{0, 4}, []float64{}},
		"λ.weight": {[]int{1}, []float64{1}},
	} {
		got, err := f.Tensors[name].Floats()
		if err != nil || !slices.Equal(got, want.values) || !slices.Equal(f.Tensors[name].Shape, want.shape) {
			t.Errorf("%s: %v %v, want %v %v (%v)", name, f.Tensors[name].Shape, got, want.shape, want.values, err)
		}
	}
	if v := f.Tensors["i64"].Data; int64(binary.LittleEndian.Uint64(v)) != -(1<<62) || len(v) != 16 {
		t.Errorf("i64: % x", v)
	}
	if v := f.Tensors["i32"]; v.DType != "I32" || int32(binary.LittleEndian.Uint32(v.Data)) != -5 {
		t.Errorf("i32: %+v", v)
	}
	if v := f.Tensors["u8"]; v.DType != "U8" || !slices.Equal(v.Data, []byte{0, 255, 3}) {
		t.Errorf("u8: %+v", v)
	}
	if _, err := f.Tensors["u8"].Floats(); err == nil {
		t.Error("U8 read as floats")
	}
	if f.Metadata["note"] != "γ‖ω−θ‖²" || len(f.Metadata) != 2 || len(f.Tensors) != 8 {
		t.Errorf("metadata %v, %d tensors", f.Metadata, len(f.Tensors))
	}
}

func TestWriteRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	tensors := []Tensor{
		{Name: "bytes", DType: "U8", Shape: []int{3}, Data: []byte{1, 2, 3}},
		NewTensor("single", []int{1, 3}, []float64{1, 0.1, math.Inf(-1)}, 4),
		NewTensor("<scalar>", nil, []float64{math.Copysign(0, -1)}, 8),
		NewTensor("double", []int{2}, []float64{0.1, math.SmallestNonzeroFloat64}, 8),
		NewTensor("none", []int{0}, nil, 4),
	}
	var first []byte
	for range 5 {
		if err := Write(path, tensors, map[string]string{"a": "1", "b": "2"}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if !slices.Equal(first, data) {
			t.Fatal("the same tensors gave other bytes")
		}
	}
	head := binary.LittleEndian.Uint64(first)
	if head%8 != 0 {
		t.Errorf("a header of %d bytes leaves the data unaligned", head)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	base := 8 + int(head)
	for _, want := range tensors {
		got := f.Tensors[want.Name]
		if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: wrote %+v, read %+v", want.Name, want, got)
		}
		if len(got.Data) > 0 {
			if at := strings.Index(string(first[base:]), string(got.Data)); at%elementBytes[got.DType] != 0 {
				t.Errorf("%s: unaligned at byte %d", want.Name, at)
			}
		}
	}
	if f.Metadata["b"] != "2" {
		t.Errorf("metadata %v", f.Metadata)
	}
}

func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	for name, ts := range map[string][]Tensor{
		"twice":       {NewTensor("x", nil, []float64{1}, 4), NewTensor("x", nil, []float64{1}, 4)},
		"reserved":    {NewTensor(metadataKey, nil, []float64{1}, 4)},
		"not UTF-8":   {NewTensor("\xff", nil, []float64{1}, 4)},
		"shape":       {NewTensor("x", []int{3}, []float64{1}, 4)},
		"negative":    {NewTensor("x", []int{-1}, nil, 4)},
		"type":        {{Name: "x", DType: "F8", Shape: []int{1}, Data: []byte{1}}},
		"overflowing": {{Name: "x", DType: "F32", Shape: []int{math.MaxInt, 2}}},
	} {
		err := Write(path, ts, nil)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "tensor \"") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused file was written")
	}
}

// build joins a header and data into the content of a file.
func build(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// damaged lists contents that must be refused, with a part of the message.
var damaged = []struct {
	name, want string
	data       []byte
}{
	{"empty", "not a safetensors file", nil},
	{"short", "not a safetensors file: 7 bytes", make([]byte, 7)},
	{"header too long", "a header of 99 bytes in a file of 10", append(binary.LittleEndian.AppendUint64(nil, 99), '{', '}')},
	{"header length overflows", "truncated or not", []byte{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}},
	{"no header", "not a JSON object", build("", 0)},
	{"array", "not a JSON object", build("[]", 0)},
	{"null", "not a JSON object", build("null", 0)},
	{"not UTF-8", "not a JSON object", build("{\"\xff\":1}", 0)},
	{"cut JSON", "damaged header", build(`{"a":`, 0)},
	{"cut JSON after an entry", "damaged header", build(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 4)},
	{"text after the object", "after the JSON object", build(`{} x`, 0)},
	{"metadata of numbers", "metadata", build(`{"__metadata__":{"a":1}}`, 0)},
	{"metadata twice", "metadata given twice", build(`{"__metadata__":{},"__metadata__":{}}`, 0)},
	{"null entry", `tensor "a": unknown type`, build(`{"a":null}`, 0)},
	{"number for an entry", `tensor "a"`, build(`{"a":3}`, 0)},
	{"type", `tensor "a": unknown type "F7"`, build(`{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}`, 4)},
	{"no shape", `tensor "a": no shape`, build(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4)},
	{"three offsets", `tensor "a": no shape or data_offsets`, build(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, 4)},
	{"negative shape", `tensor "a": impossible shape`, build(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4)},
	{"overflowing shape", `tensor "a": impossible shape`, build(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0)},
	{"fractional shape", `tensor "a": damaged header`, build(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4)},
	{"offsets reversed", `tensor "a": impossible data_offsets`, build(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}`, 4)},
	{"negative offset", `tensor "a": impossible data_offsets`, build(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4)},
	{"truncated data", `tensor "a": its data end at byte 8 of 6`, build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 6)},
	{"size", `tensor "a": shape [2] of F32 takes 8 bytes, the file has 4`, build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4)},
	{"gap", `tensor "b": 2 bytes before`, build(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}`, 4)},
	{"overlap", `tensor "b": its data overlap`, build(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 4)},
	{"twice", `tensor "a": given twice`, build(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
	{"rest", "1 bytes after the last tensor", build(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2)},
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range damaged {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestReadTruncated cuts a good file at every byte: never a file, never a panic.
func TestReadTruncated(t *testing.T) {
	data, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := Parse(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken for a whole file", n, len(data))
		}
	}
}

func table(layers int) *param.Table {
	t := param.NewTable()
	for i := range layers {
		t.Matrix("layers."+string(rune('0'+i))+".weight", 3, 5, param.Xavier)
		t.Vector("layers."+string(rune('0'+i))+".bias", 5, param.Uniform, 3)
	}
	t.EndEncoder()
	t.Matrix("head.weight", 1, 5, param.Uniform)
	return t
}

func TestFlat(t *testing.T) {
	tab := table(2)
	flat := tab.Initial(7)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	for _, elem := range []int{4, 8} { // initial values are float32 numbers: both types hold them exactly
		if err := Write(path, append(FromFlat("theta.", tab, flat, elem), FromFlat("omega.", tab, tab.Initial(8), elem)...), nil); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, tab.Len())
		if err := f.ToFlat("theta.", tab, got, nil); err != nil || !slices.Equal(got, flat) {
			t.Errorf("elements of %d bytes: %v", elem, err)
		}
		if shape := f.Tensors["theta.layers.0.weight"].Shape; !slices.Equal(shape, []int{3, 5}) {
			t.Errorf("shape %v holds the padding", shape)
		}

		// The encoder alone; the head keeps its own values.
		other := table(2)
		own := other.Initial(9)
		mixed := slices.Clone(own)
		if err := f.ToFlat("theta.", other, mixed, func(e *param.Entry) bool { return e.Offset < other.EncoderLen() }); err != nil {
			t.Fatal(err)
		}
		n := other.EncoderLen()
		if !slices.Equal(mixed[:n], flat[:n]) || !slices.Equal(mixed[n:], own[n:]) {
			t.Errorf("elements of %d bytes: encoder and head are mixed up", elem)
		}
	}
}

func TestOtherArchitecture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	two := table(2)
	if err := Write(path, FromFlat("", two, two.Initial(1), 4), nil); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	wide := param.NewTable()
	wide.Matrix("layers.0.weight", 3, 6, param.Xavier)
	for want, tab := range map[string]*param.Table{
		"missing layers.2.weight, layers.2.bias":                table(3),
		"layers.0.weight is [3 5], not [3 6]":                   wide,
		"missing layers.2.weight, layers.2.bias, layers.3.weig": table(6),
		"and 4 more": table(6),
	} {
		flat := make([]float64, tab.Len())
		err := f.ToFlat("", tab, flat, nil)
		if err == nil || !strings.Contains(err.Error(), path+": a checkpoint of another architecture") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if slices.ContainsFunc(flat, func(v float64) bool { return v != 0 }) {
			t.Errorf("%q: the vector was changed", want)
		}
	}
	if err := f.Only(table(1)); err == nil || !strings.HasSuffix(err.Error(), "another architecture: unexpected layers.1.bias, layers.1.weight") {
		t.Errorf("%v", err)
	}
	if err := f.Only(table(1), two); err != nil {
		t.Error(err)
	}
	if err := f.ToFlat("", table(1), make([]float64, table(1).Len()), nil); err != nil {
		t.Errorf("one of two tables in a file: %v", err)
	}
	if err := (&File{Tensors: map[string]Tensor{"layers.0.weight": {DType: "U8", Shape: []int{3, 6}}}}).ToFlat("", wide, make([]float64, wide.Len()), nil); err == nil {
		t.Error("bytes taken for floats")
	}
}

func FuzzRead(f *testing.F) {
	good, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, c := range damaged {
		f.Add(c.data)
	}
	path := filepath.Join(f.TempDir(), "again.safetensors")
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		// Whatever is taken for a file holds as many bytes as its shapes say and survives being written again.
		var ts []Tensor
		for name, x := range file.Tensors {
			if n, err := byteSize(x.DType, x.Shape); err != nil || n != len(x.Data) || name != x.Name {
				t.Fatalf("%q: %s %v with %d bytes: %v", name, x.DType, x.Shape, len(x.Data), err)
			}
			ts = append(ts, x)
		}
		if err := Write(path, ts, file.Metadata); err != nil {
			t.Fatal(err)
		}
		again, err := Read(path)
		if err != nil || len(again.Tensors) != len(file.Tensors) {
			t.Fatalf("written again: %d of %d tensors, %v", len(again.Tensors), len(file.Tensors), err)
		}
	})
}
