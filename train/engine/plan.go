package engine

import (
	"context"
	"fmt"
	"strings"

	"tapweight/gpu"
	"tapweight/gpu/dry"
	"tapweight/kernels/op"
	"tapweight/train/level"
	"tapweight/train/runlog"
)

// Plan is what a run needs, known before anything is computed.
type Plan struct {
	EncoderParameters  int                        `json:"encoder_parameters"`
	PretrainParameters int                        `json:"pretrain_parameters"`
	FinetuneParameters int                        `json:"finetune_parameters"`
	VectorBytes        int64                      `json:"vector_bytes"`       // parameters, moments, gradients
	ArenaBytes         int64                      `json:"arena_bytes"`        // activations at their peak
	KeptBytes          int64                      `json:"kept_bytes"`         // copies of the state since the last log line, and of the best parameters
	CUDAScratchBytes   int64                      `json:"cuda_scratch_bytes"` // what the kernels of gpu/cuda need besides
	Levels             map[string]op.Cost         `json:"levels"`             // of one iteration
	Operations         map[string][]dry.Operation `json:"-"`                  // of each level, in order
	Iterations         int                        `json:"iterations"`
	Rows               []int                      `json:"rows"`
	Atoms              int                        `json:"atoms"`
	Seconds            float64                    `json:"estimated_seconds_per_iteration"` // 0 where the device was not measured
}

// BytesOn returns the memory the run needs on a device.
func (p *Plan) BytesOn(device gpu.Info) int64 {
	n := p.VectorBytes + p.ArenaBytes + p.KeptBytes
	if strings.HasPrefix(device.Name, "cuda") {
		n += p.CUDAScratchBytes
	}
	return n
}

// LevelNames lists the keys of Plan.Levels in order.
var LevelNames = []string{"pretrain", "finetune", "validation", "hypergradient"}

// sustained is the share of the measured peak that whole iterations reach, for estimates of time.
const sustained = 0.65

// MakePlan runs one iteration on the dry device. gflops is the measured peak of the device and available its free memory, or 0.
func MakePlan(ctx context.Context, c Config, gflops float64, available int64, con *runlog.Console) (*Plan, error) {
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	task, err := c.OpenTask(ctx, con)
	if err != nil {
		return nil, err
	}
	defer task.Set.Close()
	pool, err := task.OpenPool(ctx, con)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	if err := c.vectorsFit(task, pool, available); err != nil {
		return nil, err
	}
	return c.plan(task, pool, gflops)
}

func (c *Config) plan(task *Task, pool Pool, gflops float64) (*Plan, error) {
	b := dry.Open(4)
	x, err := c.build(b, task, pool, func(o *level.Options) { o.Blank = true })
	if err != nil {
		return nil, err
	}
	p := &Plan{EncoderParameters: x.pre.EncoderCount(), PretrainParameters: x.pre.Params().Count(), FinetuneParameters: x.fin.Params().Count(),
		Levels: map[string]op.Cost{}, Operations: map[string][]dry.Operation{}, Iterations: c.MaxIterations, VectorBytes: b.PeakBytes()}
	p.Rows, p.Atoms = x.pre.Rows(x.preParts[0])
	total := op.Cost{}
	for i, step := range []func() error{
		func() error { return x.sys.PretrainStep(x.preParts, x.val) },
		func() error { return x.sys.FinetuneStep(x.finParts, x.val) },
		func() error { return x.sys.ValidationStep(x.val) },
		x.sys.ReweightStep,
	} {
		b.Reset()
		if err := step(); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		p.Levels[LevelNames[i]], p.Operations[LevelNames[i]] = b.Cost(), b.Operations()
		total = total.Plus(b.Cost())
	}
	p.KeptBytes = x.sys.StateBytes() + int64((x.sys.Omega.Value.Len()+x.sys.Omega.Running.Len())*b.Info().FloatBytes)
	p.ArenaBytes, p.CUDAScratchBytes = x.sys.ArenaPeakBytes(), b.CUDAScratchBytes()
	if gflops > 0 {
		p.Seconds = float64(total.Flops) / (sustained * gflops * 1e9)
	}
	return p, nil
}

// fits refuses a run that the device's memory cannot hold, with the numbers.
func (c *Config) fits(task *Task, pool Pool, device gpu.Info, con *runlog.Console) error {
	available := device.Memory
	if available == 0 {
		return nil
	}
	if err := c.vectorsFit(task, pool, available); err != nil {
		return err
	}
	p, err := c.plan(task, pool, 0)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	need := p.BytesOn(device)
	kernels := ""
	if n := (need - p.VectorBytes - p.ArenaBytes - p.KeptBytes) / mib; n > 0 {
		kernels = fmt.Sprintf(", %d MiB for the device's kernels", n)
	}
	con.Printf("memory: %d MiB of vectors, %d MiB of activations, %d MiB of copies%s; %d MiB are available", p.VectorBytes/mib, p.ArenaBytes/mib, p.KeptBytes/mib, kernels, available/mib)
	if need > available {
		return fmt.Errorf("this run needs %d MiB of memory (%d of them for the activations of a batch of %d), %d MiB are available; "+
			"use a smaller --pretrain-batch, or --accumulate to compute it in parts", need/mib, p.ArenaBytes/mib, c.PretrainBatch, available/mib)
	}
	return nil
}

// vectorsFit refuses networks whose parameters alone exceed the memory, which no smaller batch would help. 0 available means
// unknown.
func (c *Config) vectorsFit(task *Task, pool Pool, available int64) error {
	pre, fin, err := task.problems(pool, c.Objectives)
	if err != nil {
		return err
	}
	const float = 4
	if n := int64(pre.Params().Len() + fin.Params().Len()); available > 0 && n > available/float {
		return fmt.Errorf("the parameters of %d layers of width %d alone need %d MiB of memory, %d MiB are available; use a smaller --width or fewer --layers",
			c.Layers, c.Width, n*float>>20, available>>20)
	}
	return nil
}
