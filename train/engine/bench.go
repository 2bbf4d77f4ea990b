package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"tapweight/gpu"
	"tapweight/gpu/profile"
	"tapweight/model/downstream"
	"tapweight/train/data"
	"tapweight/train/level"
	"tapweight/train/runlog"
)

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
	defer oneThread()()
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	b, err := OpenDevice(c.Device, c.Threads, con)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	x, err := c.assemble(ctx, b, con)
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
		start := time.Now()
		s, err := x.iterate()
		if err != nil {
			return nil, err
		}
		total := time.Since(start)
		if round == 0 {
			t.Losses, t.H = byName(c.Objectives, s.Pretrain), byName(c.Objectives, s.H)
			t.Losses["finetune"], t.Losses["validation"] = s.Finetune, s.Validation
		}
		start = time.Now()
		if err := x.sys.PretrainStep(x.preParts, nil); err != nil {
			return nil, err
		}
		if err := x.sys.FinetuneStep(x.finParts, nil); err != nil {
			return nil, err
		}
		if err := b.Sync(); err != nil {
			return nil, err
		}
		plain := time.Since(start)
		if _, err := x.sys.Read(); err != nil {
			return nil, err
		}
		if round == 0 {
			continue
		}
		add("total", total)
		add("pretrain", s.Elapsed.Pretrain)
		add("finetune", s.Elapsed.Finetune)
		add("validation", s.Elapsed.Validation)
		add("hypergradient", s.Elapsed.Hypergradient)
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

// iterate runs one iteration and waits for its numbers.
func (x *bench) iterate() (level.Scalars, error) {
	if err := x.sys.PretrainStep(x.preParts, x.val); err != nil {
		return level.Scalars{}, err
	}
	if err := x.sys.FinetuneStep(x.finParts, x.val); err != nil {
		return level.Scalars{}, err
	}
	if err := x.sys.ValidationStep(x.val); err != nil {
		return level.Scalars{}, err
	}
	if err := x.sys.ReweightStep(); err != nil {
		return level.Scalars{}, err
	}
	rows, err := x.sys.Read()
	if err != nil {
		return level.Scalars{}, err
	}
	if err := rows[0].NonFinite(x.pre.Names()); err != nil {
		return level.Scalars{}, fmt.Errorf("benchmark: %w", err)
	}
	return rows[0], nil
}

// EmbedTiming is the outcome of a benchmark of embedding a set of molecules.
type EmbedTiming struct {
	Device    string    `json:"device"`
	ISA       string    `json:"isa"`
	Threads   int       `json:"threads"`
	Set       string    `json:"set"` // what was embedded, in words
	Molecules int       `json:"molecules"`
	Atoms     int       `json:"atoms"`
	MS        []float64 `json:"ms"`   // of each round
	Rate      float64   `json:"rate"` // molecules per second, median
	PeakBytes int64     `json:"peak_bytes"`
}

// BenchEmbed times the embedding of the whole pool by an encoder with initial parameters: featurised molecules in, a row each
// out. With c.Out it first writes the molecules, the parameters and the rows to embed.safetensors for bench/peers.
func BenchEmbed(ctx context.Context, c Config, rounds int, con *runlog.Console) (*EmbedTiming, error) {
	defer oneThread()()
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	b, err := OpenDevice(c.Device, c.Threads, con)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	d := c.domain()
	path := data.PoolFile(c.Pool)
	in, err := d.openInput(ctx, path, "", c.PoolLimit, con)
	if err != nil {
		return nil, err
	}
	if err := c.leftOut(path, in.Invalid, con); err != nil {
		return nil, err
	}
	net, err := d.network(in.Set)
	if err != nil {
		return nil, err
	}
	fin, err := downstream.NewProblem(net, unlabelled(in.Set.Len(), 1))
	if err != nil {
		return nil, err
	}
	value := fin.Params().Initial(c.Seed)
	p, err := newPredictor(b, fin, fin.States().Initial(c.Seed), func(at gpu.Buffer) error {
		b.Upload(at, value)
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	info := b.Info()
	t := &EmbedTiming{Device: info.Device, ISA: info.ISA, Threads: info.Threads, Set: in.Set.String(), Molecules: in.Set.Len(), Atoms: in.Set.Units()}
	all := upTo(in.Set.Len())
	for round := range rounds + 1 { // the first warms up
		start := time.Now()
		rows, err := predict(p, fin, all, d.evalBatch(), fin.Embed)
		if err != nil {
			return nil, err
		}
		if round > 0 {
			t.MS = append(t.MS, float64(time.Since(start).Microseconds())/1000)
		} else if c.Out != "" {
			if err := exportSet(filepath.Join(c.Out, "embed.safetensors"), d, in.Set, fin.Params(), value, rows); err != nil {
				return nil, err
			}
		}
	}
	m, _ := median(t.MS)
	t.Rate = 1000 * float64(t.Molecules) / m
	t.PeakBytes = peakBytes()
	return t, nil
}

// OpShare is one kind of operation's part of an iteration, per iteration.
type OpShare struct {
	Op      string  `json:"op"`
	Calls   float64 `json:"calls"`
	MS      float64 `json:"ms"`
	GFlops  float64 `json:"gflops"`   // per second
	GBytes  float64 `json:"gbytes"`   // per second
	OfFloor float64 `json:"of_floor"` // time that peak arithmetic and copying would need at least, over the time taken
}

// OpShares is the profile of an iteration.
type OpShares struct {
	Device  string    `json:"device"`
	Threads int       `json:"threads"`
	Peak    float64   `json:"peak_gflops"` // fused multiply-adds on all threads, measured
	Copy    float64   `json:"copy_gbytes"` // a large copy, read plus write, measured
	MS      float64   `json:"ms"`          // all operations together
	Ops     []OpShare `json:"ops"`         // longest first; "Gemm" is all products together
}

// roofs is what a device can measure of itself.
type roofs interface {
	Peak() float64
	CopyRate() float64
}

// BenchOps runs iterations on one batch, timing every operation, after one to warm up.
func BenchOps(ctx context.Context, c Config, rounds int, con *runlog.Console) (*OpShares, error) {
	defer oneThread()()
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	inner, err := OpenDevice(c.Device, c.Threads, con)
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	out := &OpShares{Device: inner.Info().Device, Threads: inner.Info().Threads}
	if r, ok := inner.(roofs); ok {
		out.Peak, out.Copy = r.Peak(), r.CopyRate()
	}
	b := profile.Wrap(inner)
	x, err := c.assemble(ctx, b, con)
	if err != nil {
		return nil, err
	}
	for round := range rounds + 1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := x.iterate(); err != nil {
			return nil, err
		}
		if round == 0 {
			b.Reset()
		}
	}
	products := profile.Entry{Op: "Gemm"}
	entries := b.Entries()
	for _, e := range entries {
		if strings.HasPrefix(e.Op, "Gemm ") {
			products.Calls += e.Calls
			products.Time += e.Time
			products.Cost = products.Cost.Plus(e.Cost)
		}
		out.MS += e.Time.Seconds() * 1e3 / float64(rounds)
	}
	for _, e := range append([]profile.Entry{products}, entries...) {
		if e.Calls == 0 {
			continue
		}
		t := e.Time.Seconds()
		share := OpShare{Op: e.Op, Calls: float64(e.Calls) / float64(rounds), MS: t * 1e3 / float64(rounds),
			GFlops: float64(e.Flops) / t / 1e9, GBytes: float64(e.Bytes) / t / 1e9}
		if out.Peak > 0 {
			share.OfFloor = max(share.GFlops/out.Peak, share.GBytes/out.Copy)
		}
		out.Ops = append(out.Ops, share)
	}
	return out, nil
}
