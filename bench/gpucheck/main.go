// Command gpucheck runs, on a machine with an NVIDIA GPU and nothing but its driver, what cannot be run without one: the compliance suite
// and whole iterations on the real card, benchmarks, the same iteration in PyTorch where that is installed, compute-sanitizer
// where it is there. It writes one JSON report, after every step, so that a step that never ends loses nothing.
//
// It is packed together with the programs it runs by `make gpu-check`; see README.txt in the archive.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Report is what is sent back.
type Report struct {
	Version  string `json:"version"`
	Started  string `json:"started"`
	Host     string `json:"host"` // CPU and kernel
	Device   string `json:"device"`
	Emulated bool   `json:"emulated"` // on the stand-in driver: a test of this program, not of a GPU
	Passed   bool   `json:"passed"`
	Steps    []Step `json:"steps"`
}

// Step is one program that was run.
type Step struct {
	Name    string          `json:"name"`
	Command string          `json:"command"`
	Skipped string          `json:"skipped,omitempty"` // why
	Code    int             `json:"code"`
	Seconds float64         `json:"seconds"`
	Tests   *Tests          `json:"tests,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"` // what the program printed, where that is JSON
	Output  string          `json:"output,omitempty"` // otherwise its end
}

// Tests counts the leaves of a test program's output.
type Tests struct {
	Passed  int      `json:"passed"`
	Failed  []string `json:"failed"`
	Skipped []string `json:"skipped"`
}

// checker runs steps and keeps the report.
type checker struct {
	root, out string
	report    Report
}

const tail = 20_000 // bytes of output that are kept

// Version is set by the linker.
var version = "dev"

func main() {
	root := flag.String("root", ".", "folder of the unpacked archive")
	out := flag.String("out", "report.json", "file of the report")
	quick := flag.Bool("quick", false, "small sizes: a test of this program on the stand-in driver")
	python := flag.String("python", "python3", "Python that has torch, for the comparison")
	flag.Parse()
	c := &checker{root: *root, out: *out, report: Report{Version: version, Started: time.Now().UTC().Format(time.RFC3339), Passed: true}}
	if err := c.run(*quick, *python); err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
		os.Exit(1)
	}
	if !c.report.Passed {
		fmt.Println("something failed; the report says what:", c.out)
		os.Exit(1)
	}
	fmt.Println("all passed; please send back", c.out)
}

// size is what --quick makes small.
type size struct {
	preset, rounds    string
	batches           []string
	cases, sanitizing string // patterns of -test.run
}

func (c *checker) run(quick bool, python string) error {
	s := size{preset: "paper", rounds: "20", batches: []string{"1024", "64"}, cases: "CUDA", sanitizing: "CUDA/(Sparse|Dense|Norm)"}
	if quick {
		s = size{preset: "nano", rounds: "1", batches: []string{"32"}, cases: "CUDA/(Memory|Vector)", sanitizing: "CUDA/Memory"}
	}
	doctor, err := c.step("doctor", 2*time.Minute, c.bin("tapweight"), "doctor")
	if err != nil {
		return err
	}
	c.report.Host, c.report.Device = host(), field(doctor, "cuda")
	c.report.Emulated = strings.Contains(doctor, "emulated")
	if _, err := c.optional("nvidia-smi", time.Minute, "nvidia-smi", "-q"); err != nil {
		return err
	}
	if _, err := c.step("compliance", time.Hour, c.bin("gputest.test"), "-test.v", "-test.run", s.cases, "-test.timeout", "55m"); err != nil {
		return err
	}
	if !quick {
		if _, err := c.step("iterations", time.Hour, c.bin("level.test"), "-test.v", "-test.run", "CUDA", "-test.timeout", "55m"); err != nil {
			return err
		}
	}
	for _, batch := range s.batches {
		base := []string{"--device", "cuda", "--preset", s.preset, "--optimizer", "sgd", "--pretrain-batch", batch, "--json"}
		for _, objectives := range []string{"cluster-100,cluster-1000,cluster-10000,mask-atom,contrast", "mask-atom"} {
			args := append([]string{"bench", "iteration", "--rounds", s.rounds, "--objectives", objectives}, base...)
			if _, err := c.step("iteration, batch "+batch+", "+objectives, 20*time.Minute, c.bin("tapweight"), args...); err != nil {
				return err
			}
		}
		args := append([]string{"bench", "ops", "--rounds", s.rounds}, base...)
		if _, err := c.step("operations, batch "+batch, 20*time.Minute, c.bin("tapweight"), args...); err != nil {
			return err
		}
	}
	if err := c.peers(python, s); err != nil {
		return err
	}
	for _, tool := range []string{"memcheck", "racecheck", "synccheck"} {
		if _, err := c.optional("compute-sanitizer "+tool, time.Hour, "compute-sanitizer", "--tool", tool, "--error-exitcode", "9",
			c.bin("gputest.test"), "-test.run", s.sanitizing, "-test.timeout", "55m"); err != nil {
			return err
		}
	}
	return nil
}

// peers times the same iteration in PyTorch on the same card.
func (c *checker) peers(python string, s size) error {
	has := exec.Command(python, "-c", "import torch, torch_geometric; assert torch.cuda.is_available()")
	if out, err := has.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return c.skip("peers", "no PyTorch with PyTorch Geometric and CUDA in "+python+": "+lines[len(lines)-1])
	}
	dir, err := os.MkdirTemp("", "gpucheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := c.step("export of the batch", 10*time.Minute, c.bin("tapweight"), "bench", "export-batch", "--out", dir, "--preset", s.preset,
		"--optimizer", "sgd", "--objectives", "cluster-100,cluster-1000,cluster-10000,mask-atom,contrast"); err != nil {
		return err
	}
	for _, variant := range []string{"reference", "strong", "plain"} {
		if _, err := c.step("peer "+variant, 20*time.Minute, python, "-W", "ignore", filepath.Join(c.root, "peers", "molecules.py"),
			filepath.Join(dir, "batch.safetensors"), "--variant", variant, "--rounds", s.rounds, "--device", "cuda"); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) bin(name string) string { return filepath.Join(c.root, "bin", name) }

// optional is step for a program that need not be there.
func (c *checker) optional(name string, limit time.Duration, program string, args ...string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/local/cuda/bin", program)); err != nil {
			return "", c.skip(name, program+" is not installed")
		}
	}
	return c.step(name, limit, path, args...)
}

func (c *checker) skip(name, why string) error {
	fmt.Printf("%-50s skipped: %s\n", name, why)
	c.report.Steps = append(c.report.Steps, Step{Name: name, Skipped: why})
	return c.write()
}

// step runs a program to its end or its limit and notes what came out. A program that fails fails the report, not the run.
func (c *checker) step(name string, limit time.Duration, program string, args ...string) (string, error) {
	fmt.Printf("%-50s ", name)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TAPWEIGHT_REQUIRE=cuda")
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	s := Step{Name: name, Command: strings.Join(append([]string{filepath.Base(program)}, args...), " "), Seconds: time.Since(start).Seconds()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		s.Code = exit.ExitCode()
	case err != nil:
		s.Code = -1
		fmt.Fprintln(&out, err)
	}
	text := out.String()
	if strings.Contains(text, "--- ") && strings.HasSuffix(program, ".test") {
		s.Tests = count(text)
	}
	if json.Valid(out.Bytes()) {
		s.Result = json.RawMessage(out.Bytes())
	} else {
		s.Output = text[max(0, len(text)-tail):]
	}
	verdict := "ok"
	if s.Code != 0 {
		c.report.Passed = false
		verdict = fmt.Sprintf("FAILED (%d)", s.Code)
	}
	if s.Tests != nil {
		verdict += fmt.Sprintf(", %d passed, %d failed, %d skipped", s.Tests.Passed, len(s.Tests.Failed), len(s.Tests.Skipped))
	}
	fmt.Printf("%s, %.1f s\n", verdict, s.Seconds)
	c.report.Steps = append(c.report.Steps, s)
	return text, c.write()
}

var outcome = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)

// count reads the output of `-test.v`. Parents are counted too.
func count(text string) *Tests {
	t := &Tests{Failed: []string{}, Skipped: []string{}}
	for _, m := range outcome.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "PASS":
			t.Passed++
		case "FAIL":
			t.Failed = append(t.Failed, m[2])
		default:
			t.Skipped = append(t.Skipped, m[2])
		}
	}
	return t
}

// field returns the line of doctor's output that begins with a name.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func host() string {
	model, _ := os.ReadFile("/proc/cpuinfo")
	kernel, _ := os.ReadFile("/proc/version")
	name := strings.TrimPrefix(field(string(model), "model name"), ": ")
	return name + "; " + strings.TrimSpace(string(kernel))
}

func (c *checker) write() error {
	raw, err := json.MarshalIndent(c.report, "", "  ")
	if err != nil {
		return err
	}
	tmp := c.out + ".tmp"
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, c.out)
}
