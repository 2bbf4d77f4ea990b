package checkpoint

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// read returns a tensor's values in order.
func read(w *Weights, name string) ([]float64, error) {
	shape, _ := w.Shape(name)
	cols := 1
	if len(shape) > 0 {
		cols = shape[len(shape)-1]
	}
	var rows [][]float64
	err := w.Read(name, func(i int) []float64 {
		if i != len(rows) {
			panic("rows out of order")
		}
		rows = append(rows, make([]float64, cols))
		return rows[i]
	})
	return slices.Concat(rows...), err
}

// TestOpenWeights reads what torch.save and safetensors wrote, in one file and in several; testdata/make_weights.py made them.
func TestOpenWeights(t *testing.T) {
	shared := make([]float64, 24)
	for i := range shared {
		shared[i] = float64(i)/8 - 1
	}
	var transposed []float64
	for i := range 4 {
		for j := range 6 {
			transposed = append(transposed, shared[4*j+i])
		}
	}
	third := float64(float32(1) / 3) // of the types below, rounded further
	want := map[string]struct {
		shape  []int
		values []float64
	}{
		"single":     {[]int{2, 3}, []float64{0, 0.25, 0.5, 0.75, 1, float64(float32(-1e-30))}},
		"double":     {[]int{2}, []float64{math.Pi, -1e300}},
		"half":       {[]int{5}, []float64{math.Round(third*4096) / 4096, 65504, 0x1p-24, math.Inf(1), math.Copysign(0, -1)}},
		"bfloat":     {[]int{3}, []float64{math.Round(third*512) / 512, 0x1.c4p127, -0x1p-133}},
		"scalar":     {[]int{}, []float64{2.5}},
		"empty":      {[]int{0, 4}, nil},
		"tail":       {[]int{2, 4}, shared[16:]},
		"transposed": {[]int{4, 2, 3}, transposed},
		"every":      {[]int{5}, []float64{shared[1], shared[6], shared[11], shared[16], shared[21]}},
		"parameter":  {[]int{2}, []float64{7, 8}},
	}
	for _, kind := range []string{"single", "sharded", "zip", "legacy", "sharded-zip"} {
		w, err := OpenWeights("testdata/weights/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for name, want := range want {
			shape, _ := w.Shape(name)
			got, err := read(w, name)
			same := func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
			if err != nil || !slices.EqualFunc(got, want.values, same) || !slices.Equal(shape, want.shape) {
				t.Errorf("%s: %s: %v %v, want %v %v (%v)", kind, name, shape, got, want.shape, want.values, err)
			}
		}
		if _, err := read(w, "ids"); err == nil || !strings.Contains(err.Error(), `tensor "ids": I64 is not a type of weights`) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := read(w, "none"); err == nil || len(w.Names()) != len(want)+1 {
			t.Errorf("%s: %v, %v", kind, w.Names(), err)
		}
	}
}

// copyFolder copies testdata/weights/kind to a folder of its own.
func copyFolder(t *testing.T, kind string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), kind)
	if err := os.CopyFS(dir, os.DirFS("testdata/weights/"+kind)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenWeightsRefuses(t *testing.T) {
	const evidence = "/tmp/a-pickle-was-run"
	os.Remove(evidence)
	write := func(name, text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	index := "model.safetensors.index.json"
	for _, c := range []struct {
		kind, want string
		change     func(dir string) error
	}{
		{"evil", `pytorch_model.bin: the pickle at byte 27: it asks for "posix.system", which no tensor is made of; nothing of it was run`, nil},
		{"nested", `no tensors in the dictionary, only "epoch", "state_dict"`, nil},
		{"zip", "no weights; looked for model.safetensors", func(dir string) error { return os.Remove(filepath.Join(dir, "pytorch_model.bin")) }},
		{"zip", "truncated, or not a file of torch.save", write("pytorch_model.bin", "")},
		{"zip", "truncated, or not a file of torch.save", write("pytorch_model.bin", "version https://git-lfs.github.com/spec/v1\n")},
		{"zip", "truncated, or not a file of torch.save", func(dir string) error { return os.Truncate(filepath.Join(dir, "pytorch_model.bin"), 3000) }},
		{"legacy", "the file is truncated", func(dir string) error {
			info, err := os.Stat(filepath.Join(dir, "pytorch_model.bin"))
			return errors.Join(err, os.Truncate(filepath.Join(dir, "pytorch_model.bin"), info.Size()-1))
		}},
		{"single", "the file is truncated", func(dir string) error {
			info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
			return errors.Join(err, os.Truncate(filepath.Join(dir, "model.safetensors"), info.Size()-1))
		}},
		{"single", "not a safetensors file: 3 bytes", write("model.safetensors", "abc")},
		{"single", "a header of 2338616625293650208 bytes", write("model.safetensors", " is not what it says")},
		{"sharded", "model-00002-of-00002.safetensors: no such file", func(dir string) error {
			return os.Remove(filepath.Join(dir, "model-00002-of-00002.safetensors"))
		}},
		{"sharded", "damaged index", write(index, "{")},
		{"sharded", "no weight_map", write(index, "{}")},
		{"sharded", `tensor "a" in "../a", which is no file beside the index`, write(index, `{"weight_map":{"a":"../a"}}`)},
		{"sharded", `tensor "a" is not in model-00001-of-00002.safetensors`, write(index, `{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`)},
	} {
		dir := copyFolder(t, c.kind)
		if c.change != nil {
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
		}
		w, err := OpenWeights(dir)
		if err == nil {
			w.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), dir) && !strings.Contains(err.Error(), "open "+dir) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.kind, err, c.want)
		}
	}
	if _, err := os.Stat(evidence); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pickle was run: %v", err)
	}
}

// TestHalf: every number of 16 bits, by the definition of each of its three kinds.
func TestHalf(t *testing.T) {
	for b := range 1 << 15 {
		e, f := b>>10, float64(b&1023)
		want := (1 + f/1024) * math.Pow(2, float64(e-15))
		switch {
		case e == 0:
			want = f / 1024 * math.Pow(2, -14)
		case e == 31 && f > 0:
			want = math.NaN()
		case e == 31:
			want = math.Inf(1)
		}
		got, negative := half(uint16(b)), half(uint16(b|1<<15))
		if math.IsNaN(want) {
			if !math.IsNaN(got) || !math.IsNaN(negative) {
				t.Errorf("%#x: %g, %g", b, got, negative)
			}
		} else if got != want || negative != -want {
			t.Errorf("%#x: %g, %g, want %g", b, got, negative, want)
		}
	}
}

// FuzzTorch: whatever bytes are taken for a file of torch.save, no tensor lies outside it.
func FuzzTorch(f *testing.F) {
	for _, kind := range []string{"zip", "legacy", "evil", "nested"} {
		data, err := os.ReadFile("testdata/weights/" + kind + "/pytorch_model.bin")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := openTorch(bytes.NewReader(data), int64(len(data)))
		check(t, tensors, err)
	})
}

// FuzzPickle: the same of the pickle alone, over storages that do not exist.
func FuzzPickle(f *testing.F) {
	for _, kind := range []string{"zip", "evil", "nested"} {
		w, err := os.Open("testdata/weights/" + kind + "/pytorch_model.bin")
		if err != nil {
			f.Fatal(err)
		}
		defer w.Close()
		info, err := w.Stat()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(program(f, w, info.Size()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		top, err := newUnpickler(bytes.NewReader(data)).load()
		if err != nil {
			check(t, nil, err)
			return
		}
		file := bytes.NewReader(make([]byte, 1<<16))
		tensors, err := placed(file, top, func(s storage) (int64, error) {
			if s.n > 1<<13 {
				return 0, errors.New("larger than the file")
			}
			return 0, nil
		})
		check(t, tensors, err)
	})
}

// check reads all tensors, or looks at the error.
func check(t *testing.T, tensors map[string]stored, err error) {
	if err != nil {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
		return
	}
	w := &Weights{tensors: tensors}
	for name, s := range tensors {
		if n, err := byteSize(s.dtype, s.shape); err != nil {
			t.Fatal(err)
		} else if n > 1<<20 { // a view with strides of 0 is small in the file and large in memory
			continue
		}
		if _, err := read(w, name); err != nil && !strings.Contains(err.Error(), "is not a type of weights") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzIndex: an index names files beside it or is refused.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors"}}`, `{"weight_map":{"a":"../b"}}`, `{"weight_map":{"a":""}}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		where, err := parseIndex(data)
		if err != nil {
			check(t, nil, err)
			return
		}
		for name, file := range where {
			if filepath.Dir(filepath.Join(dir, file)) != dir {
				t.Errorf("%q in %q", name, file)
			}
		}
	})
}

// program returns the pickle of an archive.
func program(f *testing.F, r *os.File, size int64) []byte {
	f.Helper()
	archive, err := zip.NewReader(r, size)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.File {
		if strings.HasSuffix(file.Name, "data.pkl") {
			data, err := unzip(file)
			if err != nil {
				f.Fatal(err)
			}
			return data
		}
	}
	f.Fatal("no pickle in the archive")
	return nil
}
