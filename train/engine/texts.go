package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/model/checkpoint"
	"tapweight/model/downstream"
	"tapweight/model/param"
	"tapweight/model/pretext"
	"tapweight/model/text"
	"tapweight/model/transformer"
	"tapweight/train/data"
	"tapweight/train/runlog"
)

// texts is the domain of texts and pairs of texts.
type texts struct {
	*Config
	tokenizer *text.Tokenizer
	cfg       transformer.Config
	folder    *transformer.Folder // the weights to start from, nil for a network from scratch
	training  *data.Corpus        // what there is to pretrain on, once it was asked for
}

// tokenizerDir is the folder in a run folder with the tokenizer and the description of the network.
const tokenizerDir = "tokenizer"

func (c *texts) fill() error {
	if c.Pool == "" {
		c.Pool = "task"
		if p, err := c.preset(); err == nil && p.Pool != "" { // unlabelled texts that come with the dataset
			if _, err := os.Stat(p.Pool); err == nil {
				c.Pool = p.Pool
			}
		}
	}
	c.Optimizer = or(c.Optimizer, "adamw")
	c.Model = or(c.Model, "tiny")
	if len(c.Objectives) == 0 {
		c.Objectives = []string{"mlm", "simcse", "sop"}
	}
	for _, v := range []*int{&c.PretrainBatch, &c.FinetuneBatch, &c.ValidBatch} {
		if *v == 0 {
			*v = 32
		}
	}
	if c.MaxTokens < 8 || c.MaxTokens > 512 {
		return wrong(fmt.Errorf("max-tokens %d is not between 8 and 512", c.MaxTokens), "max-tokens")
	}
	if c.Vocabulary < 300 || c.Vocabulary > 1<<20 {
		return wrong(fmt.Errorf("vocabulary %d is not between 300 and %d", c.Vocabulary, 1<<20), "vocabulary")
	}
	if c.Layers < 0 || c.Layers > 64 || c.Width < 0 || c.Width > 1<<14 {
		return wrong(fmt.Errorf("layers %d, width %d: at most 64 and %d, 0 for the model's own", c.Layers, c.Width, 1<<14), "layers", "width")
	}
	if len(c.Text) > 2 {
		return wrong(fmt.Errorf("text: %d columns; give one, or the two of a pair", len(c.Text)), "text")
	}
	if !c.sized() {
		if _, err := os.Stat(c.Model); err != nil {
			return wrong(fmt.Errorf("model %q is neither one of %s nor a Hugging Face folder", c.Model, strings.Join(transformer.Sizes(), ", ")), "model")
		}
		if c.Layers > 0 || c.Width > 0 {
			return wrong(fmt.Errorf("layers and width are those of the model %s; give a size to train from scratch with others", c.Model), "layers", "width")
		}
		if c.Tokenizer != "" {
			return wrong(fmt.Errorf("tokenizer: the folder %s has its own", c.Model), "tokenizer")
		}
	}
	return wrong(pretext.Check(c.Objectives), "objectives")
}

// sized reports whether the model is a size, to be trained from scratch.
func (c *texts) sized() bool { return slices.Contains(transformer.Sizes(), c.Model) }

// columns returns the names of the text columns.
func (c *texts) columns() []string {
	for _, p := range data.Presets() {
		if p.Name == c.Dataset {
			return p.Text
		}
	}
	return c.Text
}

// load opens the tokenizer and the description of the network: those kept in the run folder, those of the model's folder, or, for
// a size, a tokenizer that is given or made from the texts.
func (c *texts) load(training func() (*data.Corpus, error), con *runlog.Console) error {
	if c.tokenizer != nil {
		return nil
	}
	kept := ""
	if c.Out != "" {
		if _, err := os.Stat(filepath.Join(c.Out, tokenizerDir)); err == nil {
			kept = filepath.Join(c.Out, tokenizerDir)
		}
	}
	var err error
	switch {
	case !c.sized():
		if kept == "" || training != nil { // to train, the weights are needed too
			if c.folder, err = transformer.Open(c.Model); err != nil {
				return err
			}
			c.cfg, kept = c.folder.Config, c.Model
		} else if c.cfg, err = transformer.ReadConfig(kept); err != nil {
			return err
		}
		c.tokenizer, err = text.Open(kept)
	case kept != "":
		c.tokenizer, err = text.Open(kept)
	case c.Tokenizer != "":
		c.tokenizer, err = text.Open(c.Tokenizer)
	case training == nil && c.Out == "":
		err = errors.New("there are no texts to train one on: name a folder, --tokenizer FOLDER or --model FOLDER")
	case training == nil:
		err = fmt.Errorf("%s: no tokenizer in the run folder", filepath.Join(c.Out, tokenizerDir))
	default:
		c.tokenizer, err = c.train(training, con)
	}
	if err != nil {
		return err
	}
	special := c.tokenizer.Special()
	if c.folder == nil && c.sized() {
		roberta := c.tokenizer.ByteLevel()
		if c.cfg, err = transformer.ConfigOf(c.Model, c.tokenizer.Size(), int(max(special.Pad, 0)), roberta); err != nil {
			return err
		}
		c.resize()
	}
	if c.Dropout >= 0 {
		c.cfg.Dropout, c.cfg.DropAttend, c.cfg.DropHead = c.Dropout, c.Dropout, c.Dropout
	}
	if err := c.cfg.CheckVocabulary(c.tokenizer.Size()); err != nil {
		return err
	}
	if n := c.cfg.Longest(); c.MaxTokens > n {
		return wrong(fmt.Errorf("max-tokens %d: the model has positions for %d", c.MaxTokens, n), "max-tokens")
	}
	for name, id := range map[string]int32{"classification": special.CLS, "separator": special.SEP} {
		if id < 0 {
			return fmt.Errorf("the tokenizer has no %s token, which the network needs around every text", name)
		}
	}
	if slices.Contains(c.Objectives, "mlm") && special.Mask < 0 {
		return wrong(fmt.Errorf("objective mlm: the tokenizer has no mask token"), "objectives")
	}
	return nil
}

// resize gives a network from scratch another number of layers or another width, with heads of 64 channels where that goes up.
func (c *texts) resize() {
	if c.Layers > 0 {
		c.cfg.Layers = c.Layers
	}
	if w := c.Width; w > 0 {
		c.cfg.Width, c.cfg.Inner, c.cfg.Heads = w, 4*w, 1
		for _, heads := range []int{w / 64, 2} {
			if heads > 1 && w%heads == 0 {
				c.cfg.Heads = heads
				break
			}
		}
	}
}

// train makes a WordPiece vocabulary from the texts to train on.
func (c *texts) train(training func() (*data.Corpus, error), con *runlog.Console) (*text.Tokenizer, error) {
	corpus, err := training()
	if err != nil {
		return nil, err
	}
	p := con.Progress("making a vocabulary", c.Vocabulary)
	defer p.Done()
	return text.TrainWordPiece(slices.Values(corpus.Segments), text.Training{Size: c.Vocabulary, MinFrequency: 2, Progress: func(tokens, _ int) { p.Set(tokens, "") }})
}

// textSet is a tokenized set as the engine sees it.
type textSet struct {
	*downstream.Texts
	table *data.Table
	names []string
}

func (s textSet) Line(i int) int    { return s.table.Line[i] }
func (s textSet) Name(i int) string { return s.names[i] }
func (s textSet) Units() int        { return s.Tokens() }
func (s textSet) Close() error      { return nil }

func (s textSet) String() string {
	longest := 0
	for i := range s.Len() {
		longest = max(longest, len(s.Sequence(i).IDs))
	}
	return fmt.Sprintf("%d texts, %d tokens (%.1f each, at most %d)", s.Len(), s.Tokens(), float64(s.Tokens())/float64(max(s.Len(), 1)), longest)
}

func (c *texts) open(_ context.Context, table *data.Table, preset data.Preset, con *runlog.Console) (Examples, *data.Split, error) {
	names := table.Keys()
	split, err := data.NewSplit(c.Split, names, func() ([]string, error) {
		if table.Group == nil {
			return nil, fmt.Errorf("split %s: say which column groups the rows with --group-column", c.Split)
		}
		return table.Group, nil
	}, table.Part, c.Seed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", preset.Name, err)
	}
	if err := table.CheckSeen(split.Train, split.Valid, split.Test); err != nil {
		return nil, nil, err
	}
	if n := split.Leaks(names); n > 0 {
		con.Printf("warning: %d validation or test texts are training texts too", n)
	}
	if err := c.load(func() (*data.Corpus, error) { return c.corpus(table, split) }, con); err != nil {
		return nil, nil, err
	}
	return c.encode(table, names, con), split, nil
}

// encode tokenizes the texts of a table.
func (c *texts) encode(table *data.Table, names []string, con *runlog.Console) textSet {
	var p *runlog.Progress
	set := downstream.NewTexts(c.tokenizer, table.Text, len(c.columns()) == 2, c.MaxTokens, func(done, total int) {
		if p == nil {
			p = con.Progress("tokenizing", total)
		}
		p.Set(done, "")
	})
	if p != nil {
		p.Done()
	}
	return textSet{set, table, names}
}

// corpus returns what there is to pretrain on, sentence by sentence: the training part of the task, files, or both.
func (c *texts) corpus(table *data.Table, split *data.Split) (*data.Corpus, error) {
	if c.training != nil {
		return c.training, nil
	}
	var all *data.Corpus
	for _, name := range strings.Split(c.Pool, ",") {
		var part *data.Corpus
		if name == "task" {
			part = table.Corpus(split.Train)
		} else {
			var err error
			if part, err = data.ReadCorpus(name, c.Text, c.PoolLimit); err != nil {
				return nil, err
			}
		}
		if all == nil {
			all = part
		} else {
			all = all.Join(part)
		}
	}
	c.training = all.Sentences()
	return c.training, nil
}

// textPool is a pool of texts as the engine sees it.
type textPool struct{ *pretext.Pool }

func (p textPool) String() string {
	return fmt.Sprintf("%d sentences, %d tokens", p.Len(), p.Tokens())
}
func (p textPool) Close() error { return nil }

func (c *texts) openPool(_ context.Context, t *Task, con *runlog.Console) (Pool, error) {
	corpus, err := c.corpus(t.Set.(textSet).table, t.Split)
	if err != nil {
		return nil, err
	}
	c.training = nil // nobody asks again
	pool := pretext.NewPool(c.Seed)
	p := con.Progress("tokenizing the pool", corpus.Len())
	var ids []int32
	for i, s := range corpus.Segments {
		ids = c.tokenizer.Append(ids[:0], s)
		pool.Add(corpus.Doc[i], ids)
		if i%1000 == 0 {
			p.Set(i, "")
		}
	}
	p.Done()
	if pool.Len() < 2 {
		return nil, fmt.Errorf("%s: the pretraining pool has %d sentences, at least 2 are needed", c.Pool, pool.Len())
	}
	return textPool{pool}, nil
}

func (c *texts) pretraining(p Pool, objectives []string) (pretraining, error) {
	return pretext.NewProblem(p.(textPool).Pool, c.cfg, c.folder, c.tokenizer, objectives,
		pretext.Options{MaxTokens: c.MaxTokens, WholeWords: c.WholeWords, SwapHalves: c.SwapHalves})
}

func (c *texts) network(e Examples) (downstream.Network, error) {
	if err := c.load(nil, nil); err != nil {
		return nil, err
	}
	return downstream.NewTransformer(e.(textSet).Texts, c.cfg, c.folder), nil
}

// evalBatch: activations of a batch stay in the caches of a CPU, or fill a GPU.
func (c *texts) evalBatch() int { return 64 }

func (c *texts) keep(dir string) error {
	to := filepath.Join(dir, tokenizerDir)
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := c.tokenizer.Save(to); err != nil {
		return err
	}
	return c.cfg.Save(to)
}

// exportClassifier writes the finetuned network. A standardised regression target is put back into its units by the last map.
func (c *texts) exportClassifier(m *Model, dir string) error {
	params := param.NewTable()
	net := downstream.NewTransformer(nil, c.cfg, nil)
	net.Declare(params, param.NewTable(), len(m.Outputs()))
	flat := make([]float64, params.Len())
	if err := m.file.ToFlat("", params, flat, nil); err != nil {
		return err
	}
	cfg := c.cfg
	switch m.Kind {
	case data.Regression:
		cfg.ProblemType = "regression"
		net.Head.Rescale(flat, m.scale.Mean, m.scale.Std)
	case data.MultiClass:
		cfg.ProblemType = "single_label_classification"
	default:
		cfg.ProblemType = "multi_label_classification"
	}
	cfg.Labels = m.Outputs()
	if err := transformer.Save(dir, cfg, flat, net.Encoder, net.Head); err != nil {
		return err
	}
	return c.tokenizer.Save(dir)
}

// exportEncoder writes the pretrained encoder, for sentence-transformers too.
func (c *texts) exportEncoder(file, dir string) error {
	f, err := checkpoint.Read(file)
	if err != nil {
		return err
	}
	params := param.NewTable()
	encoder := transformer.NewEncoder(c.cfg, "encoder", params)
	flat := make([]float64, params.Len())
	if err := f.ToFlat("", params, flat, nil); err != nil {
		return err
	}
	if err := transformer.Save(dir, c.cfg, flat, encoder); err != nil {
		return err
	}
	if err := transformer.SaveSentence(dir, c.cfg, c.MaxTokens); err != nil {
		return err
	}
	return c.tokenizer.Save(dir)
}

func (c *texts) openInput(_ context.Context, path, column string, limit int, con *runlog.Console) (*Input, error) {
	columns := c.columns()
	if column != "" {
		columns = strings.Split(column, ",")
	}
	table, err := data.ReadTexts(path, columns)
	if err != nil {
		return nil, err
	}
	if limit > 0 && limit < len(table.Text) {
		table.Text, table.Line = table.Text[:limit], table.Line[:limit]
	}
	if err := c.load(nil, con); err != nil {
		return nil, err
	}
	in := &Input{}
	names := table.Keys()
	for i, line := range table.Line {
		in.Rows = append(in.Rows, Row{line, names[i]})
	}
	in.Set = c.encode(table, names, con)
	return in, nil
}
