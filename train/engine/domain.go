package engine

import (
	"context"

	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/downstream"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/runlog"
)

// domain is a kind of data: what differs between molecules and texts. Everything else in this package is the same for both.
type domain interface {
	// fill sets what the configuration leaves open and reports the first setting that makes no sense for this kind of data.
	fill() error
	// open turns the rows of a task's table into examples, some of which may be left out, and assigns them to the three parts.
	open(ctx context.Context, table *data.Table, preset data.Preset, con *runlog.Console) (Examples, *data.Split, error)
	// openPool opens what there is to pretrain on.
	openPool(ctx context.Context, t *Task, con *runlog.Console) (Pool, error)
	// pretraining declares the networks of Level I.
	pretraining(p Pool, objectives []string) (pretraining, error)
	// keep writes what the finished model needs besides its numbers to a run folder.
	keep(dir string) error
	// network returns the network of Level II over examples.
	network(e Examples) (downstream.Network, error)
	// evalBatch is the number of examples evaluated at a time.
	evalBatch() int
	// openInput opens the rows of a file to predict or embed, at most limit of them unless it is 0. column "" is that of
	// the configuration.
	openInput(ctx context.Context, path, column string, limit int, con *runlog.Console) (*Input, error)
	// exportBatch returns what bench/peers needs of a pretraining batch and of labelled batches by name.
	exportBatch(pre pretraining, part *batch.Micro, t *Task, labelled map[string][]int) ([]checkpoint.Tensor, error)
	// exportSet returns all examples as bench/peers reads them.
	exportSet(e Examples) []checkpoint.Tensor
}

// Examples is a set of molecules or texts, numbered from 0.
type Examples interface {
	Len() int
	// Line returns the line of example i in its file.
	Line(i int) int
	// Name returns what identifies example i: a SMILES, or the text.
	Name(i int) string
	// Units returns the number of atoms or tokens.
	Units() int
	// String says how many there are, and how large.
	String() string
	Close() error
}

// Pool is what there is to pretrain on.
type Pool interface {
	Len() int
	String() string
	Close() error
}

// pretraining is the problem of Level I as the engine drives it.
type pretraining interface {
	level.Pretraining
	// Len returns the number of examples of the pool.
	Len() int
	// EncoderCount returns the number of the encoder's parameters.
	EncoderCount() int
	// Prepare builds the batch of a step on the host, in micro parts: a pure function of the seed, the step and the examples.
	Prepare(step uint32, index []int, micro int) ([]*batch.Micro, error)
	// Describe says in a line what a batch holds.
	Describe(part *batch.Micro) string
	// Rows returns the rows the encoder computes for a batch at each depth, and the atoms or tokens they stand for.
	Rows(part *batch.Micro) (rows []int, units int)
}

// domain returns the configuration's kind of data.
func (c *Config) domain() domain {
	if c.texts() {
		return &texts{Config: c}
	}
	return molecules{c}
}

// texts reports whether the dataset is one of texts.
func (c *Config) texts() bool {
	for _, p := range data.Presets() {
		if p.Name == c.Dataset {
			return p.Modality() == data.Texts
		}
	}
	return len(c.Text) > 0
}

// Task is the downstream task, ready to train on.
type Task struct {
	Name    string
	Kind    data.Kind
	Metric  string // or several joined by commas, of which the first decides
	Tasks   []string
	Classes []string // of a multiclass task
	Set     Examples
	Labels  [][]float64 // per example of Set, in the file's units; the number of a class
	Split   *data.Split
	Scale   data.Scale                           // of regression targets
	Place   func(line int) (path string, at int) // of a line of Set
	domain  domain
}

// targets returns the labels that the loss sees.
func (t *Task) targets() downstream.Labels {
	if t.Kind == data.Regression {
		return downstream.Labels{Loss: downstream.Squared, Values: t.Scale.Apply(t.Labels), Outputs: len(t.Tasks)}
	}
	if t.Kind == data.MultiClass {
		return downstream.Labels{Loss: downstream.Softmax, Values: t.Labels, Outputs: len(t.Classes)}
	}
	return downstream.Labels{Loss: downstream.Logistic, Values: t.Labels, Outputs: len(t.Tasks)}
}

// problems declares the networks of levels I and II, for the objectives given.
func (t *Task) problems(pool Pool, objectives []string) (pretraining, *downstream.Problem, error) {
	pre, err := t.domain.pretraining(pool, objectives)
	if err != nil {
		return nil, nil, err
	}
	net, err := t.domain.network(t.Set)
	if err != nil {
		return nil, nil, err
	}
	fin, err := downstream.NewProblem(net, t.targets())
	return pre, fin, err
}
