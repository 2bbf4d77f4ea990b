package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"tapweight/gpu"
	"tapweight/model/checkpoint"
	"tapweight/model/downstream"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// Model is a finished run's network, or the encoder of a Hugging Face folder, ready to use.
type Model struct {
	Config  Config
	Kind    data.Kind
	Tasks   []string
	Classes []string
	scale   data.Scale
	domain  domain
	b       gpu.Backend
	file    *checkpoint.File // nil for the encoder of a folder
}

// OpenModel opens the model of a finished run.
func OpenModel(dir, device string, threads int) (*Model, error) {
	cfg, err := ReadConfig(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, fmt.Errorf("%s is not a run folder: %w", dir, err)
	}
	cfg.Out = dir
	if err := cfg.Resolve(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	f, err := checkpoint.Read(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return nil, fmt.Errorf("%s holds no finished model: %w", dir, err)
	}
	var meta modelMeta
	if err := json.Unmarshal([]byte(f.Metadata["tapweight"]), &meta); err != nil {
		return nil, fmt.Errorf("%s: its metadata does not describe a tapweight model: %w", f.Path, err)
	}
	b, err := OpenDevice(device, threads, nil)
	if err != nil {
		return nil, err
	}
	return &Model{Config: cfg, Kind: meta.Kind, Tasks: meta.Tasks, Classes: meta.Classes, scale: meta.Scale, domain: cfg.domain(), b: b, file: f}, nil
}

// OpenEncoder opens the encoder of a Hugging Face folder, to embed texts of at most maxTokens tokens.
func OpenEncoder(dir string, maxTokens int, device string, threads int) (*Model, error) {
	cfg := Default()
	cfg.Dataset, cfg.Text, cfg.Model, cfg.MaxTokens = "", []string{"text"}, dir, maxTokens
	if err := cfg.Resolve(); err != nil {
		return nil, err
	}
	b, err := OpenDevice(device, threads, nil)
	if err != nil {
		return nil, err
	}
	return &Model{Config: cfg, Tasks: []string{"none"}, domain: cfg.domain(), b: b}, nil
}

// Outputs names the numbers of a prediction: the tasks, or the classes.
func (m *Model) Outputs() []string {
	if m.Classes != nil {
		return m.Classes
	}
	return m.Tasks
}

// Texts reports whether the model is one of texts.
func (m *Model) Texts() bool { return m.Config.texts() }

// Close closes the model's device.
func (m *Model) Close() error { return m.b.Close() }

// network builds the network over examples and loads its numbers.
func (m *Model) network(set Examples) (*downstream.Problem, *level.Predictor, error) {
	net, err := m.domain.network(set)
	if err != nil {
		return nil, nil, err
	}
	fin, err := downstream.NewProblem(net, unlabelled(set.Len(), len(m.Outputs())))
	if err != nil {
		return nil, nil, err
	}
	running := make([]float64, fin.States().Len())
	if m.file != nil {
		if len(running) > 0 {
			if err := m.file.ToFlat("", fin.States(), running, nil); err != nil {
				return nil, nil, err
			}
		}
		if err := m.file.Only(fin.Params(), fin.States()); err != nil {
			return nil, nil, err
		}
	}
	p, err := newPredictor(m.b, fin, running, func(value gpu.Buffer) error {
		if m.file == nil {
			return level.Initialize(m.b, fin, fin.Params(), 0, 0, value)
		}
		flat := make([]float64, fin.Params().Len())
		if err := m.file.ToFlat("", fin.Params(), flat, nil); err != nil {
			return err
		}
		m.b.Upload(value, flat)
		return nil
	})
	return fin, p, err
}

// unlabelled returns labels for examples that have none.
func unlabelled(examples, outputs int) downstream.Labels {
	none := make([][]float64, examples)
	for i := range none {
		none[i] = make([]float64, outputs)
	}
	return downstream.Labels{Values: none, Outputs: outputs}
}

// newPredictor uploads running statistics and parameters, which load writes.
func newPredictor(b gpu.Backend, fin *downstream.Problem, running []float64, load func(value gpu.Buffer) error) (*level.Predictor, error) {
	var bufs [2]gpu.Buffer
	for i, n := range []int{fin.Params().Len(), len(running)} {
		var err error
		if bufs[i], err = b.Alloc(max(n, 1), b.Info().FloatBytes); err != nil {
			return nil, err
		}
	}
	if err := load(bufs[0]); err != nil {
		return nil, err
	}
	if len(running) > 0 {
		b.Upload(bufs[1], running)
	}
	return level.NewPredictor(b, fin.Params(), bufs[0], bufs[1])
}

// Input is a file of examples to predict or embed.
type Input struct {
	Set     Examples
	Invalid []string // rows that are left out: file, line and reason
	Rows    []Row    // every row of the file, in order
}

// Row is a row of an input file.
type Row struct {
	Line int
	Name string // a SMILES, or the text
}

// OpenInput reads and prepares a file; column names the column of a table that holds the examples.
func (m *Model) OpenInput(ctx context.Context, path, column string, con *runlog.Console) (*Input, error) {
	return m.domain.openInput(ctx, path, column, 0, con)
}

// Predict returns a prediction per example: values in the task's units, the probability of each task, or of each class.
func (m *Model) Predict(set Examples) ([][]float64, error) {
	rows, err := m.logits(set)
	if m.Kind == data.Regression {
		return rows, err
	}
	for _, row := range rows {
		metric.Probabilities(row, m.Kind == data.MultiClass)
	}
	return rows, err
}

// logits returns the network's outputs, of a regression in the task's units.
func (m *Model) logits(set Examples) ([][]float64, error) {
	if set.Len() == 0 {
		return nil, nil
	}
	fin, p, err := m.network(set)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	rows, err := predict(p, fin, upTo(set.Len()), m.domain.evalBatch(), fin.Forward)
	if err == nil && m.Kind == data.Regression {
		rows = m.scale.Invert(rows)
	}
	return rows, err
}

// Embed returns the encoder's row of each example.
func (m *Model) Embed(set Examples) ([][]float64, error) {
	if set.Len() == 0 {
		return nil, nil
	}
	fin, p, err := m.network(set)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return predict(p, fin, upTo(set.Len()), m.domain.evalBatch(), fin.Embed)
}

// Evaluate scores the model on the three parts of its own task.
func (m *Model) Evaluate(ctx context.Context, con *runlog.Console) (map[string]metric.Result, error) {
	task, err := m.Config.OpenTask(ctx, con)
	if err != nil {
		return nil, err
	}
	predicted, err := m.logits(task.Set)
	if err != nil {
		return nil, err
	}
	out := map[string]metric.Result{}
	for name, index := range map[string][]int{"train": task.Split.Train, "valid": task.Split.Valid, "test": task.Split.Test} {
		var p, y [][]float64
		for _, i := range index {
			p, y = append(p, predicted[i]), append(y, task.Labels[i])
		}
		if out[name], err = metric.Score(task.Metric, p, y, task.Tasks); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}
