package engine

import (
	"context"
	"fmt"
	"time"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/downstream"
	"tapweight/model/objective"
	"tapweight/train/level"
	"tapweight/train/optim"
	"tapweight/train/runlog"
)

// bench is a built three-level system with batches for one iteration, outside any run folder.
type bench struct {
	pre *objective.Problem
	fin *downstream.Problem
	sys *level.System

	preParts, finParts []*batch.Micro
	val                *batch.Micro
}

// PrepareObjectives computes what the objectives need to know about the pool, which caches it.
func (c *Config) PrepareObjectives(pool *objective.Pool) error {
	net, err := c.network()
	if err != nil {
		return err
	}
	_, err = objective.NewProblem(pool, net, c.Objectives, c.Compress)
	return err
}

// assemble opens the data of a configuration and builds its system with the batches of the first iteration.
func (c *Config) assemble(ctx context.Context, b gpu.Backend, con *runlog.Console, measurable bool) (*bench, error) {
	task, err := c.OpenTask(ctx, con)
	if err != nil {
		return nil, err
	}
	pool, err := c.OpenPool(ctx, task, con)
	if err != nil {
		return nil, err
	}
	return c.build(b, task, pool, measurable)
}

// build builds the system; with measurable true its settings suit finite differences.
func (c *Config) build(b gpu.Backend, task *Task, pool *objective.Pool, measurable bool) (*bench, error) {
	net, err := c.network()
	if err != nil {
		return nil, err
	}
	x := &bench{}
	if x.pre, err = objective.NewProblem(pool, net, c.Objectives, c.Compress); err != nil {
		return nil, err
	}
	targets, kind := task.targets()
	if x.fin, err = downstream.NewProblem(task.Set, targets, kind, net, c.head(), c.Compress); err != nil {
		return nil, err
	}
	opts, err := c.levels()
	if err != nil {
		return nil, err
	}
	if measurable {
		makeMeasurable(&opts)
	}
	if x.sys, err = level.New(b, x.pre, x.fin, opts); err != nil {
		return nil, err
	}
	r := run{cfg: *c}
	if x.preParts, err = x.pre.Prepare(0, r.order(upTo(x.pre.Len()), c.PretrainBatch, seedPool)(0), c.Accumulate); err != nil {
		return nil, err
	}
	if x.finParts, err = x.fin.Prepare(r.order(task.Split.Train, c.FinetuneBatch, seedTrain)(0), 1, true); err != nil {
		return nil, err
	}
	val, err := x.fin.Prepare(r.order(task.Split.Valid, c.FinetuneBatch, seedValid)(0), 1, false)
	if err != nil {
		return nil, err
	}
	x.val = val[0]
	return x, nil
}

// CheckResult is the outcome of a check.
type CheckResult struct {
	Check            string        `json:"check"`
	MaxRelativeError float64       `json:"max_relative_error"`
	Limit            float64       `json:"limit"`
	Rows             []level.Proof `json:"rows"`
}

// Reduced returns the configuration at a size that the float64 backend runs in seconds.
func (c Config) Reduced() Config {
	c.Device = "ref"
	c.Width, c.Layers = min(c.Width, 8), min(c.Layers, 3)
	c.PretrainBatch, c.FinetuneBatch = min(c.PretrainBatch, 12*c.Accumulate), min(c.FinetuneBatch, 12)
	c.PoolLimit = 200
	return c
}

// makeMeasurable adjusts what only decides how well differences can follow: Adam's eps smooths the kink where a gradient is near 0
// (no difference could follow its sign), a larger γ lifts the hypergradient above the rounding of the validation loss.
func makeMeasurable(o *level.Options) {
	for _, opt := range []*optim.Config{&o.Pretrain, &o.Finetune} {
		if opt.Rule != gpu.SGD {
			opt.Eps, opt.LR = max(opt.Eps, 1e-3), max(opt.LR, 0.01)
		}
	}
	o.Gamma = max(o.Gamma, 0.3)
}

// CheckHypergradient is the float64 proof on a configuration at reduced size: the hypergradient against central differences of
// the whole iteration.
func CheckHypergradient(ctx context.Context, c Config, con *runlog.Console) (CheckResult, error) {
	res := CheckResult{Check: "hypergradient", Limit: 1e-6}
	x, b, err := c.reducedBench(ctx, con)
	if err != nil {
		return res, err
	}
	defer b.Close()
	// Adam's first step is the sign of the gradient, which no difference can follow: a few steps come first.
	for range 5 {
		if err := x.sys.PretrainStep(x.preParts, false); err != nil {
			return res, err
		}
		if err := x.sys.FinetuneStep(x.finParts, false); err != nil {
			return res, err
		}
	}
	if res.Rows, err = x.sys.Prove(x.preParts, x.finParts, x.val); err != nil {
		return res, err
	}
	res.MaxRelativeError = level.RelativeError(res.Rows)
	return res, nil
}

// CheckGradients compares every objective's and the task's gradient with central differences along a few random directions.
func CheckGradients(ctx context.Context, c Config, con *runlog.Console) (CheckResult, error) {
	res := CheckResult{Check: "gradients", Limit: 1e-6}
	x, b, err := c.reducedBench(ctx, con)
	if err != nil {
		return res, err
	}
	defer b.Close()
	if res.Rows, err = x.sys.ProveGradients(x.preParts, x.finParts, c.Seed); err != nil {
		return res, err
	}
	res.MaxRelativeError = level.RelativeError(res.Rows)
	return res, nil
}

func (c Config) reducedBench(ctx context.Context, con *runlog.Console) (*bench, gpu.Backend, error) {
	if err := c.Resolve(); err != nil {
		return nil, nil, err
	}
	c = c.Reduced()
	b, err := OpenDevice("ref", 1)
	if err != nil {
		return nil, nil, err
	}
	x, err := c.assemble(ctx, b, con, true)
	return x, b, err
}

// Timing is the outcome of a benchmark of whole iterations: medians over the rounds.
type Timing struct {
	Device     string             `json:"device"`
	ISA        string             `json:"isa"`
	Threads    int                `json:"threads"`
	Preset     string             `json:"preset"`
	Compress   bool               `json:"compress"`
	Hypergrad  string             `json:"hypergrad"`
	Rounds     int                `json:"rounds"`
	Rows       []int              `json:"rows"` // of the pretraining views together, by depth
	Atoms      int                `json:"atoms"`
	MS         map[string]float64 `json:"ms"`
	Spread     map[string]float64 `json:"spread_ms"` // largest minus smallest
	Losses     map[string]float64 `json:"losses"`
	H          map[string]float64 `json:"h"`
	ArenaBytes int64              `json:"arena_bytes"`
	PeakBytes  int64              `json:"peak_bytes"` // of the whole process
	Prepare    float64            `json:"prepare_ms"` // host time of one iteration's batches
}

// BenchIteration times whole iterations on one batch, after one to warm up, alternating with plain weighted steps (levels I and
// II without what level III needs).
func BenchIteration(ctx context.Context, c Config, rounds int, con *runlog.Console) (*Timing, error) {
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	b, err := OpenDevice(c.Device, c.Threads)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	x, err := c.assemble(ctx, b, con, false)
	if err != nil {
		return nil, err
	}
	info := b.Info()
	t := &Timing{Device: info.Device, ISA: info.ISA, Threads: info.Threads, Preset: c.Preset, Compress: c.Compress, Hypergrad: c.Hypergrad, Rounds: rounds,
		MS: map[string]float64{}, Spread: map[string]float64{}}
	t.Rows, t.Atoms = x.pre.Rows(x.preParts[0])
	samples := map[string][]float64{}
	add := func(name string, d time.Duration) {
		samples[name] = append(samples[name], float64(d.Microseconds())/1000)
	}
	for round := range rounds + 1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x.sys.Elapsed = level.Times{}
		start := time.Now()
		if err := x.iterate(); err != nil {
			return nil, err
		}
		total := time.Since(start)
		e := x.sys.Elapsed
		if round == 0 {
			s, err := x.sys.Read()
			if err != nil {
				return nil, err
			}
			t.Losses, t.H = byName(c.Objectives, s.Pretrain), byName(c.Objectives, s.H)
			t.Losses["finetune"], t.Losses["validation"] = s.Finetune, s.Validation
		}
		start = time.Now()
		if err := x.sys.PretrainStep(x.preParts, false); err != nil {
			return nil, err
		}
		if err := x.sys.FinetuneStep(x.finParts, false); err != nil {
			return nil, err
		}
		plain := time.Since(start)
		if round == 0 {
			continue
		}
		add("total", total)
		add("pretrain", e.Pretrain)
		add("finetune", e.Finetune)
		add("validation", e.Validation)
		add("hypergradient", e.Hypergradient)
		add("plain", plain)
	}
	start := time.Now()
	pool := run{cfg: c}
	if _, err := x.pre.Prepare(1, pool.order(upTo(x.pre.Len()), c.PretrainBatch, seedPool)(1), c.Accumulate); err != nil {
		return nil, err
	}
	t.Prepare = float64(time.Since(start).Microseconds()) / 1000
	for name, v := range samples {
		t.MS[name], t.Spread[name] = median(v)
	}
	t.ArenaBytes = x.sys.ArenaPeakBytes()
	t.PeakBytes = peakBytes()
	return t, nil
}

func (x *bench) iterate() error {
	if err := x.sys.PretrainStep(x.preParts, true); err != nil {
		return err
	}
	if err := x.sys.FinetuneStep(x.finParts, true); err != nil {
		return err
	}
	if err := x.sys.ValidationStep(x.val); err != nil {
		return err
	}
	if err := x.sys.ReweightStep(); err != nil {
		return err
	}
	s, err := x.sys.Read()
	if err != nil {
		return err
	}
	if err := s.NonFinite(x.pre.Names()); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}
