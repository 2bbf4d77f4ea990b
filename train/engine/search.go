package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"tapweight/model/batch"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// iteration holds the batches of one iteration of the three levels.
type iteration struct {
	pre, fin [][]*batch.Micro
	val      *batch.Micro
	err      error
	wait     time.Duration // for the batches
}

// Seeds of the orders of batches, apart from each other.
const (
	seedPool = iota + 1
	seedTrain
	seedValid
	seedRetrain
)

// order deals out the given molecules in batches.
func (r *run) order(index []int, size int, what uint64) func(t int) []int {
	o := data.NewOrder(len(index), size, r.cfg.Seed*16+what)
	return func(t int) []int {
		b := o.Batch(t)
		for i, j := range b {
			b[i] = index[j]
		}
		return b
	}
}

func upTo(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// prefetch prepares iterations from the given one on, ahead of the engine; what an iteration holds depends on its number only.
func (r *run) prefetch(ctx context.Context, from int, prepare func(t int) iteration) <-chan iteration {
	ch := make(chan iteration, 1)
	go func() {
		defer close(ch)
		for t := from; ; t++ {
			it := prepare(t)
			select {
			case ch <- it:
			case <-ctx.Done():
				return
			}
			if it.err != nil {
				return
			}
		}
	}()
	return ch
}

// search runs the three levels; with fixed weights only the first.
func (r *run) search(parent context.Context) error {
	// The loader ends with this function and not with the parent, or a stop could find it gone between two iterations.
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	defer cancel()
	learned := r.weights.kind == "learned"
	pool := r.order(upTo(r.pre.Len()), r.cfg.PretrainBatch, seedPool)
	train := r.order(r.task.Split.Train, r.cfg.FinetuneBatch, seedTrain)
	valid := r.order(r.task.Split.Valid, r.cfg.ValidBatch, seedValid)
	batches := r.prefetch(ctx, r.state.Iteration, func(t int) (it iteration) {
		for u := range r.cfg.PretrainUnroll {
			step := t*r.cfg.PretrainUnroll + u
			parts, err := r.pre.Prepare(uint32(step), pool(step), r.cfg.Accumulate)
			if err != nil {
				return iteration{err: err}
			}
			it.pre = append(it.pre, parts)
		}
		if !learned {
			return it
		}
		for u := range r.cfg.FinetuneUnroll {
			parts, err := r.fin.Prepare(train(t*r.cfg.FinetuneUnroll+u), 1, true)
			if err != nil {
				return iteration{err: err}
			}
			it.fin = append(it.fin, parts)
		}
		parts, err := r.fin.Prepare(valid(t), 1, false)
		if err != nil {
			return iteration{err: err}
		}
		it.val = parts[0]
		return it
	})
	if learned && r.state.Iteration == 0 {
		r.describe()
	}
	progress := r.con.Progress(fmt.Sprintf("%s: search", r.weights.kind), r.cfg.MaxIterations)
	defer progress.Done()
	var err error
	var waited time.Duration
	begin, done := time.Now(), 0
	for ; r.state.Iteration < r.cfg.MaxIterations; done++ {
		start := time.Now()
		it := <-batches
		it.wait = time.Since(start)
		waited += it.wait
		if it.err != nil {
			return it.err
		}
		if len(r.window) == 0 {
			if r.snap, err = r.sys.Save(r.snap); err != nil {
				return err
			}
			r.first = r.state.Iteration
		}
		r.window = append(r.window, it)
		if err := r.step(it, learned); err != nil {
			return r.searchStopped(0, learned, err)
		}
		r.state.Iteration++
		stop := parent.Err() != nil
		if stop || r.due(r.state.Iteration, r.cfg.MaxIterations) {
			note, err := r.logWindow(learned)
			if err != nil {
				return err
			}
			progress.Set(r.state.Iteration, note)
		}
		if r.state.Iteration%r.cfg.CheckpointEvery == 0 && r.state.Iteration < r.cfg.MaxIterations {
			if err := r.save(); err != nil {
				return err
			}
		}
		if stop {
			return r.interrupted()
		}
	}
	if done > 0 {
		total := time.Since(begin)
		r.con.Printf("search: %d iterations in %.1f s, %.1f%% of it waiting for data", done, total.Seconds(), 100*waited.Seconds()/total.Seconds())
	}
	r.state.Phase = phaseRetrain
	return r.save()
}

// due reports whether the numbers on the device are read after n of total iterations or steps: at every log step, and where
// something has to be scored or saved.
func (r *run) due(n, total int) bool {
	return n%r.cfg.LogEvery == 0 || n%r.cfg.ValidateEvery == 0 || n%r.cfg.CheckpointEvery == 0 || n == total
}

// logWindow reads the numbers of the iterations since the last log step and writes their lines. Where one is not finite the
// run is taken back to the state before that iteration.
func (r *run) logWindow(learned bool) (note string, err error) {
	rows, err := r.sys.Read()
	if err != nil {
		return "", r.searchStopped(0, learned, err)
	}
	for i, row := range rows {
		if err := row.NonFinite(r.pre.Names()); err != nil {
			return "", r.searchStopped(i, learned, err)
		}
		if note, err = r.writeIteration(r.first+i+1, row, r.window[i].wait, learned); err != nil {
			return "", err
		}
	}
	r.window = r.window[:0]
	return note, nil
}

// stopped takes the run back to the state after the first good entries of the window, saves it and returns the error, which names
// the iteration or step by the count that done keeps: the batches are at hand and a step depends on them and the state only.
func (r *run) stopped(what string, done *int, good int, step func(iteration) error, cause error) error {
	*done = r.first
	r.sys.Restore(r.snap)
	_, err := r.sys.Read()
	for _, it := range r.window[:good] {
		if err == nil {
			err = step(it)
			*done++
		}
	}
	r.window = r.window[:0]
	if err == nil {
		err = r.save()
	}
	if err != nil {
		return fmt.Errorf("%s %d: %w; and saving the state before it failed: %w", what, *done+1, cause, err)
	}
	return fmt.Errorf("%s %d: %w; the state before it is saved in %s", what, *done+1, cause, r.dir)
}

// searchStopped is stopped in the search.
func (r *run) searchStopped(good int, learned bool, cause error) error {
	return r.stopped("iteration", &r.state.Iteration, good, func(it iteration) error { return r.step(it, learned) }, cause)
}

// interrupted saves and says how to go on.
func (r *run) interrupted() error {
	if err := r.save(); err != nil {
		return err
	}
	return fmt.Errorf("%w; go on with: tapweight resume %s", ErrInterrupted, r.cfg.Out)
}

// describe says how the hypergradient will be taken.
func (r *run) describe() {
	var how []string
	for _, g := range r.pre.Groups() {
		var names []string
		for _, i := range g {
			names = append(names, r.pre.Names()[i])
		}
		how = append(how, fmt.Sprintf("%s by %s", strings.Join(names, "+"), r.sys.Method(len(g))))
	}
	r.con.Printf("hypergradient %s: %s", r.cfg.Hypergrad, strings.Join(how, ", "))
	if r.cfg.Compress && r.cfg.Dropout > 0 {
		r.con.Printf("dropout %g tells atoms apart: rows are shared in the first layer only", r.cfg.Dropout)
	}
}

// step queues one iteration.
func (r *run) step(it iteration, learned bool) error {
	if !r.described {
		r.described = true
		r.con.Printf("%s", r.pre.Describe(it.pre[0][0]))
	}
	r.sys.Begin()
	r.sys.Compare(learned && r.cfg.Cosines > 0 && r.state.Iteration%r.cfg.Cosines == 0)
	for u, parts := range it.pre {
		if err := r.sys.PretrainStep(parts, before(u == len(it.pre)-1, it.val)); err != nil {
			return err
		}
	}
	if !learned {
		return nil
	}
	for u, parts := range it.fin {
		if err := r.sys.FinetuneStep(parts, before(u == len(it.fin)-1, it.val)); err != nil {
			return err
		}
	}
	if err := r.sys.ValidationStep(it.val); err != nil {
		return err
	}
	return r.sys.ReweightStep()
}

// before returns the validation batch for the last step of a level.
func before(last bool, val *batch.Micro) *batch.Micro {
	if last {
		return val
	}
	return nil
}

func byName(names []string, v []float64) map[string]float64 {
	m := map[string]float64{}
	for i, n := range names {
		m[n] = v[i]
	}
	return m
}

// writeIteration writes the line of iteration n, counted from 1.
func (r *run) writeIteration(n int, s level.Scalars, wait time.Duration, learned bool) (string, error) {
	names := r.pre.Names()
	fields := []runlog.Field{{Key: "phase", Value: phaseSearch}, {Key: "iteration", Value: n}, {Key: "loss", Value: byName(names, s.Pretrain)},
		{Key: "lambda", Value: byName(names, s.Lambda)}}
	var scalars []runlog.Scalar
	for i, name := range names {
		scalars = append(scalars, runlog.Scalar{Tag: "loss/" + name, Value: s.Pretrain[i]}, runlog.Scalar{Tag: "lambda/" + name, Value: s.Lambda[i]})
	}
	note := fmt.Sprintf("loss %.3f", sumProduct(s.Lambda, s.Pretrain))
	if learned {
		norm := math.Sqrt(sumProduct(s.Hypergradient, s.Hypergradient))
		cosines := map[string]float64{}
		for i, a := range s.Gradients {
			for j, b := range s.Gradients[:i] {
				cosines[b+"|"+a] = s.Cosine[i][j]
			}
		}
		fields = append(fields, runlog.Field{Key: "hypergradient", Value: byName(names, s.Hypergradient)}, runlog.Field{Key: "hypergradient_norm", Value: norm})
		if len(s.Gradients) > 0 {
			fields = append(fields, runlog.Field{Key: "cosine", Value: cosines})
		}
		fields = append(fields, runlog.Field{Key: "finetune_loss", Value: s.Finetune}, runlog.Field{Key: "proximal", Value: s.Prox},
			runlog.Field{Key: "validation_loss", Value: s.Validation})
		if m, _, _ := level.ParseMode(r.cfg.Hypergrad); m == level.Neumann || m == level.CG {
			fields = append(fields, runlog.Field{Key: "residual", Value: runlog.Finite(s.Residual)})
		}
		scalars = append(scalars, runlog.Scalar{Tag: "hypergradient_norm", Value: norm}, runlog.Scalar{Tag: "finetune_loss", Value: s.Finetune},
			runlog.Scalar{Tag: "validation_loss", Value: s.Validation})
		top := 0
		for i := range s.Lambda {
			if s.Lambda[i] > s.Lambda[top] {
				top = i
			}
		}
		note = fmt.Sprintf("validation loss %.3f, most weight %s %.3f", s.Validation, names[top], s.Lambda[top])
		if n%r.cfg.ValidateEvery == 0 {
			res, err := r.score(r.task.Split.Valid)
			if err != nil {
				return "", err
			}
			fields = append(fields, runlog.Field{Key: "valid_" + res.Metric, Value: res.Value})
			scalars = append(scalars, runlog.Scalar{Tag: "valid/" + res.Metric, Value: res.Value})
		}
	}
	e := s.Elapsed
	fields = append(fields, runlog.Field{Key: "time_pretrain", Value: e.Pretrain.Seconds()}, runlog.Field{Key: "time_finetune", Value: e.Finetune.Seconds()},
		runlog.Field{Key: "time_validation", Value: e.Validation.Seconds()}, runlog.Field{Key: "time_hypergradient", Value: e.Hypergradient.Seconds()},
		runlog.Field{Key: "time_wait", Value: wait.Seconds()})
	if err := r.board.Write(n, scalars); err != nil {
		return "", err
	}
	return note, r.metrics.Write(fields)
}

func sumProduct(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// retrain finetunes from the learned encoder and keeps the parameters with the best validation score.
func (r *run) retrain(parent context.Context) error {
	// The loader ends with this function and not with the parent, or a stop could find it gone between two iterations.
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	defer cancel()
	opt, err := r.cfg.finetune()
	if err != nil {
		return err
	}
	if r.state.Step == 0 {
		if err := r.sys.BeginRetraining(opt, r.cfg.RetrainSteps); err != nil {
			return err
		}
	}
	train := r.order(r.task.Split.Train, r.cfg.FinetuneBatch, seedRetrain)
	batches := r.prefetch(ctx, r.state.Step, func(t int) iteration {
		parts, err := r.fin.Prepare(train(t), 1, true)
		return iteration{fin: [][]*batch.Micro{parts}, err: err}
	})
	progress := r.con.Progress(fmt.Sprintf("%s: retrain", r.weights.kind), r.cfg.RetrainSteps)
	defer progress.Done()
	for r.state.Step < r.cfg.RetrainSteps {
		it := <-batches
		if it.err != nil {
			return it.err
		}
		if len(r.window) == 0 {
			if r.snap, err = r.sys.Save(r.snap); err != nil {
				return err
			}
			r.first = r.state.Step
		}
		r.window = append(r.window, it)
		if err := r.retrainStep(it); err != nil {
			return err
		}
		r.state.Step++
		stop := parent.Err() != nil
		if stop || r.due(r.state.Step, r.cfg.RetrainSteps) {
			rows, err := r.sys.Read()
			if err != nil {
				return err
			}
			for i, row := range rows {
				if math.IsNaN(row.Finetune) || math.IsInf(row.Finetune, 0) {
					return r.stopped("retrain step", &r.state.Step, i, r.retrainStep, fmt.Errorf("finetune: the loss is %v", row.Finetune))
				}
			}
			r.window = r.window[:0]
			if r.state.Step%r.cfg.ValidateEvery == 0 || r.state.Step == r.cfg.RetrainSteps {
				if err := r.validate(rows[len(rows)-1].Finetune); err != nil {
					return err
				}
			}
		}
		progress.Set(r.state.Step, fmt.Sprintf("best valid %s %.4f", metric.First(r.task.Metric), r.state.BestValue))
		if r.state.Step%r.cfg.CheckpointEvery == 0 {
			if err := r.save(); err != nil {
				return err
			}
		}
		if stop {
			return r.interrupted()
		}
	}
	r.state.Phase = phaseDone
	return r.save()
}

// retrainStep queues one step of retraining.
func (r *run) retrainStep(it iteration) error {
	r.sys.Begin()
	return r.sys.FinetuneStep(it.fin[0], nil)
}

// validate scores ω on the validation split and keeps it when it is the best so far.
func (r *run) validate(loss float64) error {
	res, err := r.score(r.task.Split.Valid)
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	if r.state.BestStep < 0 || metric.Better(res.Metric, res.Value, r.state.BestValue) {
		r.state.BestStep, r.state.BestValue = r.state.Step, res.Value
		r.b.Copy(r.best[0], r.sys.Omega.Value)
		r.b.Copy(r.best[1], r.sys.Omega.Running)
	}
	if err := r.board.Write(r.cfg.MaxIterations+r.state.Step, []runlog.Scalar{{Tag: "retrain/valid_" + res.Metric, Value: res.Value}}); err != nil {
		return err
	}
	return r.metrics.Write([]runlog.Field{{Key: "phase", Value: phaseRetrain}, {Key: "step", Value: r.state.Step}, {Key: "finetune_loss", Value: loss},
		{Key: "valid_" + res.Metric, Value: res.Value}})
}

// finish reads the test split once, with the parameters of the best validation score, and writes models, picture and summary.
func (r *run) finish() (*Summary, error) {
	r.b.Copy(r.sys.Omega.Value, r.best[0])
	r.b.Copy(r.sys.Omega.Running, r.best[1])
	valid, err := r.score(r.task.Split.Valid)
	if err != nil {
		return nil, err
	}
	test, err := r.score(r.task.Split.Test)
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	lambda := make([]float64, len(r.pre.Names()))
	if err := r.b.Download(lambda, r.sys.Lambda); err != nil {
		return nil, err
	}
	if err := r.writeModels(); err != nil {
		return nil, err
	}
	if r.weights.kind == "learned" {
		if err := r.plot(); err != nil {
			return nil, err
		}
	}
	s := &Summary{Dataset: r.task.Name, Weights: r.weights.kind, Lambda: byName(r.pre.Names(), lambda),
		Valid: Score{valid.Metric, valid.Value, valid.Skipped, valid.Also}, Test: Score{test.Metric, test.Value, test.Skipped, test.Also}, SplitHash: r.task.Split.Hash,
		Iterations: r.state.Iteration, BestStep: r.state.BestStep, Seed: r.cfg.Seed, Hypergrad: r.cfg.Hypergrad, Parameters: r.fin.Params().Count(),
		Device: r.b.Info().Name, Time: r.state.Seconds + time.Since(r.started).Seconds()}
	return s, writeSummary(r.dir, s)
}

// plot draws λ from the lines of metrics.jsonl.
func (r *run) plot() error {
	f, err := os.Open(r.path("metrics.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	var iterations []int
	var lambda [][]float64
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var line struct {
			Phase     string             `json:"phase"`
			Iteration int                `json:"iteration"`
			Lambda    map[string]float64 `json:"lambda"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return err
		}
		if line.Phase != phaseSearch {
			continue
		}
		var row []float64
		for _, name := range r.pre.Names() {
			row = append(row, line.Lambda[name])
		}
		iterations, lambda = append(iterations, line.Iteration), append(lambda, row)
	}
	if err := lines.Err(); err != nil || len(iterations) == 0 {
		return err
	}
	return runlog.PlotWeights(r.dir, r.pre.Names(), iterations, lambda)
}
