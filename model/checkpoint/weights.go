package checkpoint

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Weights are the tensors of a Hugging Face folder. Names, types and shapes are known once it is open; values are read when
// they are asked for, straight to where they belong.
type Weights struct {
	Path    string // of the file that was found
	tensors map[string]stored
	files   []*os.File
}

// stored is where a tensor's values lie.
type stored struct {
	file   io.ReaderAt
	dtype  string
	shape  []int
	offset int64 // of the first value, in bytes
	stride []int // in elements; nil for rows without gaps
}

// weightFiles are looked for in this order. An index names the files that hold its tensors.
var weightFiles = []string{"model.safetensors", "model.safetensors" + indexSuffix, "pytorch_model.bin", "pytorch_model.bin" + indexSuffix}

const indexSuffix = ".index.json"

// maxIndex bounds an index and the pickle of an archive, in bytes.
const maxIndex = maxHeader

// OpenWeights opens the weights of a folder: model.safetensors or pytorch_model.bin, in one file or in several with an index.
// Nothing that a file holds is executed.
func OpenWeights(dir string) (*Weights, error) {
	for _, name := range weightFiles {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		w := &Weights{Path: path}
		var err error
		if strings.HasSuffix(name, indexSuffix) {
			err = w.openShards(path)
		} else {
			w.tensors, err = w.open(path)
		}
		if err != nil {
			w.Close()
			return nil, err
		}
		return w, nil
	}
	return nil, fmt.Errorf("%s: no weights; looked for %s", dir, strings.Join(weightFiles, ", "))
}

// open opens one file, of the kind that its name says.
func (w *Weights) open(path string) (map[string]stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	w.files = append(w.files, f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	read := openTorch
	if strings.HasSuffix(path, ".safetensors") {
		read = openSafetensors
	}
	tensors, err := read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, nil
}

// openShards opens the files that an index names.
func (w *Weights) openShards(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	where, err := parseIndex(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w.tensors = map[string]stored{}
	shards := map[string]map[string]stored{}
	for _, name := range slices.Sorted(maps.Keys(where)) {
		file := where[name]
		if shards[file] == nil {
			if shards[file], err = w.open(filepath.Join(filepath.Dir(path), file)); err != nil {
				return err
			}
		}
		t, ok := shards[file][name]
		if !ok {
			return fmt.Errorf("%s: tensor %q is not in %s", path, name, file)
		}
		w.tensors[name] = t
	}
	return nil
}

// parseIndex returns the file of every tensor. Files lie beside the index: a name that leads elsewhere is refused.
func parseIndex(data []byte) (map[string]string, error) {
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("damaged index: %w", err)
	}
	if len(index.Map) == 0 {
		return nil, errors.New("damaged index: no weight_map")
	}
	for name, file := range index.Map {
		if !filepath.IsLocal(file) || filepath.Base(file) != file || file == "." {
			return nil, fmt.Errorf("damaged index: tensor %q in %q, which is no file beside the index", name, file)
		}
	}
	return index.Map, nil
}

// openSafetensors reads the header of a safetensors file.
func openSafetensors(r io.ReaderAt, size int64) (map[string]stored, error) {
	var length [8]byte
	if size < 8 {
		return nil, notSafetensors(size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || n > uint64(size-8) {
		return nil, wrongHeader(n, size)
	}
	head := make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != nil {
		return nil, err
	}
	entries, _, err := parseHeader(head, int(size-8)-int(n))
	if err != nil {
		return nil, err
	}
	tensors := map[string]stored{}
	for name, e := range entries {
		tensors[name] = stored{file: r, dtype: e.DType, shape: e.Shape, offset: 8 + int64(n) + int64(e.Offsets[0])}
	}
	return tensors, nil
}

// legacyMagic begins the files of torch before 1.6: a pickle of a number, and of version 1001.
var legacyMagic = []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.")

// openTorch finds the tensors in a file of torch.save: a zip archive of a pickle and the storages it names, or, before torch
// 1.6, pickles followed by the storages.
func openTorch(r io.ReaderAt, size int64) (map[string]stored, error) {
	start := make([]byte, len(legacyMagic))
	if n, _ := r.ReadAt(start, 0); bytes.Equal(start[:n], legacyMagic) {
		return openLegacy(r, size)
	}
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errors.New("truncated, or not a file of torch.save")
	}
	files := map[string]*zip.File{}
	var program *zip.File
	for _, f := range archive.File {
		files[f.Name] = f
		if f.Name == "data.pkl" || strings.HasSuffix(f.Name, "/data.pkl") {
			program = f
		}
	}
	if program == nil {
		return nil, errors.New("an archive without data.pkl is not a file of torch.save")
	}
	root := strings.TrimSuffix(program.Name, "data.pkl")
	if f := files[root+"byteorder"]; f != nil {
		if order, err := unzip(f); err != nil || string(order) != "little" {
			return nil, fmt.Errorf("byte order %.20q, not little", order)
		}
	}
	code, err := unzip(program)
	if err != nil {
		return nil, err
	}
	top, err := newUnpickler(bytes.NewReader(code)).load()
	if err != nil {
		return nil, err
	}
	return placed(r, top, func(s storage) (int64, error) {
		f := files[root+"data/"+s.key]
		if f == nil {
			return 0, fmt.Errorf("no storage %.40q in the archive", s.key)
		}
		if f.Method != zip.Store || f.UncompressedSize64/uint64(elementBytes[s.dtype]) < uint64(s.n) {
			return 0, fmt.Errorf("storage %.40q is compressed or holds %d bytes, not %d elements of %s", s.key, f.UncompressedSize64, s.n, s.dtype)
		}
		at, err := f.DataOffset()
		if err != nil || at > size || f.UncompressedSize64 > uint64(size-at) {
			return 0, fmt.Errorf("storage %.40q: the archive is truncated", s.key)
		}
		return at, nil
	})
}

// unzip reads a small file of an archive.
func unzip(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", f.Name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = fmt.Errorf("more than %d bytes", maxIndex)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", f.Name, err)
	}
	return data, nil
}

// openLegacy reads the older form: after the number and the version a dictionary about the machine, the tensors, the list of
// storage keys, and for each its number of elements (8 bytes) and the elements.
func openLegacy(r io.ReaderAt, size int64) (map[string]stored, error) {
	u := newUnpickler(io.NewSectionReader(r, 0, size))
	u.n = int64(len(legacyMagic))
	if _, err := u.r.Discard(len(legacyMagic)); err != nil {
		return nil, err
	}
	var parts [3]any
	for i := range parts {
		var err error
		if parts[i], err = u.load(); err != nil {
			return nil, err
		}
	}
	if machine, ok := parts[0].(*dict); !ok || machine.values["little_endian"] != true {
		return nil, errors.New("not little-endian")
	}
	keys, ok := parts[2].(*list)
	if !ok {
		return nil, errors.New("damaged pickle: no list of storages")
	}
	kinds := map[string]storage{}
	if top, ok := parts[1].(*dict); ok {
		for _, v := range top.values {
			if t, ok := v.(pickled); ok {
				kinds[t.key] = t.storage
			}
		}
	}
	at, starts := u.n, map[string]int64{}
	for _, k := range keys.items {
		key, _ := k.(string)
		s, ok := kinds[key]
		if !ok { // of something that is no tensor of the dictionary: where the next one begins is unknown
			return nil, fmt.Errorf("storage %.40q belongs to no tensor", key)
		}
		var n [8]byte
		bytes := int64(s.n) * int64(elementBytes[s.dtype])
		if _, err := r.ReadAt(n[:], at); err != nil || bytes > size-at-8 {
			return nil, fmt.Errorf("storage %.40q: the file is truncated", key)
		}
		if binary.LittleEndian.Uint64(n[:]) != uint64(s.n) {
			return nil, fmt.Errorf("storage %.40q: not the %d elements the pickle says", key, s.n)
		}
		starts[key] = at + 8
		at += 8 + bytes
	}
	return placed(r, parts[1], func(s storage) (int64, error) {
		start, ok := starts[s.key]
		if !ok || kinds[s.key] != s {
			return 0, fmt.Errorf("no storage %.40q in the file", s.key)
		}
		return start, nil
	})
}

// placed gives every tensor of a state dictionary its place in the file. Other values are left out.
func placed(r io.ReaderAt, top any, start func(storage) (int64, error)) (map[string]stored, error) {
	d, ok := top.(*dict)
	if !ok {
		return nil, errors.New("the pickle is no dictionary of tensors")
	}
	tensors := map[string]stored{}
	for name, v := range d.values {
		t, ok := v.(pickled)
		if !ok {
			continue
		}
		at, err := start(t.storage)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		s := stored{file: r, dtype: t.dtype, shape: t.shape, offset: at + int64(t.offset)*int64(elementBytes[t.dtype])}
		if !t.dense() {
			s.stride = t.stride
		}
		tensors[name] = s
	}
	if len(tensors) == 0 {
		var keys []string
		for _, k := range slices.Sorted(maps.Keys(d.values)) {
			keys = append(keys, strconv.Quote(k))
		}
		return nil, fmt.Errorf("no tensors in the dictionary, only %s", some(keys))
	}
	return tensors, nil
}

// dense reports whether the values lie in order without gaps.
func (t *pickled) dense() bool {
	step := 1
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != step {
			return false
		}
		step *= t.shape[i]
	}
	return true
}

// Names lists the tensors in order.
func (w *Weights) Names() []string { return slices.Sorted(maps.Keys(w.tensors)) }

// Shape returns a tensor's shape, and whether there is one of that name.
func (w *Weights) Shape(name string) ([]int, bool) {
	t, ok := w.tensors[name]
	return t.shape, ok
}

// Read reads a tensor of floating-point numbers. row(i) is where the values of the i-th row, which are as many as the last
// dimension, belong.
func (w *Weights) Read(name string, row func(i int) []float64) error {
	t, ok := w.tensors[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", w.Path, name)
	}
	fail := func(err error) error { return fmt.Errorf("%s: tensor %q: %w", w.Path, name, err) }
	decode, ok := decoders[t.dtype]
	if !ok {
		return fail(notWeights(t.dtype))
	}
	rows, cols := rowsOf(t.shape)
	elem := elementBytes[t.dtype]
	if rows*cols == 0 {
		return nil
	}
	if t.stride != nil {
		return t.gather(rows, cols, elem, func(i int, values []byte) { decode(row(i)[:cols], values) }, fail)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(t.file, t.offset, int64(rows)*int64(cols*elem)), 1<<18)
	buf := make([]byte, cols*elem)
	for i := range rows {
		if _, err := io.ReadFull(r, buf); err != nil {
			return fail(err)
		}
		decode(row(i)[:cols], buf)
	}
	return nil
}

// gather reads a view that is not dense, such as a transposed matrix: all that it reaches over, then its elements in order.
func (t *stored) gather(rows, cols, elem int, row func(i int, values []byte), fail func(error) error) error {
	last := 0
	for i, d := range t.shape {
		last += (d - 1) * t.stride[i]
	}
	all := make([]byte, (last+1)*elem)
	if _, err := t.file.ReadAt(all, t.offset); err != nil {
		return fail(err)
	}
	buf := make([]byte, cols*elem)
	step := t.stride[len(t.stride)-1]
	for i := range rows {
		base, rest := 0, i
		for k := len(t.shape) - 2; k >= 0; k-- {
			base += rest % t.shape[k] * t.stride[k]
			rest /= t.shape[k]
		}
		for j := range cols {
			at := (base + j*step) * elem
			copy(buf[j*elem:(j+1)*elem], all[at:at+elem])
		}
		row(i, buf)
	}
	return nil
}

// Close closes the files.
func (w *Weights) Close() {
	for _, f := range w.files {
		f.Close()
	}
	w.files = nil
}
