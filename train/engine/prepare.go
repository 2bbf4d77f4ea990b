package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tapweight/train/data"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// CacheDir returns the folder of prepared data.
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

// OpenTask reads, prepares and splits the task.
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
	t.domain = c.domain()
	if t.Set, err = t.domain.open(ctx, table, preset, con); err != nil {
		return nil, err
	}
	if t.Set.Len() == 0 {
		return nil, fmt.Errorf("%s: no example is left", preset.File)
	}
	row := map[int]int{}
	for i, line := range table.Line {
		row[line] = i
	}
	var part []string
	for i := range t.Set.Len() {
		j := row[t.Set.Line(i)]
		t.Labels = append(t.Labels, table.Labels[j])
		if table.Part != nil {
			part = append(part, table.Part[j])
		}
	}
	if t.Split, err = t.domain.split(t.Set, part, con); err != nil {
		return nil, fmt.Errorf("%s: %w", preset.Name, err)
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

// OpenPool opens what there is to pretrain on.
func (t *Task) OpenPool(ctx context.Context, con *runlog.Console) (Pool, error) {
	return t.domain.openPool(ctx, t, con)
}
