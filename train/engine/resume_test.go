package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapweight/train/runlog"
)

// cache is shared by the tests of this package, so that the demo is featurised once.
var cache string

// TestMain runs a whole run instead of the tests where the environment asks for it: the victim of the kill test.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TAPWEIGHT_TEST_RUN"); dir != "" {
		cfg := small(dir)
		if os.Getenv("TAPWEIGHT_TEST_TEXT") != "" {
			cfg = textRetraining(dir)
		}
		if device := os.Getenv("TAPWEIGHT_TEST_DEVICE"); device != "" { // which may be interpreted
			cfg.Device, cfg.Width, cfg.Layers, cfg.Objectives = device, 16, 2, cfg.Objectives[1:3]
			cfg.PretrainBatch, cfg.FinetuneBatch, cfg.PoolLimit = 8, 8, 100
			if os.Getenv("TAPWEIGHT_TEST_WIDE") != "" {
				cfg.Width = 512
			}
			cfg.MaxIterations, cfg.RetrainSteps, cfg.ValidateEvery, cfg.CheckpointEvery, cfg.LogEvery = 6, 4, 3, 2, 1
		}
		cfg.Cache = os.Getenv("TAPWEIGHT_TEST_CACHE")
		if _, err := Run(context.Background(), cfg, runlog.NewConsole(os.Stdout, nil, true)); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "tapweight-engine")
	if err != nil {
		panic(err)
	}
	cache = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// small is a run of a second or two with everything in it: dropout, momentum, running statistics, several phases.
func small(out string) Config {
	c := Default()
	c.Preset, c.Out, c.Cache, c.Quiet = "nano", out, cache, true
	c.Objectives = []string{"cluster-100", "mask-atom", "contrast", "motif", "context"}
	c.PoolLimit, c.Dropout = 500, 0.1
	c.MaxIterations, c.RetrainSteps, c.ValidateEvery, c.CheckpointEvery = 30, 40, 10, 7
	c.Threads = 1
	return c
}

// textRetraining is a run over texts that has no search: its table of embeddings puts steps off from one log step to the next.
func textRetraining(out string) Config {
	c := Default()
	c.Dataset, c.Out, c.Cache, c.Quiet, c.Weights = "demo-text", out, cache, true, []string{"none"}
	c.Model, c.Layers, c.Width, c.Vocabulary, c.MaxTokens, c.WeightDecay, c.Clip = "tiny", 1, 32, 400, 24, 0.01, 1
	c.RetrainSteps, c.ValidateEvery, c.CheckpointEvery, c.Threads = 90, 25, 35, 1
	return c
}

func quiet() *runlog.Console { return runlog.NewConsole(os.Stdout, nil, true) }

var timeField = regexp.MustCompile(`"time[a-z_]*":[^,}]*,?`)

// trace is everything of a run folder that must be reproducible to the bit.
func trace(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"metrics.jsonl", "summary.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "summary.json" {
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				t.Fatal(err)
			}
			raw = compact.Bytes()
		}
		b.Write(timeField.ReplaceAll(raw, nil))
	}
	for _, name := range []string{"model.safetensors", "encoder.safetensors"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}

func straight(t *testing.T, cfg func(dir string) Config) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "straight")
	if _, err := Run(context.Background(), cfg(dir), quiet()); err != nil {
		t.Fatal(err)
	}
	return trace(t, dir)
}

// smallText is a run over texts of a few seconds: dropout, a vocabulary of its own, pairs of sentences.
func smallText(out string) Config {
	c := Default()
	c.Dataset, c.Out, c.Quiet, c.Threads = "demo-text", out, true, 1
	c.Layers, c.Width, c.Vocabulary, c.MaxTokens = 1, 32, 400, 32
	c.PretrainBatch, c.FinetuneBatch, c.ValidBatch = 6, 6, 6
	c.MaxIterations, c.RetrainSteps, c.ValidateEvery, c.CheckpointEvery, c.LogEvery = 12, 12, 6, 5, 3
	return c
}

// TestTextResume stops a run over texts in both phases and goes on; what it leaves is bit-equal, and its vocabulary is kept with it.
func TestTextResume(t *testing.T) {
	straight, stopped := filepath.Join(t.TempDir(), "straight"), filepath.Join(t.TempDir(), "stopped")
	if _, err := Run(context.Background(), smallText(straight), quiet()); err != nil {
		t.Fatal(err)
	}
	cfg := smallText(stopped)
	for _, at := range []int{3, 13} { // lines: in the search, in retraining
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			for lines(stopped) < at {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if _, err := Run(ctx, cfg, quiet()); err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		cancel()
	}
	cfg.Threads = 2
	if _, err := Run(context.Background(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	if trace(t, stopped) != trace(t, straight) {
		t.Error("the resumed run over texts differs from the straight one")
	}
}

// TestTextModel predicts, scores and exports a finished run over texts.
func TestTextModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s, err := Run(context.Background(), smallText(dir), quiet())
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenModel(dir, "cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	scores, err := m.Evaluate(context.Background(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got := scores["test"]; got.Value != s.Test.Value || got.Also["f1"] != s.Test.Also["f1"] {
		t.Errorf("scored %v again, the run says %v", got, s.Test)
	}
	file := filepath.Join(t.TempDir(), "new.txt")
	if err := os.WriteFile(file, []byte("We hold the union to be perpetual.\n\nOur nuclear forces stand ready.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := m.OpenInput(context.Background(), file, "", quiet())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := m.Predict(in.Set)
	if err != nil || len(rows) != 3 || len(rows[0]) != 3 {
		t.Fatalf("predictions %v: %v", rows, err)
	}
	for _, row := range rows {
		if sum := row[0] + row[1] + row[2]; !(math.Abs(sum-1) < 1e-6) {
			t.Errorf("probabilities %v add up to %g", row, sum)
		}
	}
	// The exported folder is a model to start from: the same encoder, so the same vectors.
	folder := filepath.Join(t.TempDir(), "hf")
	if err := ExportModel(dir, folder, false); err != nil {
		t.Fatal(err)
	}
	e, err := OpenEncoder(folder, 32, "cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	again, err := e.OpenInput(context.Background(), file, "", quiet())
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Embed(in.Set)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Embed(again.Set)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("vectors of the exported encoder are %v, the run's %v", len(got), len(want))
	}
}

// lines returns the number of lines written to a run's metrics.
func lines(dir string) int {
	raw, _ := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	return bytes.Count(raw, []byte("\n"))
}

// TestKillAndResume kills the process without warning in the search, in the search again and in retraining; what the resumed
// run leaves is bit-equal.
func TestKillAndResume(t *testing.T) { killAndResume(t, small, []int{5, 17, 32, -1}) }

// TestKillAndResumeText is TestKillAndResume in retraining on texts, whose embeddings may have put steps off when it happens. Where
// the numbers are read at every step they put off none: the same bits.
func TestKillAndResumeText(t *testing.T) {
	killAndResume(t, textRetraining, []int{1, 3, -1}, "TAPWEIGHT_TEST_TEXT=1")
	if often := straight(t, func(dir string) Config {
		c := textRetraining(dir)
		c.LogEvery = 1
		return c
	}); often != straight(t, textRetraining) {
		t.Error("a run whose embeddings put steps off differs from one whose embeddings take every step")
	}
}

func killAndResume(t *testing.T, cfg func(dir string) Config, kills []int, env ...string) {
	t.Helper()
	want := straight(t, cfg)
	dir := filepath.Join(t.TempDir(), "killed")
	for _, at := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(append(os.Environ(), "TAPWEIGHT_TEST_RUN="+dir, "TAPWEIGHT_TEST_CACHE="+cache), env...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for killed := false; !killed; {
			select {
			case err := <-done:
				if err != nil || at >= 0 {
					t.Fatalf("the run ended before %d lines: %v: %s", at, err, stderr.String())
				}
				killed = true
			case <-time.After(time.Millisecond):
				if at >= 0 && lines(dir) >= at {
					cmd.Process.Kill()
					<-done
					killed = true
				}
			}
		}
	}
	if trace(t, dir) != want {
		t.Error("the run that was killed on its way differs from the straight one")
	}
}

// TestInterruptAndResume stops on request, as Ctrl-C does, and goes on with another number of threads.
func TestInterruptAndResume(t *testing.T) {
	want := straight(t, small)
	dir := filepath.Join(t.TempDir(), "interrupted")
	cfg := small(dir)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for { // as soon as a few iterations are on disk
			if lines(dir) >= 11 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := Run(ctx, cfg, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted run returned %v", err)
	} else if !strings.Contains(err.Error(), "tapweight resume "+dir) {
		t.Errorf("the error does not say how to go on: %v", err)
	}
	cfg.Threads = 2
	if _, err := Run(context.Background(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	if trace(t, dir) != want {
		t.Error("the resumed run differs from the straight one")
	}
}

// TestRunFolderIsGuarded refuses a folder of another configuration.
func TestRunFolderIsGuarded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cfg := small(dir)
	cfg.MaxIterations, cfg.RetrainSteps = 2, 2
	if _, err := Run(context.Background(), cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	cfg.Gamma = 5
	if _, err := Run(context.Background(), cfg, quiet()); err == nil || !strings.Contains(err.Error(), "another configuration") {
		t.Errorf("another configuration in the same folder: %v", err)
	}
}

// TestDivergenceIsNamed stops at the step that breaks and saves the state before it.
func TestDivergenceIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cfg := small(dir)
	cfg.Optimizer, cfg.PretrainLR, cfg.FinetuneLR = "sgd", 1e30, 1e-3
	_, err := Run(context.Background(), cfg, quiet())
	if err == nil || !strings.Contains(err.Error(), "iteration 1: finetune: the loss is") {
		t.Fatalf("divergence reported as %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil {
		t.Errorf("no state saved: %v", err)
	}
}

// TestStopsBeforeWhatIsNotFinite lets a run overflow and expects it to be saved at the iteration before, to the bit the same
// however seldom the numbers are read.
func TestStopsBeforeWhatIsNotFinite(t *testing.T) {
	for phase, set := range map[string]func(c *Config){
		"search":  func(c *Config) { c.FinetuneLR = 0.3 }, // 2γ·lr = 6: what ω is off by grows five-fold a step
		"retrain": func(c *Config) { c.FinetuneLR, c.Weights = 30, []string{"none"} },
	} {
		t.Run(phase, func(t *testing.T) { stopsBeforeWhatIsNotFinite(t, phase, set) })
	}
}

func stopsBeforeWhatIsNotFinite(t *testing.T, phase string, set func(c *Config)) {
	var want string
	for _, every := range []int{1, 4, 10} {
		c := small(filepath.Join(t.TempDir(), "overflow"))
		c.Optimizer, c.LogEvery = "sgd", every
		set(&c)
		_, err := Run(context.Background(), c, quiet())
		if err == nil || !strings.Contains(err.Error(), "the state before it is saved") {
			t.Fatalf("log-every %d: %v", every, err)
		}
		message := strings.ReplaceAll(err.Error(), c.Out, "")
		files, _ := filepath.Glob(filepath.Join(c.Out, "state-"+phase+"-*.safetensors"))
		if len(files) != 1 || phase == "search" && lines(c.Out) == 0 {
			t.Fatalf("log-every %d: checkpoints %v after %d lines", every, files, lines(c.Out))
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		got := filepath.Base(files[0]) + message + string(raw)
		if want == "" {
			t.Log(message)
			want = got
		}
		if got != want {
			t.Errorf("log-every %d: stopped with %q in %s, unlike log-every 1", every, message, filepath.Base(files[0]))
		}
	}
}
