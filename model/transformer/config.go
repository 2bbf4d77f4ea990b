// Package transformer holds post-norm transformer encoders (Devlin 2019; Liu 2019; Sanh 2019), their heads, and the folders in
// which Hugging Face's `transformers` keeps them.
//
//	folder, err := transformer.Open("bert-base-uncased")        // config.json and weights, checked against each other
//	encoder := transformer.NewEncoder(folder.Config, "encoder", params)
//	flat := params.Initial(seed)
//	err = folder.Load(flat, encoder)
//	packed, err := folder.Config.Pack(&host, sequences)         // host: one row per token, no padding
//	first := packed.PackFirst(&host)                            // the rows that are wanted; Rows{} for all
//	rows := encoder.Forward(t, packed, first, device, pass)     // (sequences, C)
//	err = transformer.Save("out", folder.Config, flat, encoder) // opens in `transformers`
package transformer

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/model/param"
)

// Activation is the function between the two maps of a block's feed-forward part.
type Activation uint8

// Activations.
const (
	GELU Activation = iota
	TanhGELU
	ReLU
)

// activations are transformers' names. The three of TanhGELU differ in rounding only.
var activations = map[string]Activation{"gelu": GELU, "gelu_new": TanhGELU, "gelu_pytorch_tanh": TanhGELU, "gelu_fast": TanhGELU, "relu": ReLU}

// Config describes an encoder. [ReadConfig] and [ConfigOf] make one.
type Config struct {
	Family      string // "bert", "roberta", "distilbert", "xlm-roberta" or "camembert": model_type of config.json
	Vocab       int    // tokens
	Width       int    // C
	Layers      int
	Heads       int
	Inner       int // width between the two maps of a block
	Positions   int // rows of the table of positions
	Types       int // token types; DistilBERT has none
	Pad         int // the padding token; RoBERTa counts positions from the one after it
	Activation  Activation
	NormEps     float64
	Dropout     float64 // of embeddings and blocks
	DropAttend  float64 // of attention's probabilities
	DropHead    float64 // before the last map of a classifier
	Untied      bool    // the masked-token head has a decoder of its own instead of the word embeddings
	Labels      []string
	ProblemType string // "regression", "single_label_classification", "multi_label_classification" or ""

	raw map[string]any // config.json as it was, with what else it says
}

// family is what the architectures differ in.
type family struct {
	class   string // prefix of transformers' class names
	base    string // prefix of the encoder's tensors below a head
	roberta bool   // positions from Pad+1 on, and RoBERTa's heads
	// keys of config.json
	width, layers, heads, inner, act, dropout, dropAttend, dropHead string
	types                                                           bool
}

func bertLike(class, base string, roberta bool) *family {
	return &family{class, base, roberta, "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
		"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", true}
}

var families = map[string]*family{
	"bert":        bertLike("Bert", "bert.", false),
	"roberta":     bertLike("Roberta", "roberta.", true),
	"xlm-roberta": bertLike("XLMRoberta", "roberta.", true),
	"camembert":   bertLike("Camembert", "roberta.", true),
	"distilbert": {"DistilBert", "distilbert.", false, "dim", "n_layers", "n_heads", "hidden_dim", "activation",
		"dropout", "attention_dropout", "seq_classif_dropout", false},
}

func (c *Config) family() *family { return families[c.Family] }

func (c *Config) distil() bool { return c.Family == "distilbert" }

// sizes are those of the small BERTs of Turc 2019, of MiniLM (Wang 2020) and of BERT: layers, width, heads.
var sizes = map[string][3]int{"tiny": {2, 128, 2}, "mini": {4, 256, 4}, "small": {4, 512, 8}, "minilm": {6, 384, 12}, "base": {12, 768, 12}}

// Sizes lists the names that [ConfigOf] knows, from the smallest on.
func Sizes() []string {
	names := slices.Collect(maps.Keys(sizes))
	cost := func(name string) int { s := sizes[name]; return s[0] * s[1] * s[1] }
	slices.SortFunc(names, func(a, b string) int { return cost(a) - cost(b) })
	return names
}

// ConfigOf returns a network of a named size for a vocabulary: a RoBERTa with the tokenizer's padding token if roberta, otherwise
// a BERT.
func ConfigOf(size string, vocab, pad int, roberta bool) (Config, error) {
	s, ok := sizes[size]
	if !ok {
		return Config{}, fmt.Errorf("model size %q is not one of %s", size, strings.Join(Sizes(), ", "))
	}
	c := Config{Family: "bert", Vocab: vocab, Layers: s[0], Width: s[1], Heads: s[2], Inner: 4 * s[1], Positions: 512, Types: 2, Pad: pad,
		NormEps: 1e-12, Dropout: 0.1, DropAttend: 0.1, DropHead: 0.1}
	if roberta {
		c.Family, c.Positions, c.Types, c.NormEps = "roberta", 513+pad, 1, 1e-5
	}
	return c, c.check()
}

// ReadConfig reads config.json of a folder.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, configFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := parseConfig(data)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

const configFile = "config.json"

// fields reads values of a config.json; the first that is of the wrong kind stays as the error.
type fields struct {
	raw map[string]any
	err error
}

func (f *fields) fail(key, want string) {
	if f.err == nil {
		text, _ := json.Marshal(f.raw[key]) // it came from JSON
		f.err = fmt.Errorf("%s is %.40s, not %s", key, text, want)
	}
}

func (f *fields) number(key string, otherwise float64) float64 {
	v, there := f.raw[key]
	x, ok := v.(float64)
	if !there || v == nil {
		return otherwise
	} else if !ok {
		f.fail(key, "a number")
	}
	return x
}

// integer reads a whole number between lo and hi.
func (f *fields) integer(key string, otherwise, lo, hi int) int {
	x := f.number(key, float64(otherwise))
	if !(x >= float64(lo) && x <= float64(hi)) || x != math.Trunc(x) {
		f.fail(key, fmt.Sprintf("a whole number from %d to %d", lo, hi))
		return lo
	}
	return int(x)
}

func (f *fields) probability(key string, otherwise float64) float64 {
	p := f.number(key, otherwise)
	if !(p >= 0 && p < 1) {
		f.fail(key, "a probability below 1")
	}
	return p
}

func (f *fields) text(key, otherwise string) string {
	v, there := f.raw[key]
	s, ok := v.(string)
	if !there || v == nil {
		return otherwise
	} else if !ok {
		f.fail(key, "a string")
	}
	return s
}

func (f *fields) flag(key string, otherwise bool) bool {
	v, there := f.raw[key]
	b, ok := v.(bool)
	if !there || v == nil {
		return otherwise
	} else if !ok {
		f.fail(key, "true or false")
	}
	return b
}

// Bounds of what config.json may ask for. Layers have random streams of their own, see Encoder.
const (
	maxVocab     = 1 << 22
	maxWidth     = 1 << 14
	maxPositions = 1 << 16 // of attention
)

// parseConfig reads config.json. Missing values are those that transformers takes.
func parseConfig(data []byte) (Config, error) {
	f := &fields{}
	if err := json.Unmarshal(data, &f.raw); err != nil {
		return Config{}, fmt.Errorf("damaged: %w", err)
	}
	c := Config{Family: f.text("model_type", ""), raw: f.raw}
	kind := families[c.Family]
	if kind == nil {
		if f.err != nil {
			return Config{}, f.err
		}
		return Config{}, fmt.Errorf("model_type %.40q is not supported; these are: %s", c.Family, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
	}
	pad := 0
	if kind.roberta {
		pad = 1
	}
	c.Vocab = f.integer("vocab_size", 30522, 1, maxVocab)
	c.Width = f.integer(kind.width, 768, 1, maxWidth)
	layers := 12
	if c.distil() {
		layers = 6
	}
	c.Layers = f.integer(kind.layers, layers, 1, maxLayers)
	c.Heads = f.integer(kind.heads, 12, 1, maxWidth)
	c.Inner = f.integer(kind.inner, 3072, 1, 8*maxWidth)
	c.Positions = f.integer("max_position_embeddings", 512, 1, maxPositions)
	c.Pad = f.integer("pad_token_id", pad, -1, maxVocab)
	c.NormEps = 1e-12
	if kind.types {
		c.Types = f.integer("type_vocab_size", 2, 1, 256)
		c.NormEps = f.number("layer_norm_eps", 1e-12)
	}
	c.Dropout = f.probability(kind.dropout, 0.1)
	c.DropAttend = f.probability(kind.dropAttend, 0.1)
	head := c.Dropout
	if c.distil() {
		head = 0.2
	}
	c.DropHead = f.probability(kind.dropHead, head)
	c.Untied = !f.flag("tie_word_embeddings", true)
	c.ProblemType = f.text("problem_type", "")
	c.Labels = f.labels()
	act := f.text(kind.act, "gelu")
	var known bool
	if c.Activation, known = activations[act]; !known {
		f.fail(kind.act, "one of "+strings.Join(slices.Sorted(maps.Keys(activations)), ", "))
	}
	if rule := f.text("position_embedding_type", "absolute"); rule != "absolute" {
		f.fail("position_embedding_type", `"absolute", the one that is supported`)
	}
	if f.flag("is_decoder", false) {
		f.fail("is_decoder", "false: decoders are not supported")
	}
	if f.err != nil {
		return Config{}, f.err
	}
	return c, c.check()
}

// labels reads the names of the classes.
func (f *fields) labels() []string {
	v, there := f.raw["id2label"]
	if !there || v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	labels := make([]string, len(m))
	for i := range labels {
		name, isText := m[fmt.Sprint(i)].(string)
		ok = ok && isText
		labels[i] = name
	}
	if !ok {
		f.fail("id2label", "the name of every class from 0 on")
	}
	return labels
}

// check tells what sizes do not go together.
func (c *Config) check() error {
	switch {
	case c.Width%c.Heads != 0:
		return fmt.Errorf("%d heads do not divide a width of %d", c.Heads, c.Width)
	case c.Longest() < 1:
		return fmt.Errorf("%d positions leave none behind the padding token %d", c.Positions, c.Pad)
	case !(c.NormEps > 0 && c.NormEps < 1):
		return fmt.Errorf("layer_norm_eps is %g", c.NormEps)
	case c.Vocab < 1 || c.Vocab > maxVocab:
		return fmt.Errorf("a vocabulary of %d tokens", c.Vocab)
	}
	return nil
}

// Longest is the largest number of tokens of a sequence, special tokens included.
func (c *Config) Longest() int { return c.Positions - c.firstPosition() }

// firstPosition is the row of a sequence's first token in the table of positions.
func (c *Config) firstPosition() int {
	if c.family().roberta {
		return c.Pad + 1
	}
	return 0
}

// CheckVocabulary tells whether a tokenizer of that many tokens fits the word embeddings. There may be more embeddings than tokens.
func (c *Config) CheckVocabulary(tokens int) error {
	if tokens > c.Vocab {
		return fmt.Errorf("the tokenizer has %d tokens, the model embeds %d: they do not belong together", tokens, c.Vocab)
	}
	return nil
}

// json is config.json for transformers' class of that name: what was read, brought up to date.
func (c *Config) json(architecture string) ([]byte, error) {
	kind := c.family()
	m := maps.Clone(c.raw)
	if m == nil {
		m = map[string]any{"initializer_range": param.NormalScale}
	}
	m["architectures"], m["model_type"] = []string{architecture}, c.Family
	m["vocab_size"], m["max_position_embeddings"], m["pad_token_id"] = c.Vocab, c.Positions, c.Pad
	m[kind.width], m[kind.layers], m[kind.heads], m[kind.inner] = c.Width, c.Layers, c.Heads, c.Inner
	m[kind.dropout], m[kind.dropAttend], m[kind.dropHead] = c.Dropout, c.DropAttend, c.DropHead
	if kind.types {
		m["type_vocab_size"], m["layer_norm_eps"] = c.Types, c.NormEps
	}
	if old, _ := m[kind.act].(string); m[kind.act] == nil || activations[old] != c.Activation {
		m[kind.act] = [...]string{"gelu", "gelu_new", "relu"}[c.Activation]
	}
	m["tie_word_embeddings"] = !c.Untied
	// The weights beside it are float32, whatever those were that had been read.
	delete(m, "torch_dtype")
	m["dtype"] = "float32"
	for _, key := range []string{"id2label", "label2id", "num_labels", "problem_type"} {
		delete(m, key)
	}
	if len(c.Labels) > 0 {
		byID, byName := map[string]string{}, map[string]int{}
		for i, name := range c.Labels {
			if _, twice := byName[name]; twice {
				return nil, fmt.Errorf("two classes are called %.80q", name)
			}
			byID[fmt.Sprint(i)], byName[name] = name, i
		}
		m["id2label"], m["label2id"] = byID, byName
		if c.ProblemType != "" {
			m["problem_type"] = c.ProblemType
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
