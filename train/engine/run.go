package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"tapweight/gpu"
	"tapweight/model/batch"
	"tapweight/model/checkpoint"
	"tapweight/model/downstream"
	"tapweight/model/param"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/metric"
	"tapweight/train/runlog"
)

// ErrInterrupted says that a run was stopped on request and can be resumed.
var ErrInterrupted = errors.New("interrupted")

// Score is a metric's value.
type Score struct {
	Metric  string             `json:"metric"`
	Value   float64            `json:"value"`
	Skipped []string           `json:"skipped,omitempty"`
	Also    map[string]float64 `json:"also,omitempty"` // further metrics
}

// Summary is what summary.json holds.
type Summary struct {
	Dataset    string             `json:"dataset"`
	Weights    string             `json:"weights"`
	Lambda     map[string]float64 `json:"lambda"`
	Valid      Score              `json:"valid"`
	Test       Score              `json:"test"`
	SplitHash  string             `json:"split_hash"`
	Iterations int                `json:"iterations"`
	BestStep   int                `json:"best_step"`
	Seed       uint64             `json:"seed"`
	Hypergrad  string             `json:"hypergrad"`
	Parameters int                `json:"parameters"`
	Device     string             `json:"device"`
	Time       float64            `json:"time_seconds"`
	Compared   []Comparison       `json:"compared,omitempty"` // of the whole run, over seeds
}

// Comparison is one weighting over all seeds.
type Comparison struct {
	Weights string         `json:"weights"`
	Valid   metric.Spread  `json:"valid"`
	Test    metric.Spread  `json:"test"`
	Against *metric.Spread `json:"against_first,omitempty"` // test value minus the first weighting's, paired by seed
}

// run is one weighting with one seed in one folder.
type run struct {
	cfg     Config
	dir     string
	con     *runlog.Console
	weights weighting
	task    *Task
	pool    Pool

	b    gpu.Backend
	pre  pretraining
	fin  *downstream.Problem
	sys  *level.System
	snap *level.Snapshot

	window []iteration // since the last log step
	first  int         // iterations before them; snap is the state there

	metrics   *runlog.Metrics
	board     *runlog.TensorBoard
	state     state
	best      [2]gpu.Buffer // ω's parameters and running statistics at the best validation score
	started   time.Time
	described bool // whether a batch was
}

// Phases of a run.
const (
	phaseSearch  = "search"
	phaseRetrain = "retrain"
	phaseDone    = "done"
)

// state is the part of a checkpoint that is not tensors.
type state struct {
	Version   int       `json:"version"`
	Phase     string    `json:"phase"`
	Iteration int       `json:"iteration"` // of the search
	Step      int       `json:"step"`      // of retraining
	Counters  [3][2]int `json:"counters"`  // updates and batches of θ, ω, a
	Metrics   int64     `json:"metrics_bytes"`
	BestStep  int       `json:"best_step"`
	BestValue float64   `json:"best_value"`
	Seconds   float64   `json:"time_seconds"`
	Tensors   string    `json:"tensors"` // file of the vectors
	Split     string    `json:"split_hash"`
}

func (r *run) path(name string) string { return filepath.Join(r.dir, name) }

// newRun opens the folder's logs and builds the networks; a saved state is loaded.
func newRun(cfg Config, weights, dir string, task *Task, pool Pool, b gpu.Backend, con *runlog.Console) (*run, error) {
	w, err := parseWeights(weights, cfg.Objectives)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, dir: dir, con: con, weights: w, task: task, pool: pool, b: b, started: time.Now()}
	if err := r.build(); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	if err := task.domain.keep(dir); err != nil {
		return nil, err
	}
	if r.metrics, err = runlog.OpenMetrics(r.path("metrics.jsonl"), r.state.Metrics); err != nil {
		return nil, err
	}
	if r.board, err = runlog.OpenTensorBoard(dir); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *run) build() error {
	objectives := r.cfg.Objectives
	if r.weights.kind == "only" {
		objectives = []string{r.weights.only}
	}
	var err error
	if r.pre, r.fin, err = r.task.problems(r.pool, objectives); err != nil {
		return err
	}
	opts, err := r.cfg.levels()
	if err != nil {
		return err
	}
	_, err = os.Stat(r.path(stateFile))
	opts.Blank = err == nil
	if r.sys, err = level.New(r.b, r.pre, r.fin, opts); err != nil {
		return err
	}
	if r.cfg.Init != "" && !opts.Blank {
		if err := r.loadEncoder(r.cfg.Init); err != nil {
			return err
		}
	}
	r.sys.SetLogits(r.logits())
	size := r.b.Info().FloatBytes
	for i, n := range []int{r.fin.Params().Len(), max(r.fin.States().Len(), 1)} {
		if r.best[i], err = r.b.Alloc(n, size); err != nil {
			return err
		}
		r.b.Fill(r.best[i], 0)
	}
	return nil
}

// logits returns the starting point of a: uniform, or fixed weights.
func (r *run) logits() []float64 {
	a := make([]float64, len(r.pre.Names()))
	switch r.weights.kind {
	case "random": // uniform on the simplex: normalised exponentials
		rng := rand.New(rand.NewPCG(r.cfg.Seed, 0x72616e646f6d))
		for i := range a {
			a[i] = math.Log(rng.ExpFloat64())
		}
	case "fixed":
		for i, v := range r.weights.fixed {
			a[i] = math.Log(v)
		}
	}
	return a
}

// loadEncoder starts both encoders from a file.
func (r *run) loadEncoder(path string) error {
	f, err := checkpoint.Read(path)
	if err != nil {
		return err
	}
	pre, fin := r.sys.Theta, r.sys.Omega
	for _, v := range []struct {
		table    *param.Table
		buf, too gpu.Buffer
	}{{pre.Params, pre.Value, fin.Value}, {pre.States, pre.Running, fin.Running}} {
		end := v.table.EncoderLen()
		if end == 0 {
			continue
		}
		flat := make([]float64, v.table.Len()) // padding is zero
		if err := f.ToFlat("", v.table, flat, func(e *param.Entry) bool { return e.Offset < end }); err != nil {
			return err
		}
		r.b.Upload(v.buf.Slice(0, end), flat[:end])
		r.b.Copy(v.too.Slice(0, end), v.buf.Slice(0, end))
	}
	maps.DeleteFunc(f.Tensors, func(name string, _ checkpoint.Tensor) bool { return !strings.HasPrefix(name, encoderPrefix) })
	return f.Only(r.pre.Params(), r.pre.States())
}

func (r *run) close() {
	if r.metrics != nil {
		r.metrics.Close()
	}
	if r.board != nil {
		r.board.Close()
	}
	if r.sys != nil {
		r.sys.Close()
	}
	for _, b := range r.best {
		if !b.IsNil() {
			r.b.Free(b)
		}
	}
}

// execute takes the run to its end from wherever it stands.
func (r *run) execute(ctx context.Context) (s *Summary, err error) {
	defer func() {
		// The arena has no other way to say that memory ran out in the middle of a pass, or that the device failed.
		if p := recover(); p != nil {
			e, _ := p.(error)
			switch {
			case errors.Is(e, gpu.ErrOutOfMemory):
				err = fmt.Errorf("%w; use a smaller --pretrain-batch, or --accumulate to compute it in parts", e)
			case errors.Is(e, gpu.ErrDevice):
				err = e
			}
			if err != nil {
				return
			}
			panic(p)
		}
	}()
	if r.state.Phase == phaseSearch {
		if err := r.search(ctx); err != nil {
			return nil, err
		}
	}
	if r.state.Phase == phaseRetrain {
		if err := r.retrain(ctx); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// oneThread has one OS thread drive the device until the function it returns is called: OpenMP keeps a team of threads for each
// thread that calls it, and the kernels scratch memory for each of them.
func oneThread() (end func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// Run runs a configuration in its folder, or goes on with what is there.
func Run(ctx context.Context, cfg Config, con *runlog.Console) (*Summary, error) {
	defer oneThread()()
	if err := cfg.Resolve(); err != nil {
		return nil, err
	}
	if cfg.Out == "" {
		cfg.Out = freeFolder(cfg.Dataset)
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil {
		return nil, err
	}
	unlock, err := checkpoint.Lock(cfg.Out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := writeConfig(&cfg); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(cfg.Out, "log.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	con = con.WithLog(log)
	b, err := OpenDevice(cfg.Device, cfg.Threads, con)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	summary, err := runAll(ctx, cfg, b, con)
	if err != nil {
		con.Printf("stopped: %v", err)
	}
	return summary, err
}

// freeFolder returns the first runs/NAME-N that does not exist.
func freeFolder(dataset string) string {
	for n := 1; ; n++ {
		dir := filepath.Join("runs", fmt.Sprintf("%s-%d", data.Stem(dataset), n))
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return dir
		}
	}
}

// writeConfig writes the effective configuration; a folder that holds another one is refused.
func writeConfig(cfg *Config) error {
	path := filepath.Join(cfg.Out, "config.yaml")
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if _, began := os.Stat(filepath.Join(cfg.Out, "metrics.jsonl")); err == nil && began == nil {
		was := Config{}
		if err := ParseConfig(old, &was); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		now := *cfg
		// What may differ between the parts of a run without changing its results; another device changes their last digits.
		was.Device, was.Out, was.Quiet, was.Threads, was.CheckpointEvery, was.Cache, was.Data = now.Device, now.Out, now.Quiet, now.Threads, now.CheckpointEvery, now.Cache, now.Data
		if fmt.Sprintf("%+v", was) != fmt.Sprintf("%+v", now) {
			return fmt.Errorf("%s holds a run of another configuration; give another --out, or go on with it by 'tapweight resume %s'", cfg.Out, cfg.Out)
		}
		return nil
	}
	return checkpoint.AtomicWrite(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// runAll runs every weighting with every seed. The first of each has the folder itself, the others subfolders.
func runAll(ctx context.Context, cfg Config, b gpu.Backend, con *runlog.Console) (*Summary, error) {
	con.Printf("device %s", b.Info())
	valid, test := map[string][]float64{}, map[string][]float64{}
	var first *Summary
	for s := range cfg.Seeds {
		c := cfg
		c.Seed += uint64(s)
		task, err := c.OpenTask(ctx, con)
		if err != nil {
			return nil, err
		}
		con.Printf("task %s: %s, %s, %d task(s), %s split %s: %d train, %d valid, %d test", task.Name, task.Set, task.Kind, len(task.Tasks),
			c.Split, task.Split.Hash, len(task.Split.Train), len(task.Split.Valid), len(task.Split.Test))
		if err := task.CheckParts(con); err != nil {
			return nil, err
		}
		pool, err := task.OpenPool(ctx, con)
		if err != nil {
			return nil, err
		}
		con.Printf("pool %s: %s", c.Pool, pool)
		if s == 0 {
			if err := c.fits(task, pool, b.Info(), con); err != nil {
				return nil, err
			}
		}
		for _, w := range c.Weights {
			dir := cfg.Out
			if s > 0 || w != c.Weights[0] {
				dir = filepath.Join(cfg.Out, "runs", fmt.Sprintf("%s-seed%d", safeName(w), c.Seed))
			}
			summary, err := runOne(ctx, c, w, dir, task, pool, b, con)
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = summary
			}
			valid[w], test[w] = append(valid[w], summary.Valid.Value), append(test[w], summary.Test.Value)
		}
		task.Set.Close()
		pool.Close()
	}
	first.Compared = nil
	for i, w := range cfg.Weights {
		c := Comparison{Weights: w, Valid: metric.Summarise(valid[w]), Test: metric.Summarise(test[w])}
		if i > 0 {
			p := metric.Paired(test[w], test[cfg.Weights[0]])
			c.Against = &p
		}
		first.Compared = append(first.Compared, c)
	}
	return first, writeSummary(cfg.Out, first)
}

func safeName(w string) string {
	b := []byte(w)
	for i, c := range b {
		if c == '/' || c == '=' {
			b[i] = '-'
		}
	}
	return string(b)
}

// runOne runs one weighting with one seed, or reads its summary where it is done.
func runOne(ctx context.Context, cfg Config, weights, dir string, task *Task, pool Pool, b gpu.Backend, con *runlog.Console) (*Summary, error) {
	if s, err := ReadSummary(dir); err == nil {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if dir != cfg.Out {
		one := cfg
		one.Out, one.Weights, one.Seeds = dir, []string{weights}, 1
		if err := writeConfig(&one); err != nil {
			return nil, err
		}
	}
	if len(cfg.Weights) > 1 || cfg.Seeds > 1 {
		con.Printf("weights %s, seed %d", weights, cfg.Seed)
	}
	r, err := newRun(cfg, weights, dir, task, pool, b, con)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.execute(ctx)
}

// ReadSummary reads a run folder's summary.
func ReadSummary(dir string) (*Summary, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		return nil, err
	}
	s := &Summary{}
	return s, json.Unmarshal(raw, s)
}

func writeSummary(dir string, s *Summary) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.AtomicWrite(filepath.Join(dir, "summary.json"), func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}

// score evaluates ω on molecules of the task.
func (r *run) score(index []int) (metric.Result, error) {
	r.sys.Settle()
	p, err := level.NewPredictor(r.b, r.fin.Params(), r.sys.Omega.Value, r.sys.Omega.Running)
	if err != nil {
		return metric.Result{}, err
	}
	defer p.Close()
	predicted, err := predict(p, r.fin, index, r.task.domain.evalBatch(), r.fin.Forward)
	if err != nil {
		return metric.Result{}, err
	}
	if r.task.Kind == data.Regression {
		predicted = r.task.Scale.Invert(predicted)
	}
	labels := make([][]float64, len(index))
	for i, m := range index {
		labels[i] = r.task.Labels[m]
	}
	return metric.Score(r.task.Metric, predicted, labels, r.task.Tasks)
}

// predict runs forward, Forward or Embed of the problem, over examples, size at a time: a row each, in order. The next batch is
// prepared while one is computed.
func predict(p *level.Predictor, fin *downstream.Problem, index []int, size int, forward level.Head) ([][]float64, error) {
	type prepared struct {
		parts []*batch.Micro
		err   error
	}
	next := make(chan prepared, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(next)
		for chunk := range slices.Chunk(index, size) {
			parts, err := fin.Prepare(chunk, 1, false)
			select {
			case next <- prepared{parts, err}:
			case <-stop:
				return
			}
		}
	}()
	out := make([][]float64, 0, len(index))
	for b := range next {
		if b.err != nil {
			return nil, b.err
		}
		rows, err := p.Run(b.parts[0], forward)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}
