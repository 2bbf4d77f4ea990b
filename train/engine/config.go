// Package engine runs TapWeight from a configuration: it prepares data and networks, drives the three levels, retrains from
// what was learned, and leaves a run folder that can be resumed, evaluated and used for prediction.
package engine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tapweight/gpu"
	"tapweight/model/transformer"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/metric"
	"tapweight/train/optim"
)

// Config is everything a run depends on. The keys of the YAML file are the flags of `tapweight run`. A zero in a field that
// a preset sets means the preset's value.
type Config struct {
	Dataset     string   `yaml:"dataset" group:"data" usage:"task: demo, demo-text, a name of MoleculeNet or GLUE (see 'tapweight data list') or a CSV, TSV or JSONL file"`
	Data        string   `yaml:"data" group:"data" usage:"folder of the MoleculeNet or GLUE files (default $TAPWEIGHT_DATA)"`
	SMILES      string   `yaml:"smiles" group:"data" usage:"name of the SMILES column"`
	Text        []string `yaml:"text" group:"data" usage:"name of the text column, or of the two of a pair: the dataset is one of texts"`
	Labels      []string `yaml:"labels" group:"data" usage:"names of the label columns, or * for all others"`
	Task        string   `yaml:"task" group:"data" usage:"auto, regression, classification (columns of 0 and 1) or multiclass (one column of classes)"`
	Metric      string   `yaml:"metric" group:"data" usage:"rmse, mae, pearson, spearman; roc-auc, accuracy, f1, matthews; several joined by commas, of which the first decides (default: by task)"`
	Split       string   `yaml:"split" group:"data" usage:"scaffold, random-scaffold, balanced-scaffold, random, group, holdout, column or files (default: the last four where given, else scaffold of molecules, random of texts)"`
	SplitColumn string   `yaml:"split-column" group:"data" usage:"column of the dataset with train, valid or test"`
	GroupColumn string   `yaml:"group-column" group:"data" usage:"column whose equal values stay in one part of the split (texts)"`
	ValidFile   string   `yaml:"valid-file" group:"data" usage:"file of the validation part; the dataset is then the training part, and test-file is needed too"`
	TestFile    string   `yaml:"test-file" group:"data" usage:"file of the test part; alone, the dataset is split 8:1 to train and validate"`
	Features    string   `yaml:"features" group:"data" usage:"hu (2 atom and 2 bond fields) or ogb (9 and 3)"`
	OnInvalid   string   `yaml:"on-invalid" group:"data" usage:"skip or fail when RDKit refuses a molecule"`
	Pool        string   `yaml:"pool" group:"data" usage:"what to pretrain on: demo (molecules), task (the training split), a file (.smi, .csv; .txt, .csv, .jsonl), or for texts task,FILE (default: demo for molecules; for texts the unlabelled ones of the dataset, or task)"`
	PoolLimit   int      `yaml:"pool-limit" group:"data" usage:"use at most this many molecules or segments of a pool, spread evenly over the file (0 = all)"`
	Cache       string   `yaml:"cache" group:"data" usage:"folder of the featurised molecules (default: the user's cache folder)"`

	Preset   string  `yaml:"preset" group:"network" usage:"size of a graph network: nano (3×32), tiny (3×64), small (5×128) or paper (5×300) (default: tiny)"`
	Network  string  `yaml:"network" group:"network" usage:"gin, gcn, sage or gat"`
	Layers   int     `yaml:"layers" group:"network" usage:"layers (0 = preset, or the size of a text model)"`
	Width    int     `yaml:"width" group:"network" usage:"channels (0 = preset, or the size of a text model)"`
	Norm     string  `yaml:"norm" group:"network" usage:"batch or layer"`
	Readout  string  `yaml:"readout" group:"network" usage:"mean, sum or max"`
	Head     string  `yaml:"head" group:"network" usage:"linear or mlp"`
	Dropout  float64 `yaml:"dropout" group:"network" usage:"dropout; of a graph network after each layer, where it limits compression to the first layer (default: 0 for graph networks, the model's own for texts)"`
	Compress bool    `yaml:"compress" group:"network" usage:"compute one row per distinct neighbourhood instead of one per atom (same results)"`
	Init     string  `yaml:"init" group:"network" usage:"encoder to start from: encoder.safetensors of another run"`

	Model      string `yaml:"model" group:"text" usage:"Hugging Face folder to start from, or a size to train from scratch: tiny, mini, minilm, small or base (default: tiny)"`
	Tokenizer  string `yaml:"tokenizer" group:"text" usage:"folder with the tokenizer of a model from scratch (default: made from the pool)"`
	Vocabulary int    `yaml:"vocabulary" group:"text" usage:"tokens of a vocabulary made from the pool"`
	MaxTokens  int    `yaml:"max-tokens" group:"text" usage:"tokens of a text at most; longer ones are cut"`
	WholeWords bool   `yaml:"whole-words" group:"text" usage:"objective mlm masks whole words"`
	SwapHalves bool   `yaml:"swap-halves" group:"text" usage:"objective sop swaps the halves of a sentence, as the reference does, instead of two consecutive sentences"`

	Objectives []string `yaml:"objectives" group:"levels" usage:"pretraining objectives to weigh (default: cluster-100,mask-atom,context,contrast,motif for molecules, mlm,simcse,sop for texts)"`
	Weights    []string `yaml:"weights" group:"levels" usage:"learned, uniform, random, none, fixed=A/B/…, only=NAME; the first is the run, further ones are compared with it"`
	Gamma      float64  `yaml:"gamma" group:"levels" usage:"coefficient of the proximal term γ|ω-θ|² (a plain sum)"`
	ValidProx  bool     `yaml:"validate-proximal" group:"levels" usage:"add the proximal term to the loss of level III, as the reference implementation does"`
	Hypergrad  string   `yaml:"hypergrad" group:"levels" usage:"exact, dot, jvp, fd, darts, neumann-K or cg-K"`
	Jacobian   string   `yaml:"jacobian" group:"levels" usage:"optimizer (of the steps taken) or identity (the paper's form)"`
	Radius     float64  `yaml:"radius" group:"levels" usage:"length of the perturbation of finite differences"`
	Cosines    int      `yaml:"cosines-every" group:"levels" usage:"iterations between those whose line in metrics.jsonl has the cosines between the objectives' gradients, which take time (1 = every line, 0 = none)"`

	Optimizer       string  `yaml:"optimizer" group:"optimisers" usage:"of pretraining and finetuning: sgd, adam or adamw (default: adam for molecules, adamw for texts)"`
	PretrainLR      float64 `yaml:"pretrain-lr" group:"optimisers" usage:"learning rate of level I (0 = by optimizer)"`
	FinetuneLR      float64 `yaml:"finetune-lr" group:"optimisers" usage:"learning rate of level II and of retraining (0 = by optimizer)"`
	ReweightLR      float64 `yaml:"reweight-lr" group:"optimisers" usage:"learning rate of level III (0 = by its optimizer)"`
	ReweightOptim   string  `yaml:"reweight-optimizer" group:"optimisers" usage:"of level III: sgd, adam or adamw"`
	Momentum        float64 `yaml:"momentum" group:"optimisers" usage:"of sgd"`
	WeightDecay     float64 `yaml:"weight-decay" group:"optimisers" usage:"of pretraining and finetuning; the weights themselves never decay"`
	Clip            float64 `yaml:"clip" group:"optimisers" usage:"largest norm of a gradient (0 = no limit)"`
	Schedule        string  `yaml:"schedule" group:"optimisers" usage:"constant, linear, cosine or step"`
	StepSize        int     `yaml:"step-size" group:"optimisers" usage:"updates between the steps of --schedule step"`
	StepFactor      float64 `yaml:"step-factor" group:"optimisers" usage:"factor of the learning rate at each step"`
	Warmup          int     `yaml:"warmup" group:"optimisers" usage:"updates of linear warm-up"`
	PretrainBatch   int     `yaml:"pretrain-batch" group:"optimisers" usage:"molecules or sentences of a pretraining batch (0 = preset, 32 for texts)"`
	FinetuneBatch   int     `yaml:"finetune-batch" group:"optimisers" usage:"examples of a finetuning batch (0 = preset, 32 for texts)"`
	ValidBatch      int     `yaml:"valid-batch" group:"optimisers" usage:"examples of a validation batch of level III, or the whole split where it has fewer; small ones make the weights noisier (0 = 256 molecules, 32 texts)"`
	Accumulate      int     `yaml:"accumulate" group:"optimisers" usage:"parts in which a batch is computed, to save memory; batch norm, contrast, context and infomax then look at a part"`
	PretrainUnroll  int     `yaml:"pretrain-unroll" group:"optimisers" usage:"level I steps per iteration"`
	FinetuneUnroll  int     `yaml:"finetune-unroll" group:"optimisers" usage:"level II steps per iteration"`
	MaxIterations   int     `yaml:"max-iterations" group:"run" usage:"iterations of the three levels"`
	RetrainSteps    int     `yaml:"retrain-steps" group:"run" usage:"finetuning steps from the learned encoder"`
	ValidateEvery   int     `yaml:"validate-every" group:"run" usage:"steps between scores on the whole validation split"`
	LogEvery        int     `yaml:"log-every" group:"run" usage:"iterations or steps whose numbers stay on the device before they are read and logged together; one that is not finite is noticed then"`
	CheckpointEvery int     `yaml:"checkpoint-every" group:"run" usage:"iterations or steps between checkpoints"`

	Seed    uint64 `yaml:"seed" group:"run" usage:"seed of everything random"`
	Seeds   int    `yaml:"seeds" group:"run" usage:"repeat with this many seeds, counting up from seed"`
	Device  string `yaml:"device" group:"run" usage:"auto (cuda where there is a device, otherwise cpu), cpu, cuda, cuda:N (the N-th of several) or ref (float64, slow)"`
	Threads int    `yaml:"threads" group:"run" usage:"threads of the CPU backend (0 = all cores); results do not depend on it"`
	Out     string `yaml:"out" group:"run" usage:"run folder (default runs/DATASET-N)"`
	Quiet   bool   `yaml:"quiet" group:"run" usage:"print errors only"`
}

// Default returns the configuration of the embedded demo.
func Default() Config {
	return Config{
		Dataset: "demo", SMILES: "smiles", Task: "auto", Features: "hu", OnInvalid: "skip",
		Network: "gin", Norm: "batch", Readout: "mean", Head: "linear", Dropout: -1, Compress: true, Vocabulary: 4096, MaxTokens: 128,
		Weights: []string{"learned"},
		Gamma:   30, Hypergrad: "exact", Jacobian: "optimizer", Radius: 0.01, Cosines: 25,
		ReweightOptim: "adam", Momentum: 0.9, Schedule: "constant", StepSize: 100, StepFactor: 0.9, Accumulate: 1, PretrainUnroll: 1, FinetuneUnroll: 1,
		MaxIterations: 300, RetrainSteps: 500, ValidateEvery: 25, LogEvery: 10, CheckpointEvery: 100, Seeds: 1, Device: "auto",
	}
}

// ReadConfig reads a YAML file over the defaults. Unknown keys are errors with line and column.
func ReadConfig(path string) (Config, error) {
	c := Default()
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := ParseConfig(text, &c); err != nil {
		return c, fmt.Errorf("%s:%w", path, err)
	}
	return c, nil
}

// ParseConfig reads YAML over c. Errors begin with line and column where there are any.
func ParseConfig(text []byte, c *Config) (err error) {
	defer func() {
		// goccy/go-yaml 1.19 panics on some malformed documents, such as a tag without a value where a list belongs.
		if p := recover(); p != nil {
			err = fmt.Errorf(" not a configuration: the YAML is malformed (%v)", p)
		}
	}()
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	err = yaml.UnmarshalWithOptions(text, c, yaml.Strict())
	var at yaml.Error
	if !errors.As(err, &at) {
		return err
	}
	why := strings.ReplaceAll(at.GetMessage(), "\n", " ")
	if name, unknown := strings.CutPrefix(why, "unknown field "); unknown {
		why += fmt.Sprintf("; the nearest is %q", data.Nearest(strings.Trim(name, `"`), Keys()))
	}
	if t := at.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("%d:%d: %s", t.Position.Line, t.Position.Column, why)
	}
	return fmt.Errorf(" %s", why)
}

// Keys lists the settings.
func Keys() []string {
	var keys []string
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// A SettingError says which settings make no sense, and why.
type SettingError struct {
	Keys []string
	Err  error
}

func (e *SettingError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *SettingError) Unwrap() error { return e.Err }

// wrong is an error about a setting, or about several that contradict each other.
func wrong(err error, keys ...string) error {
	if err == nil {
		return nil
	}
	return &SettingError{keys, err}
}

// Locate puts before an error of Resolve the place in the YAML file of the setting it is about, if the file sets it and no flag
// overrides it.
func Locate(path string, err error, overridden func(key string) bool) error {
	var e *SettingError
	text, failed := os.ReadFile(path)
	if failed != nil || !errors.As(err, &e) {
		return err
	}
	file, failed := parser.ParseBytes(text, 0)
	if failed != nil {
		return err
	}
	for _, doc := range file.Docs {
		mapping, ok := doc.Body.(*ast.MappingNode)
		if !ok {
			continue
		}
		for _, v := range mapping.Values {
			if t := v.Key.GetToken(); slices.Contains(e.Keys, t.Value) && !overridden(t.Value) {
				return fmt.Errorf("%s:%d:%d: %w", path, t.Position.Line, t.Position.Column, err)
			}
		}
	}
	return err
}

// Resolve fills in what presets and optimisers leave open and reports the first setting that makes no sense.
func (c *Config) Resolve() error {
	if err := c.domain().fill(); err != nil {
		return err
	}
	for _, f := range []struct {
		name      string
		v, lo, hi int
	}{
		{"pretrain-batch", c.PretrainBatch, 2, 1 << 24}, {"finetune-batch", c.FinetuneBatch, 1, 1 << 24}, {"valid-batch", c.ValidBatch, 1, 1 << 24},
		{"accumulate", c.Accumulate, 1, 1 << 16}, {"pretrain-unroll", c.PretrainUnroll, 1, 1 << 16}, {"finetune-unroll", c.FinetuneUnroll, 1, 1 << 16},
		{"max-iterations", c.MaxIterations, 0, 1 << 30}, {"retrain-steps", c.RetrainSteps, 1, 1 << 30}, {"validate-every", c.ValidateEvery, 1, 1 << 30},
		{"log-every", c.LogEvery, 1, 1 << 20}, {"checkpoint-every", c.CheckpointEvery, 1, 1 << 30}, {"cosines-every", c.Cosines, 0, 1 << 30}, {"seeds", c.Seeds, 1, 1000}, {"pool-limit", c.PoolLimit, 0, 1 << 30}, {"threads", c.Threads, 0, 4096},
	} {
		if f.v < f.lo || f.v > f.hi {
			return wrong(fmt.Errorf("%s %d is not between %d and %d", f.name, f.v, f.lo, f.hi), f.name)
		}
	}
	for _, f := range []struct {
		name  string
		v, hi float64
	}{{"gamma", c.Gamma, math.MaxFloat64}, {"radius", c.Radius, math.MaxFloat64}} {
		if !(f.v >= 0 && f.v <= f.hi) {
			return wrong(fmt.Errorf("%s %g is not in [0, %g]", f.name, f.v, f.hi), f.name)
		}
	}
	if c.Dropout > 0.999 || c.Dropout != c.Dropout {
		return wrong(fmt.Errorf("dropout %g is not in [0, 0.999]", c.Dropout), "dropout")
	}
	if c.Metric != "" {
		for _, m := range strings.Split(c.Metric, ",") {
			if !slices.Contains(metric.Names, m) {
				return wrong(fmt.Errorf("metric %q is not one of %s", m, strings.Join(metric.Names, ", ")), "metric")
			}
		}
	}
	for _, f := range []struct {
		name, v string
		known   []string
	}{
		{"task", c.Task, []string{"auto", "regression", "classification", "multiclass"}},
		{"on-invalid", c.OnInvalid, []string{"skip", "fail"}},
	} {
		if !slices.Contains(f.known, f.v) {
			return wrong(fmt.Errorf("%s %q is not one of %s", f.name, f.v, strings.Join(f.known, ", ")), f.name)
		}
	}
	if err := checkDevice(c.Device); err != nil {
		return wrong(err, "device")
	}
	if c.PretrainBatch%c.Accumulate != 0 {
		return wrong(fmt.Errorf("accumulate %d does not divide pretrain-batch %d", c.Accumulate, c.PretrainBatch), "accumulate", "pretrain-batch")
	}
	if err := c.resolveSplit(); err != nil {
		return err
	}
	if len(c.Weights) == 0 {
		return wrong(errors.New("weights: none given"), "weights")
	}
	for _, w := range c.Weights {
		if _, err := parseWeights(w, c.Objectives); err != nil {
			return wrong(err, "weights")
		}
	}
	for _, l := range []struct {
		name string
		opt  func() (optim.Config, error)
	}{{"pretrain", c.pretrain}, {"finetune", c.finetune}, {"reweight", c.reweight}} {
		o, err := l.opt()
		if err != nil {
			return err
		}
		if err := o.Check(); err != nil {
			key, _, _ := strings.Cut(err.Error(), " ")
			key = strings.ReplaceAll(key, "_", "-")
			return wrong(fmt.Errorf("%s: %w", l.name, err), key, l.name+"-"+key)
		}
	}
	_, err := c.levels()
	return err
}

// resolveSplit takes the kind of split from what is given, unless it is said.
func (c *Config) resolveSplit() error {
	keys := []string{"split", "split-column", "valid-file", "test-file", "group-column"}
	given := ""
	switch {
	case c.ValidFile != "" && c.TestFile == "":
		return wrong(errors.New("valid-file: give test-file too"), keys[2:]...)
	case c.TestFile != "" && c.SplitColumn != "":
		return wrong(errors.New("split-column and test-file contradict each other: give one of them"), keys[1:]...)
	case c.ValidFile != "":
		given = "files"
	case c.TestFile != "":
		given = "holdout"
	case c.SplitColumn != "":
		given = "column"
	case c.GroupColumn != "":
		given = "group"
	}
	usual := c.usualSplit()
	if c.Split == "" {
		c.Split = or(given, usual)
	}
	if !slices.Contains(data.SplitKinds, c.Split) {
		return wrong(fmt.Errorf("split %q is not one of %s", c.Split, strings.Join(data.SplitKinds, ", ")), "split")
	}
	own := slices.Contains([]string{"column", "files", "holdout", "group"}, c.Split) && c.Split != usual
	if (own || given != "") && c.Split != given {
		return wrong(fmt.Errorf("split %s contradicts the rest: column goes with split-column, group with group-column, files with valid-file and test-file, "+
			"holdout with test-file, the others with neither", c.Split), keys...)
	}
	if scaffold := strings.HasSuffix(c.Split, "scaffold"); scaffold && c.texts() {
		return wrong(fmt.Errorf("split %s is for molecules; use random, group, holdout, column or files", c.Split), "split")
	}
	return nil
}

// usualSplit is the dataset's own kind of split.
func (c *Config) usualSplit() string {
	for _, p := range data.Presets() {
		if p.Name == c.Dataset && p.SplitKind != "" {
			return p.SplitKind
		}
	}
	if c.texts() {
		return "random"
	}
	return "scaffold"
}

// or returns the value, or another one where it is empty.
func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// defaultLR is the learning rate of a rule where none is given: transformers want smaller steps, and those that have been
// pretrained smaller ones still.
func (c *Config) defaultLR(rule gpu.Rule) float64 {
	switch {
	case rule == gpu.SGD:
		return 0.01
	case !c.texts():
		return 0.001
	case slices.Contains(transformer.Sizes(), c.Model):
		return 0.0005
	}
	return 0.00005
}

func (c *Config) lower(lr float64) (optim.Config, error) {
	rule, err := optim.ParseRule(c.Optimizer)
	if err != nil {
		return optim.Config{}, wrong(err, "optimizer")
	}
	if lr == 0 {
		lr = c.defaultLR(rule)
	}
	o := optim.Default(rule, lr)
	if rule == gpu.SGD {
		o.Momentum = c.Momentum
	}
	o.WeightDecay, o.Clip, o.Schedule, o.Warmup = c.WeightDecay, c.Clip, c.Schedule, c.Warmup
	if o.Schedule == "step" {
		o.StepSize, o.StepFactor = c.StepSize, c.StepFactor
	}
	return o, nil
}

func (c *Config) pretrain() (optim.Config, error) { return c.lower(c.PretrainLR) }
func (c *Config) finetune() (optim.Config, error) { return c.lower(c.FinetuneLR) }

// reweight: Adam by default, whose steps do not depend on the size of the hypergradient, so that the weights move from the
// first iteration on.
func (c *Config) reweight() (optim.Config, error) {
	rule, err := optim.ParseRule(c.ReweightOptim)
	if err != nil {
		return optim.Config{}, wrong(fmt.Errorf("reweight-%w", err), "reweight-optimizer")
	}
	lr := c.ReweightLR
	if lr == 0 {
		lr = 0.02
		if rule == gpu.SGD {
			lr = 10
		}
	}
	o := optim.Default(rule, lr)
	o.Momentum = 0
	return o, nil
}

// levels returns the options of the three levels.
func (c *Config) levels() (level.Options, error) {
	o := level.Options{PretrainSteps: c.MaxIterations * c.PretrainUnroll, FinetuneSteps: c.MaxIterations * c.FinetuneUnroll,
		ReweightSteps: c.MaxIterations, Micro: c.Accumulate, Gamma: c.Gamma, ValidProx: c.ValidProx, Radius: c.Radius, Rows: c.LogEvery, Seed: c.Seed}
	var err error
	if o.Mode, o.Terms, err = level.ParseMode(c.Hypergrad); err != nil {
		return o, wrong(err, "hypergrad")
	}
	o.Cosines = c.Cosines > 0
	if o.Jacobian, err = level.ParseJacobian(c.Jacobian); err != nil {
		return o, wrong(err, "jacobian")
	}
	if o.Pretrain, err = c.pretrain(); err != nil {
		return o, err
	}
	if o.Finetune, err = c.finetune(); err != nil {
		return o, err
	}
	o.Reweight, err = c.reweight()
	return o, err
}

// weighting is how the objectives are weighted in a run.
type weighting struct {
	kind  string // learned, uniform, random, none, fixed, only
	only  string
	fixed []float64
}

func parseWeights(s string, objectives []string) (weighting, error) {
	kind, arg, given := strings.Cut(s, "=")
	w := weighting{kind: kind}
	switch kind {
	case "learned", "uniform", "random", "none":
		if given {
			return w, fmt.Errorf("weights %q: %s takes no value", s, kind)
		}
	case "only":
		if !slices.Contains(objectives, arg) {
			return w, fmt.Errorf("weights %q: %q is not one of the run's objectives %s", s, arg, strings.Join(objectives, ", "))
		}
		w.only = arg
	case "fixed":
		sum := 0.0
		for _, p := range strings.Split(arg, "/") {
			v, err := strconv.ParseFloat(p, 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				return w, fmt.Errorf("weights %q: %q is not a positive number", s, p)
			}
			sum += v
			w.fixed = append(w.fixed, v)
		}
		if len(w.fixed) != len(objectives) {
			return w, fmt.Errorf("weights %q: %d numbers for %d objectives", s, len(w.fixed), len(objectives))
		}
		for i := range w.fixed {
			w.fixed[i] /= sum
		}
	default:
		return w, fmt.Errorf("weights %q is not one of learned, uniform, random, none, fixed=A/B/…, only=NAME", s)
	}
	return w, nil
}
