package engine

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/gpu"
	"tapweight/model/molecule"
	"tapweight/model/objective"
	"tapweight/train/data"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// Task is the downstream task, ready to train on.
type Task struct {
	Name   string
	Kind   data.Kind
	Metric string
	Tasks  []string
	Set    *molecule.Set
	Labels [][]float64 // per molecule of Set, in the file's units
	Split  *data.Split
	Scale  data.Scale                           // of regression targets
	Place  func(line int) (path string, at int) // of a line of Set
	part   []string
}

// CacheDir returns the folder of featurised molecules.
func (c *Config) CacheDir() (string, error) {
	if c.Cache != "" {
		return c.Cache, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: give one with --cache DIR: %w", err)
	}
	return filepath.Join(dir, "tapweight"), nil
}

// refused reports refused molecules, or fails where the configuration says so.
func (c *Config) refused(name string, place func(line int) (string, int), bad []molecule.Invalid, con *runlog.Console) error {
	if len(bad) == 0 {
		return nil
	}
	var lines []string
	for i, b := range bad {
		if i == 20 {
			lines = append(lines, fmt.Sprintf("  … and %d more", len(bad)-i))
			break
		}
		path, line := place(b.Line)
		lines = append(lines, fmt.Sprintf("  %s:%d: %s: %s", path, line, b.SMILES, b.Reason))
	}
	list := strings.Join(lines, "\n")
	if c.OnInvalid == "fail" {
		return fmt.Errorf("RDKit refuses %d molecules (--on-invalid skip leaves them out):\n%s", len(bad), list)
	}
	con.Printf("%d molecules of %s are left out:\n%s", len(bad), name, list)
	return nil
}

// inFile is the place of every line of one file.
func inFile(path string) func(line int) (string, int) {
	return func(line int) (string, int) { return path, line }
}

// OpenTask reads, featurises and splits the task.
func (c *Config) OpenTask(ctx context.Context, con *runlog.Console) (*Task, error) {
	preset, err := data.Resolve(c.Dataset, c.Data, data.Columns{SMILES: c.SMILES, Labels: c.Labels, Split: c.SplitColumn})
	if err != nil {
		return nil, err
	}
	preset.Columns.Split = c.SplitColumn
	var table *data.Table
	if c.ValidFile != "" {
		table, err = data.ReadParts(preset.File, c.ValidFile, c.TestFile, preset.Columns)
	} else {
		table, err = data.ReadTable(preset.File, preset.Columns)
	}
	if err != nil {
		return nil, err
	}
	t := &Task{Name: preset.Name, Tasks: table.Tasks, Kind: preset.Kind, Metric: preset.Metric, Place: table.Place}
	if c.Task != "auto" {
		t.Kind = data.Kind(c.Task)
	} else if t.Kind == "" {
		t.Kind = data.InferKind(table.Labels)
	}
	if t.Kind == data.Classification {
		if err := table.CheckClasses(); err != nil {
			return nil, err
		}
	}
	if c.Metric != "" {
		t.Metric = c.Metric
	}
	if t.Metric == "" || c.Task != "auto" && c.Metric == "" && t.Kind != preset.Kind {
		t.Metric = map[data.Kind]string{data.Regression: "rmse", data.Classification: "roc-auc"}[t.Kind]
	}
	if (t.Metric == "roc-auc") != (t.Kind == data.Classification) {
		return nil, fmt.Errorf("metric %s does not fit a %s task", t.Metric, t.Kind)
	}
	records := make([]molecule.Record, len(table.SMILES))
	row := map[int]int{}
	for i, s := range table.SMILES {
		records[i] = molecule.Record{SMILES: s, Line: table.Line[i]}
		row[table.Line[i]] = i
	}
	var bad []molecule.Invalid
	if t.Set, bad, err = c.openSet(ctx, table.ContentKey+" "+preset.Columns.SMILES, preset.File, con, func() ([]molecule.Record, error) { return records, nil }); err != nil {
		return nil, err
	}
	if err := c.refused(preset.Name, t.Place, bad, con); err != nil {
		return nil, err
	}
	if t.Set.Len() == 0 {
		return nil, fmt.Errorf("%s: no molecule is left", preset.File)
	}
	smiles := make([]string, t.Set.Len())
	for i := range smiles {
		smiles[i] = t.Set.SMILES(i)
		t.Labels = append(t.Labels, table.Labels[row[t.Set.Line(i)]])
		if table.Part != nil {
			t.part = append(t.part, table.Part[row[t.Set.Line(i)]])
		}
	}
	if t.Split, err = data.NewSplit(c.Split, smiles, func() ([]string, error) { return molecule.Scaffolds(t.Set) }, t.part, c.Seed); err != nil {
		return nil, fmt.Errorf("%s: %w", preset.Name, err)
	}
	if canonical, err := molecule.Canonical(t.Set); err != nil {
		return nil, err
	} else if n := t.Split.Leaks(canonical); n > 0 {
		con.Printf("warning: %d validation or test molecules are training molecules too", n)
	}
	if t.Kind == data.Regression {
		t.Scale = data.NewScale(t.Labels, t.Split.Train)
	}
	return t, nil
}

// CheckParts tells of tasks that a part of the split has no use for, before anything is trained: a metric that is undefined there
// is an error when it is so for every task.
func (t *Task) CheckParts(con *runlog.Console) error {
	for _, part := range []struct {
		name, metric string
		index        []int
	}{{"training", "", t.Split.Train}, {"validation", t.Metric, t.Split.Valid}, {"test", t.Metric, t.Split.Test}} {
		var undefined []string
		for j, name := range t.Tasks {
			var labels []float64
			for _, i := range part.index {
				labels = append(labels, t.Labels[i][j])
			}
			if !metric.Defined(part.metric, labels) {
				undefined = append(undefined, name)
			}
		}
		n := len(undefined)
		if n == 0 {
			continue
		}
		why := "no labels"
		if part.metric == "roc-auc" {
			why = "one class only, or no labels"
		}
		if n == len(t.Tasks) {
			return fmt.Errorf("%s: the %s part has %s for any task; use another split", t.Name, part.name, why)
		}
		list := strings.Join(undefined[:min(n, 5)], ", ")
		if n > 5 {
			list += fmt.Sprintf(" and %d more", n-5)
		}
		if part.metric == "" {
			con.Printf("warning: the training part has no labels for %s: their predictions mean nothing", list)
		} else {
			con.Printf("%s: %s is undefined (%s) for %s: left out", part.name, part.metric, why, list)
		}
	}
	return nil
}

// openSet opens a featurised set with progress.
func (c *Config) openSet(ctx context.Context, key, path string, con *runlog.Console, load func() ([]molecule.Record, error)) (*molecule.Set, []molecule.Invalid, error) {
	f, err := molecule.FeaturesByName(c.Features)
	if err != nil {
		return nil, nil, err
	}
	dir, err := c.CacheDir()
	if err != nil {
		return nil, nil, err
	}
	var p *runlog.Progress
	set, bad, err := molecule.Open(ctx, dir, key, f, load, func(done, total int) {
		if p == nil {
			p = con.Progress("featurising "+filepath.Base(path), total)
		}
		p.Set(done, "")
	})
	if p != nil {
		p.Done()
	}
	return set, bad, err
}

// targets returns the labels that the loss sees.
func (t *Task) targets() ([][]float64, gpu.LossKind) {
	if t.Kind == data.Regression {
		return t.Scale.Apply(t.Labels), gpu.MSE
	}
	return t.Labels, gpu.BCE
}

// OpenPool opens the pretraining pool.
func (c *Config) OpenPool(ctx context.Context, t *Task, con *runlog.Console) (*objective.Pool, error) {
	pool := &objective.Pool{Seed: c.Seed, Classification: t.Kind == data.Classification}
	var bad []molecule.Invalid
	var err error
	path := c.Pool
	if c.Pool == "task" {
		pool.Set, bad, err = c.openSet(ctx, t.Set.Key()+" train "+t.Split.Hash, "training split", con, func() ([]molecule.Record, error) {
			var r []molecule.Record
			for _, i := range t.Split.Train {
				r = append(r, molecule.Record{SMILES: t.Set.SMILES(i), Line: t.Set.Line(i)})
			}
			return r, nil
		})
	} else {
		pool.Set, path, bad, err = c.openPoolFile(ctx, con)
	}
	if err != nil {
		return nil, err
	}
	if err := c.refused(path, inFile(path), bad, con); err != nil {
		return nil, err
	}
	if pool.Set.Len() < 2 {
		return nil, fmt.Errorf("%s: the pretraining pool has %d molecules and %d that RDKit refuses, at least 2 are needed", path, pool.Set.Len(), len(bad))
	}
	if slices.Contains(c.Objectives, "oracle") {
		if pool.Task, err = matchLabels(pool.Set, t); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

// openPoolFile opens the molecules of a pool that is a file.
func (c *Config) openPoolFile(ctx context.Context, con *runlog.Console) (set *molecule.Set, path string, bad []molecule.Invalid, err error) {
	path = data.PoolFile(c.Pool)
	p, err := data.ReadPool(path, c.SMILES, c.PoolLimit)
	if err != nil {
		return nil, path, nil, err
	}
	set, bad, err = c.openSet(ctx, p.ContentKey, path, con, func() ([]molecule.Record, error) {
		r := make([]molecule.Record, len(p.SMILES))
		for i, s := range p.SMILES {
			r[i] = molecule.Record{SMILES: s, Line: p.Line[i]}
		}
		return r, nil
	})
	return set, path, bad, err
}

// matchLabels returns the training labels of pool molecules that are training molecules of the task, or nil if there is none.
func matchLabels(pool *molecule.Set, t *Task) ([][]float64, error) {
	names, err := molecule.Canonical(pool)
	if err != nil {
		return nil, err
	}
	task, err := molecule.Canonical(t.Set)
	if err != nil {
		return nil, err
	}
	targets, _ := t.targets()
	known := map[string][]float64{}
	for _, i := range t.Split.Train {
		known[task[i]] = targets[i]
	}
	missing := make([]float64, len(t.Tasks))
	for j := range missing {
		missing[j] = math.NaN()
	}
	var labels [][]float64
	found := false
	for _, name := range names {
		y, ok := known[name]
		if !ok {
			y = missing
		}
		found = found || ok
		labels = append(labels, y)
	}
	if !found {
		return nil, nil
	}
	return labels, nil
}
