// Package checkpoint reads and writes safetensors files, replaces files atomically and locks run folders.
//
// A safetensors file is an 8-byte little-endian header length, a JSON header that maps each tensor's name to its type,
// shape and byte range, and the tensors' bytes. Files written here open in the Python library and the other way round.
package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unicode/utf8"
)

// Tensor is a named array: row-major, little-endian, without padding.
type Tensor struct {
	Name  string
	DType string // F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL
	Shape []int  // empty for a scalar
	Data  []byte
	row   func(i int) []float64 // of tensors to be written: where the values are, in place of Data
}

// File is a safetensors file in memory. The tensors share its bytes.
type File struct {
	Path     string
	Tensors  map[string]Tensor
	Metadata map[string]string
}

// entry is a tensor's place in the JSON header. Offsets count from the end of the header.
type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"`
}

const (
	metadataKey = "__metadata__"
	// maxHeader is the limit that the format sets to the JSON header.
	maxHeader = 100_000_000
)

var elementBytes = map[string]int{
	"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}

// byteSize returns how many bytes a tensor's type and shape take.
func byteSize(dtype string, shape []int) (int, error) {
	n, ok := elementBytes[dtype]
	if !ok {
		return 0, fmt.Errorf("unknown type %q", dtype)
	}
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("impossible shape %v", shape)
		}
		n *= d
	}
	return n, nil
}

// Write replaces path atomically by a file of the tensors. Wider types come first, so that every tensor is aligned to its
// elements; among equals the order is the one given. The same arguments give the same bytes.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int { return elementBytes[b.DType] - elementBytes[a.DType] })
	header := map[string]any{}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	at := 0
	for _, t := range tensors {
		fail := func(err error) error { return fmt.Errorf("cannot write %s: tensor %q: %w", path, t.Name, err) }
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return fail(err)
		}
		if t.row == nil && size != len(t.Data) {
			return fail(fmt.Errorf("shape %v of %s takes %d bytes, not %d", t.Shape, t.DType, size, len(t.Data)))
		}
		if header[t.Name] != nil || t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return fail(errors.New("the name is taken, reserved or not UTF-8"))
		}
		header[t.Name] = entry{t.DType, append([]int{}, t.Shape...), []int{at, at + size}}
		at += size
	}
	head, err := json.Marshal(header) // sorts the keys
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
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
			if err := t.write(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// write writes the tensor's bytes.
func (t *Tensor) write(w io.Writer) error {
	if t.row == nil {
		_, err := w.Write(t.Data)
		return err
	}
	rows, cols := rowsOf(t.Shape)
	elem := elementBytes[t.DType]
	var buf []byte
	for i := range rows {
		buf = appendFloats(buf[:0], t.row(i)[:cols], elem)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf cuts a shape into rows of its last dimension.
func rowsOf(shape []int) (rows, cols int) {
	rows, cols = 1, 1
	for i, d := range shape {
		if i < len(shape)-1 {
			rows *= d
		} else {
			cols = d
		}
	}
	return rows, cols
}

// Read reads and checks a file. Errors are one line and name the file and the tensor.
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

// Parse checks the content of a file: its header, the types, shapes and byte ranges of the tensors, and that they cover the
// data without gap or overlap.
func Parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, notSafetensors(int64(len(data)))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, wrongHeader(n, int64(len(data)))
	}
	body := data[8+n:]
	entries, metadata, err := parseHeader(data[8:8+n], len(body))
	if err != nil {
		return nil, err
	}
	f := &File{Tensors: map[string]Tensor{}, Metadata: metadata}
	for name, e := range entries {
		lo, hi := e.Offsets[0], e.Offsets[1]
		f.Tensors[name] = Tensor{Name: name, DType: e.DType, Shape: e.Shape, Data: body[lo:hi:hi]}
	}
	return f, nil
}

func notSafetensors(size int64) error {
	return fmt.Errorf("not a safetensors file: %d bytes", size)
}

func wrongHeader(n uint64, size int64) error {
	return fmt.Errorf("truncated or not a safetensors file: a header of %d bytes in a file of %d", n, size)
}

// parseHeader reads the JSON header of a file with that many bytes of data.
func parseHeader(head []byte, body int) (entries map[string]entry, metadata map[string]string, err error) {
	entries = map[string]entry{}
	var ranges []namedRange
	err = eachEntry(head, func(name string, dec *json.Decoder) error {
		if name == metadataKey {
			if metadata != nil {
				return errors.New("metadata given twice")
			}
			metadata = map[string]string{}
			if err := dec.Decode(&metadata); err != nil {
				return fmt.Errorf("metadata: %w", err)
			}
			return nil
		}
		e, err := readEntry(dec, body)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if _, twice := entries[name]; twice {
			return fmt.Errorf("tensor %q: given twice", name)
		}
		entries[name] = e
		ranges = append(ranges, namedRange{name, e.Offsets[0], e.Offsets[1]})
		return nil
	})
	if err == nil {
		err = checkCover(ranges, body)
	}
	return entries, metadata, err
}

// eachEntry calls read for every key of a JSON object, with the decoder standing before the value.
func eachEntry(head []byte, read func(name string, dec *json.Decoder) error) error {
	if len(head) == 0 || head[0] != '{' || !utf8.Valid(head) {
		return errors.New("not a safetensors file: the header is not a JSON object")
	}
	bad := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("damaged header: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	if _, err := dec.Token(); err != nil {
		return bad(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return bad(err)
		}
		if err := read(key.(string), dec); err != nil { // the decoder takes nothing but strings for keys
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return bad(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("damaged header: text after the JSON object")
	}
	return nil
}

// readEntry reads a tensor's place in the header.
func readEntry(dec *json.Decoder, body int) (entry, error) {
	var e entry
	if err := dec.Decode(&e); err != nil {
		return e, fmt.Errorf("damaged header: %w", err)
	}
	size, err := byteSize(e.DType, e.Shape)
	if err != nil {
		return e, err
	}
	if e.Shape == nil || len(e.Offsets) != 2 {
		return e, errors.New("no shape or data_offsets in the header")
	}
	lo, hi := e.Offsets[0], e.Offsets[1]
	if lo < 0 || hi < lo {
		return e, fmt.Errorf("impossible data_offsets %v", e.Offsets)
	}
	if hi > body {
		return e, fmt.Errorf("its data end at byte %d of %d: the file is truncated", hi, body)
	}
	if hi-lo != size {
		return e, fmt.Errorf("shape %v of %s takes %d bytes, the file has %d", e.Shape, e.DType, size, hi-lo)
	}
	return e, nil
}

// namedRange is where a tensor's data lie: bytes [lo, hi).
type namedRange struct {
	name   string
	lo, hi int
}

// checkCover checks that the tensors' data follow one another and fill n bytes.
func checkCover(ranges []namedRange, n int) error {
	slices.SortFunc(ranges, func(a, b namedRange) int {
		if a.lo != b.lo {
			return a.lo - b.lo
		}
		return a.hi - b.hi // empty tensors before the one that begins at the same byte
	})
	end := 0
	for _, r := range ranges {
		switch {
		case r.lo > end:
			return fmt.Errorf("tensor %q: %d bytes before its data belong to no tensor", r.name, r.lo-end)
		case r.lo < end:
			return fmt.Errorf("tensor %q: its data overlap another tensor's by %d bytes", r.name, end-r.lo)
		}
		end = r.hi
	}
	if end != n {
		return fmt.Errorf("%d bytes after the last tensor", n-end)
	}
	return nil
}
