package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"tapweight/gpu"
	"tapweight/model/checkpoint"
	"tapweight/model/downstream"
	"tapweight/model/molecule"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// Model is a finished run's network, ready to predict.
type Model struct {
	Config Config
	Kind   data.Kind
	Tasks  []string
	scale  data.Scale
	b      gpu.Backend
	file   *checkpoint.File
}

// OpenModel opens the model of a finished run.
func OpenModel(dir, device string, threads int) (*Model, error) {
	cfg, err := ReadConfig(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, fmt.Errorf("%s is not a run folder: %w", dir, err)
	}
	if err := cfg.Resolve(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	cfg.Out = dir
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
	return &Model{Config: cfg, Kind: meta.Kind, Tasks: meta.Tasks, scale: meta.Scale, b: b, file: f}, nil
}

// Close closes the model's device.
func (m *Model) Close() error { return m.b.Close() }

// network builds the network over a set and loads its numbers.
func (m *Model) network(set *molecule.Set) (*downstream.Problem, *level.Predictor, error) {
	net, err := m.Config.network()
	if err != nil {
		return nil, nil, err
	}
	fin, err := downstream.NewProblem(set, unlabelled(set.Len(), len(m.Tasks)), gpu.MSE, net, m.Config.head(), m.Config.Compress)
	if err != nil {
		return nil, nil, err
	}
	value := make([]float64, fin.Params().Len())
	if err := m.file.ToFlat("", fin.Params(), value, nil); err != nil {
		return nil, nil, err
	}
	running := make([]float64, fin.States().Len())
	if len(running) > 0 {
		if err := m.file.ToFlat("", fin.States(), running, nil); err != nil {
			return nil, nil, err
		}
	}
	if err := m.file.Only(fin.Params(), fin.States()); err != nil {
		return nil, nil, err
	}
	p, err := newPredictor(m.b, fin, value, running)
	return fin, p, err
}

// unlabelled returns labels for molecules that have none.
func unlabelled(molecules, tasks int) [][]float64 {
	none := make([][]float64, molecules)
	for i := range none {
		none[i] = make([]float64, tasks)
	}
	return none
}

// newPredictor uploads parameters and running statistics.
func newPredictor(b gpu.Backend, fin *downstream.Problem, value, running []float64) (*level.Predictor, error) {
	var bufs [2]gpu.Buffer
	for i, v := range [][]float64{value, running} {
		var err error
		if bufs[i], err = b.Alloc(max(len(v), 1), b.Info().FloatBytes); err != nil {
			return nil, err
		}
		if len(v) > 0 {
			b.Upload(bufs[i], v)
		}
	}
	return level.NewPredictor(b, fin.Params(), bufs[0], bufs[1])
}

// Input is a file of molecules to predict or embed.
type Input struct {
	Set     *molecule.Set
	Invalid []molecule.Invalid
	Rows    []data.Row // every row of the file, in order
}

// OpenInput reads and featurises a file.
func (m *Model) OpenInput(ctx context.Context, path, smiles string, con *runlog.Console) (*Input, error) {
	pool, err := data.ReadPool(path, smiles, 0)
	if err != nil {
		return nil, err
	}
	in := &Input{}
	records := make([]molecule.Record, len(pool.SMILES))
	for i, s := range pool.SMILES {
		records[i] = molecule.Record{SMILES: s, Line: pool.Line[i]}
		in.Rows = append(in.Rows, data.Row{Line: pool.Line[i], SMILES: s})
	}
	in.Set, in.Invalid, err = m.Config.openSet(ctx, pool.ContentKey+" "+smiles, path, con, func() ([]molecule.Record, error) { return records, nil })
	return in, err
}

// Predict returns a prediction per molecule and task: values in the task's units, or probabilities.
func (m *Model) Predict(set *molecule.Set) ([][]float64, error) {
	if set.Len() == 0 {
		return nil, nil
	}
	fin, p, err := m.network(set)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	rows, err := predict(p, fin, upTo(set.Len()), fin.Forward)
	if err != nil {
		return nil, err
	}
	if m.Kind == data.Regression {
		return m.scale.Invert(rows), nil
	}
	for _, row := range rows {
		for j, v := range row {
			row[j] = metric.Probability(v)
		}
	}
	return rows, nil
}

// Embed returns the encoder's row of each molecule.
func (m *Model) Embed(set *molecule.Set) ([][]float64, error) {
	if set.Len() == 0 {
		return nil, nil
	}
	fin, p, err := m.network(set)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return predict(p, fin, upTo(set.Len()), fin.Embed)
}

// Evaluate scores the model on the three parts of its own task.
func (m *Model) Evaluate(ctx context.Context, con *runlog.Console) (map[string]metric.Result, error) {
	task, err := m.Config.OpenTask(ctx, con)
	if err != nil {
		return nil, err
	}
	predicted, err := m.Predict(task.Set)
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
