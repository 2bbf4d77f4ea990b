package engine

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"tapweight/model/downstream"
	"tapweight/model/gnn"
	"tapweight/model/molecule"
	"tapweight/model/objective"
	"tapweight/train/data"
	"tapweight/train/runlog"
)

// molecules is the domain of molecules given as SMILES.
type molecules struct{ *Config }

// size is what a preset sets.
type size struct{ layers, width, pretrain, finetune int }

var sizes = map[string]size{
	"nano": {3, 32, 128, 64}, "tiny": {3, 64, 256, 64}, "small": {5, 128, 512, 64}, "paper": {5, 300, 1024, 64},
}

func (c molecules) fill() error {
	c.Pool = or(c.Pool, "demo")
	c.Optimizer = or(c.Optimizer, "adam")
	c.Preset = or(c.Preset, "tiny")
	if len(c.Objectives) == 0 {
		c.Objectives = []string{"cluster-100", "mask-atom", "context", "contrast", "motif"}
	}
	c.Dropout = max(c.Dropout, 0)
	s, ok := sizes[c.Preset]
	if !ok {
		return wrong(fmt.Errorf("preset %q is not one of nano, tiny, small, paper", c.Preset), "preset")
	}
	for _, f := range []struct {
		v      *int
		preset int
	}{{&c.Layers, s.layers}, {&c.Width, s.width}, {&c.PretrainBatch, s.pretrain}, {&c.FinetuneBatch, s.finetune}, {&c.ValidBatch, 256}} {
		if *f.v == 0 {
			*f.v = f.preset
		}
	}
	for _, f := range []struct {
		name      string
		v, lo, hi int
	}{{"layers", c.Layers, 1, 64}, {"width", c.Width, 1, 1 << 14}} {
		if f.v < f.lo || f.v > f.hi {
			return wrong(fmt.Errorf("%s %d is not between %d and %d", f.name, f.v, f.lo, f.hi), f.name)
		}
	}
	if !slices.Contains([]string{"linear", "mlp"}, c.Head) {
		return wrong(fmt.Errorf("head %q is not one of linear, mlp", c.Head), "head")
	}
	if err := objective.Check(c.Objectives); err != nil {
		return wrong(err, "objectives")
	}
	_, err := c.graphNetwork()
	return err
}

// graphNetwork returns the encoder's description.
func (c *Config) graphNetwork() (gnn.Config, error) {
	cfg := gnn.Config{Layers: c.Layers, Width: c.Width, Dropout: c.Dropout}
	var err error
	if cfg.Features, err = molecule.FeaturesByName(c.Features); err != nil {
		return cfg, wrong(err, "features")
	}
	if cfg.Conv, err = gnn.ParseConv(c.Network); err != nil {
		return cfg, wrong(err, "network")
	}
	if cfg.Norm, err = gnn.ParseNorm(c.Norm); err != nil {
		return cfg, wrong(err, "norm")
	}
	cfg.Readout, err = gnn.ParseReadout(c.Readout)
	return cfg, wrong(err, "readout")
}

// moleculeSet is a featurised set as the engine sees it.
type moleculeSet struct{ *molecule.Set }

func (s moleculeSet) Name(i int) string { return s.SMILES(i) }
func (s moleculeSet) Units() int        { return s.Atoms() }

func (s moleculeSet) String() string {
	largest := 0
	for i := range s.Len() {
		largest = max(largest, s.Graph(i).Atoms)
	}
	return fmt.Sprintf("%d molecules, %d atoms (%.1f each, at most %d)", s.Len(), s.Atoms(), float64(s.Atoms())/float64(max(s.Len(), 1)), largest)
}

func (c molecules) open(ctx context.Context, table *data.Table, preset data.Preset, con *runlog.Console) (Examples, *data.Split, error) {
	set, bad, err := c.openSet(ctx, table.ContentKey+" "+preset.Columns.SMILES, preset.File, con, func() ([]molecule.Record, error) {
		return records(table.SMILES, table.Line), nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := c.refused(preset.Name, table.Place, bad, con); err != nil {
		return nil, nil, err
	}
	if set.Len() == 0 {
		return nil, nil, fmt.Errorf("%s: no molecule is left", preset.File)
	}
	split, err := c.split(set, table, con)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", preset.Name, err)
	}
	return moleculeSet{set}, split, nil
}

func records(smiles []string, line []int) []molecule.Record {
	r := make([]molecule.Record, len(smiles))
	for i, s := range smiles {
		r[i] = molecule.Record{SMILES: s, Line: line[i]}
	}
	return r
}

func (c molecules) split(set *molecule.Set, table *data.Table, con *runlog.Console) (*data.Split, error) {
	smiles := make([]string, set.Len())
	var parts, groups []string
	for i := range smiles {
		smiles[i] = set.SMILES(i)
		row := table.Row(set.Line(i))
		if table.Part != nil {
			parts = append(parts, table.Part[row])
		}
		if table.Group != nil {
			groups = append(groups, table.Group[row])
		}
	}
	split, err := data.NewSplit(c.Split, smiles, func() ([]string, error) {
		if c.Split == "group" {
			return groups, nil
		}
		return molecule.Scaffolds(set)
	}, parts, c.Seed)
	if err != nil {
		return nil, err
	}
	canonical, err := molecule.Canonical(set)
	if err != nil {
		return nil, err
	}
	if n := split.Leaks(canonical); n > 0 {
		con.Printf("warning: %d validation or test molecules are training molecules too", n)
	}
	return split, nil
}

func (c molecules) pretraining(p Pool, objectives []string) (pretraining, error) {
	net, err := c.graphNetwork()
	if err != nil {
		return nil, err
	}
	return objective.NewProblem(p.(moleculePool).Pool, net, objectives, c.Compress)
}

// evalBatch: large batches share more rows.
func (c molecules) evalBatch() int { return 8192 }

func (c molecules) keep(string) error { return nil }

func (c molecules) network(e Examples) (downstream.Network, error) {
	net, err := c.graphNetwork()
	if err != nil {
		return nil, err
	}
	return downstream.NewMolecules(e.(moleculeSet).Set, net, downstream.Head(c.Head), c.Compress)
}

func (c molecules) openInput(ctx context.Context, path, column string, limit int, con *runlog.Console) (*Input, error) {
	if column == "" {
		column = c.SMILES
	}
	file, err := data.ReadPool(path, column, limit)
	if err != nil {
		return nil, err
	}
	in := &Input{}
	for i, s := range file.SMILES {
		in.Rows = append(in.Rows, Row{file.Line[i], s})
	}
	set, bad, err := c.openSet(ctx, file.ContentKey+" "+column, path, con, func() ([]molecule.Record, error) { return records(file.SMILES, file.Line), nil })
	if err != nil {
		return nil, err
	}
	for _, b := range bad {
		in.Invalid = append(in.Invalid, invalid(path, b.Line, b))
	}
	in.Set = moleculeSet{set}
	return in, nil
}

// moleculePool is a pool of molecules as the engine sees it.
type moleculePool struct{ *objective.Pool }

func (p moleculePool) Len() int { return p.Set.Len() }
func (p moleculePool) String() string {
	return fmt.Sprintf("%d molecules, %d atoms", p.Set.Len(), p.Set.Atoms())
}
func (p moleculePool) Close() error { return p.Set.Close() }

func (c molecules) openPool(ctx context.Context, t *Task, con *runlog.Console) (Pool, error) {
	task := t.Set.(moleculeSet)
	pool := moleculePool{&objective.Pool{Seed: c.Seed, Classification: t.Kind == data.Classification}}
	var bad []molecule.Invalid
	var err error
	path := c.Pool
	if c.Pool == "task" {
		pool.Set, bad, err = c.openSet(ctx, task.Key()+" train "+t.Split.Hash, "training split", con, func() ([]molecule.Record, error) {
			var r []molecule.Record
			for _, i := range t.Split.Train {
				r = append(r, molecule.Record{SMILES: task.SMILES(i), Line: task.Line(i)})
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
	if pool.Len() < 2 {
		return nil, fmt.Errorf("%s: the pretraining pool has %d molecules and %d that RDKit refuses, at least 2 are needed", path, pool.Len(), len(bad))
	}
	if slices.Contains(c.Objectives, "oracle") {
		if pool.Task, err = matchLabels(pool.Set, t); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

// refused reports refused molecules, or fails where the configuration says so.
func (c molecules) refused(name string, place func(line int) (string, int), bad []molecule.Invalid, con *runlog.Console) error {
	var lines []string
	for _, b := range bad {
		path, line := place(b.Line)
		lines = append(lines, invalid(path, line, b))
	}
	return c.leftOut(name, lines, con)
}

// invalid says what is wrong with a molecule.
func invalid(path string, line int, b molecule.Invalid) string {
	return fmt.Sprintf("%s:%d: %s: %s", path, line, b.SMILES, b.Reason)
}

// leftOut reports molecules that RDKit refuses, a line each, or fails where the configuration says so.
func (c *Config) leftOut(name string, invalid []string, con *runlog.Console) error {
	n := len(invalid)
	if n == 0 {
		return nil
	}
	const most = 20
	list := "  " + strings.Join(invalid[:min(n, most)], "\n  ")
	if n > most {
		list += fmt.Sprintf("\n  … and %d more", n-most)
	}
	if c.OnInvalid == "fail" {
		return fmt.Errorf("RDKit refuses %d molecules (--on-invalid skip leaves them out):\n%s", n, list)
	}
	con.Printf("%d molecules of %s are left out:\n%s", n, name, list)
	return nil
}

// inFile is the place of every line of one file.
func inFile(path string) func(line int) (string, int) {
	return func(line int) (string, int) { return path, line }
}

// openSet opens a featurised set with progress.
func (c molecules) openSet(ctx context.Context, key, path string, con *runlog.Console, load func() ([]molecule.Record, error)) (*molecule.Set, []molecule.Invalid, error) {
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

// openPoolFile opens the molecules of a pool that is a file.
func (c molecules) openPoolFile(ctx context.Context, con *runlog.Console) (set *molecule.Set, path string, bad []molecule.Invalid, err error) {
	path = data.PoolFile(c.Pool)
	p, err := data.ReadPool(path, c.SMILES, c.PoolLimit)
	if err != nil {
		return nil, path, nil, err
	}
	set, bad, err = c.openSet(ctx, p.ContentKey, path, con, func() ([]molecule.Record, error) {
		return records(p.SMILES, p.Line), nil
	})
	return set, path, bad, err
}

// matchLabels returns the training labels of pool molecules that are training molecules of the task, or nil if there is none.
func matchLabels(pool *molecule.Set, t *Task) ([][]float64, error) {
	names, err := molecule.Canonical(pool)
	if err != nil {
		return nil, err
	}
	task, err := molecule.Canonical(t.Set.(moleculeSet).Set)
	if err != nil {
		return nil, err
	}
	targets := t.targets().Values
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
