package engine

import (
	"context"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/downstream"
	"tapweight/train/level"
	"tapweight/train/optim"
	"tapweight/train/runlog"
)

// bench is a built three-level system with batches for one iteration, outside any run folder.
type bench struct {
	pre pretraining
	fin *downstream.Problem
	sys *level.System

	preParts, finParts []*batch.Micro
	val                *batch.Micro
}

// PrepareObjectives computes what the objectives need to know about the pool, which caches it.
func (t *Task) PrepareObjectives(pool Pool, objectives []string) error {
	_, err := t.domain.pretraining(pool, objectives)
	return err
}

// assemble opens the data of a configuration and builds its system with the batches of the first iteration.
func (c *Config) assemble(ctx context.Context, b gpu.Backend, con *runlog.Console, adjust ...func(*level.Options)) (*bench, error) {
	task, err := c.OpenTask(ctx, con)
	if err != nil {
		return nil, err
	}
	pool, err := task.OpenPool(ctx, con)
	if err != nil {
		return nil, err
	}
	return c.build(b, task, pool, adjust...)
}

// build builds the system.
func (c *Config) build(b gpu.Backend, task *Task, pool Pool, adjust ...func(*level.Options)) (*bench, error) {
	x := &bench{}
	var err error
	if x.pre, x.fin, err = task.problems(pool, c.Objectives); err != nil {
		return nil, err
	}
	opts, err := c.levels()
	if err != nil {
		return nil, err
	}
	for _, f := range adjust {
		f(&opts)
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
	val, err := x.fin.Prepare(r.order(task.Split.Valid, c.ValidBatch, seedValid)(0), 1, false)
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
	c.PretrainBatch, c.FinetuneBatch, c.ValidBatch = min(c.PretrainBatch, 12*c.Accumulate), min(c.FinetuneBatch, 12), min(c.ValidBatch, 12)
	c.PoolLimit = 200
	if c.texts() {
		c.Model, c.Tokenizer, c.Layers, c.Width, c.Vocabulary, c.MaxTokens = "tiny", "", 2, 8, 300, min(c.MaxTokens, 24)
	}
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
		if err := x.sys.PretrainStep(x.preParts, nil); err != nil {
			return res, err
		}
		if err := x.sys.FinetuneStep(x.finParts, nil); err != nil {
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
	b, err := OpenDevice("ref", 1, nil)
	if err != nil {
		return nil, nil, err
	}
	x, err := c.assemble(ctx, b, con, makeMeasurable)
	return x, b, err
}
