package level_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapweight/gpu"
	"tapweight/gpu/ref"
	"tapweight/model/batch"
	"tapweight/model/downstream"
	"tapweight/model/pretext"
	"tapweight/model/transformer"
	"tapweight/train/level"
	"tapweight/train/optim"
)

// dense hides which rows a batch reads.
type dense struct{ level.Finetuning }

// retrain takes steps of retraining on batches of few texts and returns every loss and the bits of ω's vectors. In between it asks
// for the validation loss, takes a batch in two parts, and goes back to a snapshot.
func retrain(t *testing.T, b gpu.Backend, opt optim.Config, steps int, sparse bool) (trace []float64) {
	t.Helper()
	c := standardText()
	pre, problem := textProblems(t, c)
	var fin level.Finetuning = problem
	if !sparse {
		fin = dense{problem}
	}
	o := optim.Default(gpu.SGD, 0.01)
	sys, err := level.New(b, pre, fin, level.Options{Pretrain: o, Finetune: opt, Reweight: o, PretrainSteps: 1, FinetuneSteps: 1, ReweightSteps: 1,
		Micro: 1, Gamma: 0.3, Mode: level.Dot, Rows: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(sys.BeginRetraining(opt, steps))
	prepare := func(index []int, parts int, train bool) []*batch.Micro {
		p, err := problem.Prepare(index, parts, train)
		must(err)
		return p
	}
	valid := prepare([]int{2, 6}, 1, false)[0]
	var snap *level.Snapshot
	for step, back := 0, false; step < steps; step++ {
		parts := 1
		if step == 15 {
			parts = 2
		}
		index := rand.New(rand.NewPCG(9, uint64(step))).Perm(11)[:2]
		must(sys.FinetuneStep(prepare(index, parts, true), nil))
		rows, err := sys.Read()
		must(err)
		trace = append(trace, rows[0].Finetune)
		switch {
		case step%7 == 6:
			loss, err := sys.ValidationLoss(valid)
			must(err)
			trace = append(trace, loss)
		case step == 11:
			snap, err = sys.Save(snap)
			must(err)
		case step == 22 && !back:
			sys.Restore(snap)
			step, back = 11, true
		}
	}
	sys.Settle()
	for _, v := range sys.Omega.Vectors() {
		x := make([]float64, v.Buf.Len())
		must(b.Download(x, v.Buf))
		trace = append(trace, x...)
	}
	return trace
}

// TestLateRowsAreExact: a table whose rows put their steps off until they are read goes through the bits of one that takes every
// step, for every rule, with a schedule, with clipping and decay.
func TestLateRowsAreExact(t *testing.T) {
	for _, device := range []struct {
		name string
		open func() gpu.Backend
	}{{"ref", func() gpu.Backend { return ref.Open() }}, {"cpu", func() gpu.Backend { return openCPU(t, 2) }}} {
		for _, r := range rules {
			for _, decay := range []float64{0, 0.01} {
				opt := optim.Default(r.rule, 0.01)
				opt.Momentum, opt.Clip, opt.WeightDecay, opt.Schedule, opt.Warmup = r.momentum, r.clip, decay, "linear", 3
				t.Run(fmt.Sprintf("%s/%s/decay=%g", device.name, r.name, decay), func(t *testing.T) {
					sameTraces(t, retrain(t, device.open(), opt, 30, true), retrain(t, device.open(), opt, 30, false))
				})
			}
		}
		t.Run(device.name+"/more steps than a window", func(t *testing.T) {
			opt := optim.Default(gpu.AdamW, 1e-3)
			opt.Schedule = "cosine"
			sameTraces(t, retrain(t, device.open(), opt, 300, true), retrain(t, device.open(), opt, 300, false))
		})
	}
}

func sameTraces(t *testing.T, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("number %d of %d is %v, and %v where every row takes every step", i, len(got), got[i], want[i])
		}
	}
}

// counting counts the elements that optimisers touch.
type counting struct {
	*ref.Backend
	swept, late, most int
}

func (c *counting) Update(u gpu.Update) {
	c.swept += u.P.Len()
	c.Backend.Update(u)
}

func (c *counting) UpdateRows(u gpu.UpdateRows) {
	if !u.Row.IsNil() {
		c.late += u.Row.Len()
		c.most = max(c.most, u.Row.Len())
	}
	c.Backend.UpdateRows(u)
}

// TestLateRowsAreFew: a step of retraining sweeps over what is not the table, and moves the batch's rows of the table, once before
// they are read and once by their gradient.
func TestLateRowsAreFew(t *testing.T) {
	pre, problem := textProblems(t, standardText())
	b := &counting{Backend: ref.Open()}
	opt := optim.Default(gpu.AdamW, 0.01)
	sys, err := level.New(b, pre, problem, level.Options{Pretrain: opt, Finetune: opt, Reweight: optim.Default(gpu.Adam, 0.1), PretrainSteps: 1, FinetuneSteps: 1,
		ReweightSteps: 1, Micro: 1, Gamma: 0.3, Mode: level.Dot, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	if err := sys.BeginRetraining(opt, 2); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		parts, err := problem.Prepare([]int{1, 3}, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.FinetuneStep(parts, nil); err != nil {
			t.Fatal(err)
		}
	}
	table := problem.Table()
	if want := 2 * (problem.Params().Len() - table.Len()); b.swept != want || b.late != 3*b.most || b.most == 0 || b.most >= table.Rows/2 {
		t.Errorf("two steps swept over %d elements, want %d, and moved %d rows of %d, at most %d at a time", b.swept, want, b.late, table.Rows, b.most)
	}
}

// BenchmarkRetrainStep is ten steps of retraining at the size of MiniLM-L6 (22.7 million parameters, of which half are embeddings) on
// 32 sentences of 10 tokens or so, with rows that put steps off and with rows that do not, in turn. All rows are brought up to date
// behind the tenth, as the engine's log steps ask. The metrics are medians of what the process computed, a step.
func BenchmarkRetrainStep(b *testing.B) {
	const words, sentences = 30000, 2000
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.05, 5, words-1)
	vocabulary := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for w := range words {
		vocabulary = append(vocabulary, fmt.Sprintf("w%d", w))
	}
	tok := tokenizer(b, vocabulary)
	pool := pretext.NewPool(7)
	var texts [][2]string
	for range sentences {
		var s strings.Builder
		for range 3 + rng.IntN(15) {
			fmt.Fprintf(&s, "w%d ", zipf.Uint64())
		}
		pool.Add(0, tok.Append(nil, s.String()))
		texts = append(texts, [2]string{s.String()})
	}
	cfg, err := transformer.ConfigOf("minilm", tok.Size(), 0, false)
	if err != nil {
		b.Fatal(err)
	}
	pre, err := pretext.NewProblem(pool, cfg, nil, tok, []string{"mlm"}, pretext.Options{MaxTokens: 64})
	if err != nil {
		b.Fatal(err)
	}
	problem, err := downstream.NewProblem(downstream.NewTransformer(downstream.NewTexts(tok, texts, false, 64, nil), cfg, nil),
		downstream.Labels{Values: labels(sentences), Outputs: 2})
	if err != nil {
		b.Fatal(err)
	}
	for _, clip := range []float64{0, 1} {
		b.Run(fmt.Sprintf("clip=%g", clip), func(b *testing.B) {
			opt := optim.Default(gpu.AdamW, 5e-5)
			opt.WeightDecay, opt.Clip = 0.01, clip
			names := []string{"put-off", "every-row"}
			var systems [2]*level.System
			for k, fin := range []level.Finetuning{problem, dense{problem}} {
				sys, err := level.New(openCPU(b, 1), pre, fin, level.Options{Pretrain: optim.Default(gpu.SGD, 0.1), Finetune: opt, Reweight: optim.Default(gpu.Adam, 0.1),
					PretrainSteps: 1, FinetuneSteps: 1, ReweightSteps: 1, Micro: 1, Mode: level.FD, Rows: 1, Seed: 3})
				if err != nil {
					b.Fatal(err)
				}
				defer sys.Close()
				if err := sys.BeginRetraining(opt, 1000); err != nil {
					b.Fatal(err)
				}
				systems[k] = sys
			}
			var took [2][]float64
			for b.Loop() {
				const steps = 10
				var batches [][]*batch.Micro
				for range steps {
					parts, err := problem.Prepare(rng.Perm(sentences)[:32], 1, true)
					if err != nil {
						b.Fatal(err)
					}
					batches = append(batches, parts)
				}
				for k, sys := range systems {
					start := cpuTime(b)
					for _, parts := range batches {
						if err := sys.FinetuneStep(parts, nil); err != nil {
							b.Fatal(err)
						}
						if _, err := sys.Read(); err != nil {
							b.Fatal(err)
						}
					}
					sys.Settle()
					took[k] = append(took[k], (cpuTime(b)-start).Seconds()*1e3/steps)
				}
			}
			for k, name := range names {
				slices.Sort(took[k])
				b.ReportMetric(took[k][len(took[k])/2], name+"-ms/step")
			}
		})
	}
}

// cpuTime is the time that this process has computed.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}
