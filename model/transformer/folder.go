package transformer

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/model/checkpoint"
	"tapweight/model/param"
)

// Module is a part of a network whose parameters have names in Hugging Face's files.
type Module interface {
	// tensors lists them, in the order in which transformers defines them.
	tensors() []tensor
}

// tensor is a tensor of a file: all rows of an entry or a few.
type tensor struct {
	name   string
	other  string // an older name of the same
	base   bool   // it belongs to the encoder, whose names have a prefix below a head
	entry  *param.Entry
	lo, hi int // rows of a matrix, elements of a vector
}

// shape is the tensor's in the file.
func (x tensor) shape() []int {
	s := slices.Clone(x.entry.Shape)
	s[0] = x.hi - x.lo
	return s
}

// row is where the values of its i-th row are in a flat vector.
func (x tensor) row(flat []float64, i int) []float64 {
	return x.within(flat[x.entry.Offset:x.entry.Offset+x.entry.Len()], i)
}

// within is row among the elements of the entry.
func (x tensor) within(values []float64, i int) []float64 {
	at, n := (x.lo+i)*x.entry.LD, x.entry.Cols
	if len(x.entry.Shape) == 1 {
		at, n = x.lo, x.hi-x.lo
	}
	return values[at : at+n]
}

// names collects tensors.
type names []tensor

func (n *names) add(base bool, name, other string, e *param.Entry) {
	*n = append(*n, tensor{name, other, base, e, 0, e.Shape[0]})
}

func (n *names) dense(base bool, name string, d dense) {
	n.add(base, name+".weight", "", d.weight)
	n.add(base, name+".bias", "", d.bias)
}

// norm adds a layer norm; the first BERTs, converted from TensorFlow, call its parameters gamma and beta.
func (n *names) norm(base bool, name string, l norm) {
	n.add(base, name+".weight", name+".gamma", l.gamma)
	n.add(base, name+".bias", name+".beta", l.beta)
}

// blockNames are the names of a layer's parts.
type blockNames struct{ layer, query, key, value, out, attended, up, down, completed string }

var (
	bertBlock = blockNames{"encoder.layer.", ".attention.self.query", ".attention.self.key", ".attention.self.value", ".attention.output.dense",
		".attention.output.LayerNorm", ".intermediate.dense", ".output.dense", ".output.LayerNorm"}
	distilBlock = blockNames{"transformer.layer.", ".attention.q_lin", ".attention.k_lin", ".attention.v_lin", ".attention.out_lin",
		".sa_layer_norm", ".ffn.lin1", ".ffn.lin2", ".output_layer_norm"}
)

const wordName = "embeddings.word_embeddings.weight"

func (e *Encoder) tensors() []tensor {
	var n names
	n.add(true, wordName, "", e.word)
	n.add(true, "embeddings.position_embeddings.weight", "", e.position)
	if e.types != nil {
		n.add(true, "embeddings.token_type_embeddings.weight", "", e.types)
	}
	n.norm(true, "embeddings.LayerNorm", e.embedded)
	names := bertBlock
	if e.distil() {
		names = distilBlock
	}
	for i, b := range e.blocks {
		name := fmt.Sprint(names.layer, i)
		for k, part := range []string{names.query, names.key, names.value} {
			lo, hi := k*e.Width, (k+1)*e.Width
			n = append(n, tensor{name + part + ".weight", "", true, b.qkv.weight, lo, hi}, tensor{name + part + ".bias", "", true, b.qkv.bias, lo, hi})
		}
		n.dense(true, name+names.out, b.out)
		n.norm(true, name+names.attended, b.attended)
		n.dense(true, name+names.up, b.up)
		n.dense(true, name+names.down, b.down)
		n.norm(true, name+names.completed, b.completed)
	}
	return n
}

func (m *Classifier) tensors() []tensor {
	var n names
	switch kind := m.cfg.family(); {
	case kind.roberta:
		n.dense(false, "classifier.dense", m.hidden)
		n.dense(false, "classifier.out_proj", m.out)
	case m.cfg.distil():
		n.dense(false, "pre_classifier", m.hidden)
		n.dense(false, "classifier", m.out)
	default:
		n.dense(true, "pooler.dense", m.hidden)
		n.dense(false, "classifier", m.out)
	}
	return n
}

func (m *MaskedLM) tensors() []tensor {
	layer, norm, decoder, bias := "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder", "cls.predictions.bias"
	switch kind := m.cfg.family(); {
	case kind.roberta:
		layer, norm, decoder, bias = "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"
	case m.cfg.distil():
		layer, norm, decoder, bias = "vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"
	}
	var n names
	n.dense(false, layer, m.layer)
	n.norm(false, norm, m.norm)
	n.add(false, bias, decoder+".bias", m.perToken)
	if m.own {
		n.add(false, decoder+".weight", "", m.decoder)
	}
	return n
}

// Folder is an open Hugging Face folder. Its weights are read when a network is loaded.
type Folder struct {
	Config  Config
	Dir     string
	weights *checkpoint.Weights
	prefix  string // of the encoder's tensors
}

// Open opens a folder and checks that its weights are those of an encoder of its configuration. An error is one line that names
// the file and, of a tensor, its name.
func Open(dir string) (*Folder, error) {
	cfg, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	w, err := checkpoint.OpenWeights(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Config: cfg, Dir: dir, weights: w}
	if err = f.findPrefix(); err == nil {
		_, err = f.places(NewEncoder(cfg, "", param.NewTable()))
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return f, nil
}

// findPrefix finds what is before the names of the encoder's tensors: "bert." and the like below a head, nothing without one.
func (f *Folder) findPrefix() error {
	var found []string
	for _, name := range f.weights.Names() {
		if prefix, ok := strings.CutSuffix(name, wordName); ok && (prefix == "" || strings.HasSuffix(prefix, ".")) {
			found = append(found, prefix)
		}
	}
	usual := f.Config.family().base
	switch {
	case len(found) == 0:
		return fmt.Errorf("%s: no tensor %s%s: these are not the weights of a %s model", f.weights.Path, usual, wordName, f.Config.Family)
	case slices.Contains(found, usual):
		f.prefix = usual
	case len(found) == 1:
		f.prefix = found[0]
	default:
		return fmt.Errorf("%s: several encoders, under %s", f.weights.Path, strings.Join(found, ", "))
	}
	return nil
}

// find returns the name that a tensor has in the file, or would have, and whether it is there.
func (f *Folder) find(x tensor) (at string, there bool) {
	prefix := ""
	if x.base {
		prefix = f.prefix
	}
	for _, at := range []string{prefix + x.name, prefix + x.other} {
		if _, ok := f.weights.Shape(at); ok {
			return at, true
		}
	}
	return prefix + x.name, false
}

// place is a tensor and its name in the file.
type place struct {
	tensor
	at string
}

// places finds all tensors of the modules, of the right shapes.
func (f *Folder) places(modules ...Module) ([]place, error) {
	var all []place
	var misfits checkpoint.Misfits
	for _, m := range modules {
		for _, x := range m.tensors() {
			at, there := f.find(x)
			s, _ := f.weights.Shape(at)
			if misfits.Fits(at, there, s, x.shape()) {
				all = append(all, place{x, at})
			}
		}
	}
	if len(misfits) > 0 {
		return nil, fmt.Errorf("%s: not the weights that %s describes: %s", f.weights.Path, configFile, misfits.String())
	}
	return all, nil
}

// Load fills the modules' part of a flat vector. All their tensors must be there.
func (f *Folder) Load(flat []float64, modules ...Module) error {
	all, err := f.places(modules...)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := f.weights.Read(p.at, func(i int) []float64 { return p.row(flat, i) }); err != nil {
			return err
		}
	}
	return nil
}

// Initial writes the starting values of one entry of the modules to its Len elements: the folder's, or those drawn where it has
// none of that shape: a model without the head, or one with another number of outputs. A nil folder has none.
func (f *Folder) Initial(seed uint64, e *param.Entry, values []float64, modules ...Module) error {
	read := false
	if f != nil {
		for _, m := range modules {
			for _, x := range m.tensors() {
				if x.entry != e {
					continue
				}
				at, there := f.find(x)
				if s, _ := f.weights.Shape(at); !there || !slices.Equal(s, x.shape()) {
					continue
				}
				read = true
				if err := f.weights.Read(at, func(i int) []float64 { return x.within(values, i) }); err != nil {
					return err
				}
			}
		}
	}
	if !read {
		e.Initial(seed, values)
	}
	return nil
}

// Close closes the files.
func (f *Folder) Close() { f.weights.Close() }

// Save writes config.json and model.safetensors of a network to a folder, from a flat vector that holds the modules: an encoder,
// and at most one head. `transformers` opens it with AutoModel, AutoModelForSequenceClassification or AutoModelForMaskedLM.
func Save(dir string, cfg Config, flat []float64, modules ...Module) error {
	class, headed := cfg.family().class+"Model", false
	for _, m := range modules {
		switch m.(type) {
		case *Classifier:
			class, headed = cfg.family().class+"ForSequenceClassification", true
		case *MaskedLM:
			class, headed = cfg.family().class+"ForMaskedLM", true
		}
	}
	text, err := cfg.json(class)
	if err != nil {
		return err
	}
	var ts []checkpoint.Tensor
	for _, m := range modules {
		for _, x := range m.tensors() {
			name := x.name
			if x.base && headed {
				name = cfg.family().base + name
			}
			ts = append(ts, checkpoint.NewRows(name, x.shape(), func(i int) []float64 { return x.row(flat, i) }, 4))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := checkpoint.Write(filepath.Join(dir, "model.safetensors"), ts, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return write(filepath.Join(dir, configFile), text)
}

// Save writes config.json alone.
func (c *Config) Save(dir string) error {
	text, err := c.json(c.family().class + "Model")
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, configFile), text)
}

func write(path string, text []byte) error {
	return checkpoint.AtomicWrite(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
