package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// preset describes the dataset.
func (c *Config) preset() (data.Preset, error) {
	p, err := data.Resolve(c.Dataset, c.Data, data.Columns{SMILES: c.SMILES, Text: c.Text, Labels: c.Labels})
	if err != nil {
		return p, err
	}
	p.Columns.Split, p.Columns.Group = c.SplitColumn, or(c.GroupColumn, p.Columns.Group)
	if c.Task != "auto" {
		p.Columns.Kind = data.Kind(c.Task)
	}
	return p, nil
}

// OpenTask reads, splits and prepares the task.
func (c *Config) OpenTask(ctx context.Context, con *runlog.Console) (*Task, error) {
	preset, err := c.preset()
	if err != nil {
		return nil, err
	}
	table, err := preset.Read(c.ValidFile, c.TestFile)
	if err != nil {
		return nil, err
	}
	for _, note := range table.Notes {
		con.Printf("%s", note)
	}
	t := &Task{Name: preset.Name, Kind: table.Kind, Metric: c.Metric, Tasks: table.Tasks, Classes: table.Classes, Place: table.Place, domain: c.domain()}
	if t.Metric == "" && (preset.Kind == "" || preset.Kind == t.Kind) {
		t.Metric = preset.Metric
	}
	if t.Metric == "" {
		t.Metric = t.Kind.Metrics()[0]
	}
	for _, m := range strings.Split(t.Metric, ",") {
		if !slices.Contains(t.Kind.Metrics(), m) {
			return nil, fmt.Errorf("metric %s does not fit a %s task: choose from %s", m, t.Kind, strings.Join(t.Kind.Metrics(), ", "))
		}
	}
	if t.Kind == data.Classification {
		if err := table.CheckClasses(); err != nil {
			return nil, err
		}
	}
	if t.Set, t.Split, err = t.domain.open(ctx, table, preset, con); err != nil {
		return nil, err
	}
	for i := range t.Set.Len() {
		t.Labels = append(t.Labels, table.Labels[table.Row(t.Set.Line(i))])
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
