package transformer

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/param"
	"tapweight/model/tape"
)

// network declares an encoder and both heads in one table.
func network(cfg Config, outputs int) (*param.Table, *Encoder, *Classifier, *MaskedLM) {
	p := param.NewTable()
	e := NewEncoder(cfg, "encoder", p)
	p.EndEncoder()
	return p, e, NewClassifier(cfg, "class", outputs, p), NewMaskedLM(e, "mlm", p)
}

// TestSaveOpen: what was written is read again, bit for bit, for every family; names, shapes and config.json are those of
// `transformers`.
func TestSaveOpen(t *testing.T) {
	for _, family := range []string{"bert", "roberta", "distilbert"} {
		for _, kind := range []string{"class", "mlm"} {
			theirs, dir := "testdata/"+family+"-"+kind, t.TempDir()
			cfg := config(t, theirs)
			params, encoder, class, mlm := network(cfg, 3)
			flat := params.Initial(5)
			head := Module(mlm)
			if kind == "class" {
				head = class
			}
			if err := Save(dir, cfg, flat, encoder, head); err != nil {
				t.Fatal(err)
			}
			f, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			got, want := make([]float64, len(flat)), make([]float64, len(flat))
			if err := f.Load(got, encoder, head); err != nil {
				t.Fatal(err)
			}
			for _, m := range []Module{encoder, head} {
				for _, x := range m.tensors() {
					for i := range x.entry.Rows {
						copy(x.entry.Row(want, i), x.entry.Row(flat, i))
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: values have changed", theirs)
			}
			reference, err := Open(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.weights.Names(), reference.weights.Names()) {
				t.Errorf("%s: wrote %v\ntransformers %v", theirs, f.weights.Names(), reference.weights.Names())
			}
			for _, name := range f.weights.Names() {
				a, _ := f.weights.Shape(name)
				b, _ := reference.weights.Shape(name)
				if !slices.Equal(a, b) {
					t.Errorf("%s: %s is %v, of transformers %v", theirs, name, a, b)
				}
			}
			f.Close()
			reference.Close()
			var ours, other map[string]any
			for path, m := range map[string]*map[string]any{dir: &ours, theirs: &other} {
				data, err := os.ReadFile(filepath.Join(path, configFile))
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(data, m); err != nil {
					t.Fatal(err)
				}
			}
			other["dtype"] = "float32"
			for key, v := range other {
				a, _ := json.Marshal(ours[key])
				if b, _ := json.Marshal(v); string(a) != string(b) && key != "problem_type" && v != nil {
					t.Errorf("%s: %s is %s, of transformers %s", theirs, key, a, b)
				}
			}
		}
	}
}

// TestSizes: the networks by name have as many parameters as published, without and with 30 522 tokens.
func TestSizes(t *testing.T) {
	if got := strings.Join(Sizes(), " "); got != "tiny mini minilm small base" {
		t.Errorf("sizes %s", got)
	}
	for size, want := range map[string]int{"base": 108_891_648, "minilm": 22_565_376, "tiny": 4_369_408} {
		cfg, err := ConfigOf(size, 30522, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		p := param.NewTable()
		NewEncoder(cfg, "encoder", p)
		if p.Count() != want {
			t.Errorf("%s: %d parameters, want %d", size, p.Count(), want)
		}
	}
	if cfg, err := ConfigOf("base", 50265, 1, true); err != nil || cfg.Longest() != 512 || cfg.Positions != 514 {
		t.Errorf("%+v: %v", cfg, err)
	}
	if _, err := ConfigOf("huge", 100, 0, false); err == nil || !strings.Contains(err.Error(), `"huge" is not one of tiny, mini`) {
		t.Error(err)
	}
}

// TestInitial: an entry starts from the folder where it has all of it, and is drawn otherwise: the head of another kind, or with
// other classes.
func TestInitial(t *testing.T) {
	for _, c := range []struct {
		dir     string
		outputs int
		absent  []string
	}{
		{"bert-class", 3, nil},
		{"bert-class", 2, []string{"classifier.weight", "classifier.bias"}},
		{"bert-mlm", 3, []string{"pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"}},
	} {
		f, err := Open("testdata/" + c.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		params, encoder, class, _ := network(f.Config, c.outputs)
		drawn, loaded := params.Initial(1), make([]float64, params.Len())
		if err := f.Load(loaded, encoder); err != nil {
			t.Fatal(err)
		}
		for _, m := range []Module{encoder, class} {
			for _, x := range m.tensors() {
				values := make([]float64, x.entry.Len())
				if err := f.Initial(1, x.entry, values, encoder, class); err != nil {
					t.Fatal(err)
				}
				of := func(flat []float64) []float64 { return flat[x.entry.Offset : x.entry.Offset+x.entry.Len()] }
				if m == Module(encoder) && !slices.Equal(values, of(loaded)) {
					t.Errorf("%s: %s is not the folder's", c.dir, x.name)
				}
				if absent := slices.Contains(c.absent, x.name); m == Module(class) && absent != slices.Equal(values, of(drawn)) {
					t.Errorf("%s: %s drawn: %v", c.dir, x.name, !absent)
				}
			}
		}
		none := make([]float64, class.hidden.weight.Len())
		if err := (*Folder)(nil).Initial(1, class.hidden.weight, none, class); err != nil || none[0] != class.hidden.weight.Row(drawn, 0)[0] {
			t.Errorf("without a folder: %v", err)
		}
	}
}

// TestOldNames: layer norms with gamma and beta, as the first conversions from TensorFlow have them, and an encoder under a name
// of its own.
func TestOldNames(t *testing.T) {
	dir := t.TempDir()
	f, err := Open("testdata/bert-mlm")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	params, encoder, _, mlm := network(f.Config, 3)
	want, got := make([]float64, params.Len()), make([]float64, params.Len())
	if err := f.Load(want, encoder, mlm); err != nil {
		t.Fatal(err)
	}
	var ts []checkpoint.Tensor
	for _, m := range []Module{encoder, mlm} {
		for _, x := range m.tensors() {
			name := x.name
			if x.other != "" {
				name = x.other
			}
			if x.base {
				name = "network.text." + name
			}
			ts = append(ts, checkpoint.NewRows(name, x.shape(), func(i int) []float64 { return x.row(want, i) }, 8))
		}
	}
	if err := checkpoint.Write(filepath.Join(dir, "model.safetensors"), ts, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/bert-mlm/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.Load(got, encoder, mlm); err != nil || !slices.Equal(got, want) {
		t.Errorf("other values: %v", err)
	}
}

// TestOpenRefuses: what does not belong together ends in one line with the file and the tensor.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"hidden_size": 12`, `"hidden_size": 24`, "model.safetensors: not the weights that config.json describes: bert.embeddings.word_embeddings.weight is [30 12], not [30 24]"},
		{`"vocab_size": 30`, `"vocab_size": 31`, "bert.embeddings.word_embeddings.weight is [30 12], not [31 12]"},
		{`"num_hidden_layers": 2`, `"num_hidden_layers": 3`, "missing bert.encoder.layer.2.attention.self.query.weight"},
		{`"model_type": "bert"`, `"model_type": "distilbert", "dim": 12, "n_heads": 3`, "missing bert.transformer.layer.0.attention.q_lin.weight"},
		{`"model_type": "bert"`, `"model_type": "gpt2"`, `config.json: model_type "gpt2" is not supported; these are: bert, camembert, distilbert, roberta, xlm-roberta`},
		{`"model_type": "bert"`, `"model": "bert"`, `model_type "" is not supported`},
		{`"model_type": "bert"`, `"model_type": 7`, "model_type is 7, not a string"},
		{`"num_attention_heads": 3`, `"num_attention_heads": 5`, "5 heads do not divide a width of 12"},
		{`"num_attention_heads": 3`, `"num_attention_heads": 0`, "num_attention_heads is 0, not a whole number from 1"},
		{`"num_attention_heads": 3`, `"num_attention_heads": "three"`, `num_attention_heads is "three", not a number`},
		{`"hidden_size": 12`, `"hidden_size": 12.5`, "hidden_size is 12.5, not a whole number"},
		{`"hidden_size": 12`, `"hidden_size": 1e300`, "hidden_size is 1e+300, not a whole number"},
		{`"num_hidden_layers": 2`, `"num_hidden_layers": 90`, "num_hidden_layers is 90, not a whole number from 1 to 83"},
		{`"hidden_act": "gelu"`, `"hidden_act": "silu"`, `hidden_act is "silu", not one of gelu, gelu_fast, gelu_new, gelu_pytorch_tanh, relu`},
		{`"hidden_act": "gelu"`, `"position_embedding_type": "relative_key"`, `position_embedding_type is "relative_key", not "absolute"`},
		{`"hidden_dropout_prob": 0.1`, `"hidden_dropout_prob": 1`, "hidden_dropout_prob is 1, not a probability below 1"},
		{`"layer_norm_eps": 1e-12`, `"layer_norm_eps": -1`, "layer_norm_eps is -1"},
		{`"is_decoder": false`, `"is_decoder": true`, "is_decoder is true, not false"},
		{`"0": "LABEL_0"`, `"7": "LABEL_0"`, "not the name of every class"},
		{`{`, `[`, "config.json: damaged"},
	} {
		dir := filepath.Join(t.TempDir(), "m")
		if err := os.CopyFS(dir, os.DirFS("testdata/bert-class")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, configFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), c.old) {
			t.Fatalf("no %s in config.json", c.old)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(dir)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), dir) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
	cfg := config(t, "testdata/bert-mlm")
	if err := cfg.CheckVocabulary(31); err == nil || cfg.CheckVocabulary(30) != nil || cfg.CheckVocabulary(5) != nil {
		t.Errorf("31 tokens, 30 embeddings: %v", err)
	}
	f, err := Open("testdata/bert-mlm")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	params, _, class, _ := network(f.Config, 3)
	if err := f.Load(make([]float64, params.Len()), class); err == nil || !strings.Contains(err.Error(), "missing bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, classifier.bias") {
		t.Error(err)
	}
}

// FuzzConfig: whatever is taken for a config.json gives a network that can be declared and is written as it was read.
func FuzzConfig(f *testing.F) {
	for _, dir := range []string{"bert-class", "roberta-mlm", "distilbert-mlm"} {
		text, err := os.ReadFile("testdata/" + dir + "/config.json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := parseConfig(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		NewClassifier(cfg, "class", 2, param.NewTable())
		NewMaskedLM(NewEncoder(cfg, "encoder", param.NewTable()), "mlm", param.NewTable())
		text, err := cfg.json("x")
		if err != nil { // two classes of one name
			return
		}
		again, err := parseConfig(text)
		if err != nil {
			t.Fatalf("written again: %v\n%s", err, text)
		}
		cfg.raw, again.raw = nil, nil
		a, _ := json.Marshal(cfg)
		if b, _ := json.Marshal(again); len(cfg.Labels) > 0 && string(a) != string(b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

// TestPack refuses what the network cannot read, and counts RoBERTa's positions from behind the padding token.
func TestPack(t *testing.T) {
	bert, roberta := config(t, "testdata/bert-mlm"), config(t, "testdata/roberta-mlm")
	var h batch.Host
	for want, s := range map[string]Sequence{
		"sequence 1: no tokens":                                 {},
		"sequence 1: 17 tokens; the model has positions for 16": {IDs: make([]int32, 17)},
		"sequence 1: token 30 is not one of the model's 30":     {IDs: []int32{30}},
		"sequence 1: token -1 is not one of the model's 30":     {IDs: []int32{-1}},
		"sequence 1: a token of type 2; the model has 2":        {IDs: []int32{1}, Types: []uint8{2}},
		"sequence 1: 1 types for 2 tokens":                      {IDs: []int32{1, 2}, Types: []uint8{0}},
	} {
		if _, err := bert.Pack(&h, Sequence{IDs: []int32{5}}, s); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	h.Reset()
	p := pack(t, &roberta, &h, []Sequence{{IDs: []int32{0, 9, 1, 9}}, {IDs: []int32{2}}})
	row := func(id, position int32) []int32 { return []int32{id, 30 + position, 46} }
	want := slices.Concat(row(0, 2), row(9, 3), row(1, 1), row(9, 4), row(2, 2))
	if got := h.HostInts(p.idx); !slices.Equal(got, want) || p.Tokens() != 5 || p.Len() != 2 || !slices.Equal(p.Start, []int32{0, 4, 5}) {
		t.Errorf("rows %v, want %v", got, want)
	}
	// The transpose lists every use of every row once, tokens ascending.
	var pairs, uses [][2]int32
	for k, r := range want {
		uses = append(uses, [2]int32{r, int32(k / 3)})
	}
	distinct, ptr, tokens := h.HostInts(p.distinct), h.HostInts(p.rowPtr), h.HostInts(p.tokens)
	for u, r := range distinct {
		for k := ptr[u]; k < ptr[u+1]; k++ {
			pairs = append(pairs, [2]int32{r, tokens[k]})
		}
	}
	slices.SortFunc(uses, func(a, b [2]int32) int { return slices.Compare(a[:], b[:]) })
	if !slices.Equal(pairs, uses) {
		t.Errorf("transpose %v, want %v", pairs, uses)
	}
}

// TestDropout: with dropout everywhere the gradient is that of the function computed, by central differences along a random
// direction; another pass of the same key repeats it and one of the next step does not; the three places of a block and the
// blocks drop independently.
func TestDropout(t *testing.T) {
	in := readInput(t)
	for _, family := range []string{"bert", "roberta", "distilbert"} {
		cfg := config(t, "testdata/"+family+"-class")
		cfg.Dropout, cfg.DropAttend, cfg.DropHead = 0.3, 0.2, 0.4
		r := newRun(t, ref.Open(), cfg)
		head := NewClassifier(cfg, "class", 3, r.params)
		f, err := Open("testdata/" + family + "-class")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		flat := make([]float64, r.params.Len())
		if err := f.Load(flat, r.encoder, head); err != nil {
			t.Fatal(err)
		}
		var h batch.Host
		p := pack(t, &cfg, &h, in.sequences(family))
		first, target := p.PackFirst(&h), h.Ints(in.Classes)
		r.upload(&h)
		loss := func(flat []float64, pass tape.Pass, grads, direction []float64) (value, slope float64) {
			r.tape.Start(r.params.Bind(r.vector(flat)), true)
			logits := head.Forward(r.tape, r.encoder.Forward(r.tape, p, first, r.device, pass), pass)
			at, out := r.vector([]float64{0}), r.vector([]float64{0})
			l := r.tape.SoftmaxCE(logits, r.device.Ints(target), gpu.Buffer{}, 1, at)
			if direction != nil {
				r.tape.Tangent(r.params.Bind(r.vector(direction)), 1, []*tape.Loss{l}, []gpu.Buffer{out})
			}
			g := r.vector(make([]float64, len(flat)))
			r.tape.Backward(r.params.Bind(g), false, tape.Seed{Loss: l})
			copy(grads, r.download(g))
			return r.download(at)[0], r.download(out)[0]
		}
		pass := tape.Pass{Drop: true, Dropout: gpu.Key{Seed: 3, Step: 5, Stream: 7}}
		direction := r.params.Initial(11)
		grads := make([]float64, len(flat))
		value, slope := loss(flat, pass, grads, direction)
		moved := func(eps float64) float64 {
			x := slices.Clone(flat)
			for i := range x {
				x[i] += eps * direction[i]
			}
			v, _ := loss(x, pass, nil, nil)
			return v
		}
		const eps = 1e-4
		want := (8*(moved(eps)-moved(-eps)) - (moved(2*eps) - moved(-2*eps))) / (12 * eps)
		dot := 0.0
		for i := range grads {
			dot += grads[i] * direction[i]
		}
		// Rounding of the loss over the step.
		if tol := 1e-11 / eps * (1 + math.Abs(value)); !(math.Abs(dot-want) <= tol) || !(math.Abs(slope-want) <= tol) {
			t.Errorf("%s: gradient %g, tangent %g, differences %g", family, dot, slope, want)
		}
		if again, _ := loss(flat, pass, nil, nil); again != value {
			t.Errorf("%s: the same key gave %g and %g", family, value, again)
		}
		next, none := pass, pass
		next.Dropout.Step++
		none.Drop = false
		a, _ := loss(flat, next, nil, nil)
		b, _ := loss(flat, none, nil, nil)
		if a == value || b == value || a == b {
			t.Errorf("%s: %g, at the next step %g, without dropout %g", family, value, a, b)
		}
	}
}

// TestStreams: the largest network has a random stream for each place that drops, below those of heads.
func TestStreams(t *testing.T) {
	last := streamBlocks + streamsPerBlock*(maxLayers-1) + 2
	if last >= streamHead || streamHead+1 >= 256 || streamEmbeddings >= streamBlocks {
		t.Errorf("the last block ends at stream %d, heads begin at %d", last, streamHead)
	}
}

// TestMean: a sentence is the mean over all its tokens, also with one token.
func TestMean(t *testing.T) {
	in := readInput(t)
	r := newRun(t, ref.Open(), config(t, "testdata/bert-mlm"))
	load(t, "testdata/bert-mlm", r)
	var h batch.Host
	p := pack(t, &r.encoder.Config, &h, in.sequences("bert"))
	mean := p.PackMean(&h)
	r.upload(&h)
	r.tape.Start(r.params.Bind(r.value), false)
	rows := r.encoder.Forward(r.tape, p, Rows{}, r.device, tape.Pass{})
	all := r.rows(rows.Value)
	got := r.rows(r.tape.Aggregate(mean.On(r.device), rows, nil).Value)
	var want []float64
	for s := range p.Len() {
		for c := range 12 {
			sum := 0.0
			for i := p.Start[s]; i < p.Start[s+1]; i++ {
				sum += all[int(i)*12+c]
			}
			want = append(want, sum/float64(p.Start[s+1]-p.Start[s]))
		}
	}
	r.near("means", got, want, 1e-14)
}
