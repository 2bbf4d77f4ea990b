package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

var cache string // of featurised molecules, shared by the tests

// TestMain is the command itself where the environment asks for it, so that tests see exit codes and what is printed.
func TestMain(m *testing.M) {
	if os.Getenv("TAPWEIGHT_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "tapweight-cli")
	if err != nil {
		panic(err)
	}
	cache = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// tapweight runs the command in a folder.
func tapweight(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "TAPWEIGHT_TEST_MAIN=1", "XDG_CACHE_HOME="+cache, "TAPWEIGHT_DATA=")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// tiny are the flags of a run of a second.
var tiny = []string{"--preset", "nano", "--width", "8", "--objectives", "mask-atom,edge", "--pool-limit", "60", "--pretrain-batch", "20", "--finetune-batch", "20",
	"--max-iterations", "3", "--retrain-steps", "4", "--validate-every", "2", "--threads", "1"}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// table is a CSV of n molecules with their label and part.
func table(n int, label func(i int) any, part func(i int) string) string {
	var b strings.Builder
	b.WriteString("smiles,y,part\n")
	for i := range n {
		fmt.Fprintf(&b, "%sO,%v,%s\n", strings.Repeat("C", i+1), label(i), part(i))
	}
	return b.String()
}

func third(i int) string { return []string{"train", "valid", "test"}[i%3] }

// TestErrors: what a user gets wrong ends in one line on stderr that says where and what, and a status that is not 0.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	number := func(i int) any { return i }
	write(t, dir, "good.csv", table(30, number, third))
	write(t, dir, "text.csv", table(30, number, third)+"C,high,train\n")
	write(t, dir, "nan.csv", table(30, number, third)+"C,NaN,train\n")
	write(t, dir, "part.csv", table(30, number, third)+"C,1,tset\n")
	write(t, dir, "blank.csv", table(30, func(int) any { return "" }, third))
	write(t, dir, "few.csv", table(3, number, third))
	write(t, dir, "class.csv", table(30, func(i int) any { return map[bool]int{true: i / 3 % 2}[third(i) != "valid"] }, third))
	write(t, dir, "plain.csv.gz", "smiles,y\nC,1\n")
	write(t, dir, "empty.smi", "\n")
	write(t, dir, "bad.smi", "C1\nXX\n")
	write(t, dir, "key.yaml", "dataset: demo\nlayerz: 3\n")
	write(t, dir, "twice.yaml", "layers: 3\nlayers: 4\n")
	write(t, dir, "type.yaml", "layers: many\n")
	write(t, dir, "contradiction.yaml", "gamma: 1\nsplit: column\n")
	write(t, dir, "value.yaml", "gamma: 1\nnetwork: gim\n")
	var rows strings.Builder
	for i := range 30 {
		fmt.Fprintf(&rows, "\nsome words number %d,%d", i, i%2)
	}
	write(t, dir, "words.csv", "words,y"+rows.String())
	write(t, dir, "latin.csv", "words,y"+rows.String()+"\ncaf\xe9,1\n")
	write(t, dir, "short.tsv", strings.ReplaceAll("words,y"+rows.String(), ",", "\t")+"\nno label\n")
	write(t, dir, "gpt/config.json", `{"model_type": "gpt2"}`)
	write(t, dir, "cut.safetensors", "\x40\x00\x00\x00\x00\x00\x00\x00{")
	on := func(file string, more ...string) []string {
		return append([]string{"--dataset", file, "--labels", "y"}, more...)
	}
	words := func(file string, more ...string) []string {
		return append([]string{"--dataset", file, "--text", "words", "--labels", "y", "--objectives", "mlm", "--layers", "0", "--width", "0"}, more...)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{on("none.csv"), "none.csv: no such file"},
		{[]string{"--dataset", "esoll"}, "did you mean esol?"},
		{[]string{"--dataset", "good.csv"}, "--labels"},
		{on("plain.csv.gz"), "not a gzip file"},
		{on("good.csv", "--smiles", "smile"), `no column "smile"; the nearest is "smiles"`},
		{on("text.csv"), `text.csv:32:3: column "y": "high" is not a number`},
		{on("nan.csv"), `nan.csv:32:3: column "y": "NaN" is not a finite number`},
		{on("blank.csv"), `every label of column "y" is missing`},
		{on("few.csv"), "each part needs at least one"},
		{on("part.csv", "--split-column", "part"), `part.csv:32:5: column "part": "tset" is not train, valid or test`},
		{on("class.csv", "--split-column", "part"), "the validation part has one class only"},
		{on("good.csv", "--split", "random", "--pool", "empty.smi"), "empty"},
		{on("good.csv", "--split", "random", "--pool", "bad.smi"), "0 molecules and 2 that RDKit refuses"},
		{on("good.csv", "--split", "random", "--pool", "none.smi"), "none.smi: no such file"},
		{on("good.csv", "--valid-file", "good.csv"), "give test-file too"},
		{on("good.csv", "--split", "column"), "split column contradicts the rest"},
		{on("good.csv", "--split", "random", "--init", "cut.safetensors"), "cut.safetensors: truncated"},
		{[]string{"--width", "16384", "--layers", "64"}, "MiB are available"},
		{[]string{"--config", "none.yaml"}, "none.yaml: no such file"},
		{[]string{"--config", "key.yaml"}, `key.yaml:2:1: unknown field "layerz"; the nearest is "layers"`},
		{[]string{"--config", "twice.yaml"}, `twice.yaml:2:1: mapping key "layers" already defined at [1:1]`},
		{[]string{"--config", "type.yaml"}, "type.yaml:1:9: "},
		{[]string{"--config", "contradiction.yaml"}, "contradiction.yaml:2:1: split column contradicts"},
		{[]string{"--config", "value.yaml"}, `value.yaml:2:1: network "gim" is not one of`},
		{[]string{"--config", "value.yaml", "--network", "gib"}, `tapweight: network "gib" is not one of`},
		{words("words.csv", "--text", "wrods"), `no column "wrods"; the nearest is "words"`},
		{words("words.csv", "--model", "none"), `model "none" is neither one of tiny, mini`},
		{words("words.csv", "--model", "gpt"), "gpt2"},
		{words("words.csv", "--tokenizer", "gpt"), "gpt has no tokenizer"},
		{words("words.csv", "--objectives", "mlm,edge"), `objective "edge" is not one of mlm`},
		{words("words.csv", "--split", "scaffold"), "split scaffold is for molecules"},
		{words("words.csv", "--max-tokens", "4"), "max-tokens 4 is not between"},
		{words("latin.csv"), "latin.csv:32:4: byte 0xe9 is not UTF-8"},
		{words("short.tsv"), "short.tsv:32:1: 1 fields where the header has 2"},
		{[]string{"--layers", "many"}, `invalid value "many" for flag -layers`},
		{[]string{"--layrs", "3"}, "there is no flag --layrs; did you mean --layers?"},
		{[]string{"extra"}, `unexpected argument "extra"`},
		{[]string{"--pretrain-lr", "1e30"}, "iteration 1: finetune: the loss is"},
		{[]string{"--finetune-lr", "1e30", "--weights", "none"}, "retrain step "},
	} {
		args := append(append([]string{"run", "--quiet", "--out", "out"}, tiny...), c.args...)
		os.RemoveAll(filepath.Join(dir, "out"))
		out, errs, code := tapweight(t, dir, args...)
		if code != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "tapweight: ") || !strings.Contains(errs, c.want) {
			t.Errorf("run %v: status %d, stdout %q, stderr %q, want %q", c.args, code, out, errs, c.want)
		}
	}
	for args, want := range map[string]string{
		"rnu": `there is no command "rnu"; did you mean "run"?`, "data inspct": `did you mean "inspect"?`, "resume nowhere": "nowhere is not a run folder",
		"predict --run x": "predict needs --input", "evaluate --run nowhere": "nowhere is not a run folder", "completion tcsh": "only for bash and zsh",
	} {
		out, errs, code := tapweight(t, dir, strings.Fields(args)...)
		if code != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", args, code, out, errs, want)
		}
	}
}

// TestRunAndUse runs on three files and uses the result in every way there is.
func TestRunAndUse(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []string{"train", "valid", "test"} {
		lines := []string{"y\tsmiles"}
		for i := range 12 {
			lines = append(lines, fmt.Sprintf("%d\t%sN%s", i, strings.Repeat("C", i+1), map[string]string{"train": "", "valid": "C", "test": "O"}[part]))
		}
		write(t, dir, part+".tsv", strings.Join(lines, "\n")+"\n")
	}
	run := append([]string{"run", "--dataset", "train.tsv", "--valid-file", "valid.tsv", "--test-file", "test.tsv", "--labels", "y", "--weights", "learned,none",
		"--seeds", "2", "--out", "out"}, tiny...)
	out, errs, code := tapweight(t, dir, run...)
	if code != 0 || errs != "" || !strings.Contains(out, "12 train, 12 valid, 12 test") || !strings.Contains(out, "paired difference") {
		t.Fatalf("status %d, stderr %q, stdout:\n%s", code, errs, out)
	}
	var summary struct {
		Lambda      map[string]float64
		Valid, Test struct {
			Metric string
			Value  float64
		}
		SplitHash  string `json:"split_hash"`
		Iterations int
		Seed       *int
	}
	raw, err := os.ReadFile(filepath.Join(dir, "out", "summary.json"))
	if err != nil || json.Unmarshal(raw, &summary) != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	sum := summary.Lambda["mask-atom"] + summary.Lambda["edge"]
	if !(math.Abs(sum-1) < 1e-6) || summary.Valid.Metric != "rmse" || !(summary.Test.Value > 0) || len(summary.SplitHash) != 16 || summary.Iterations != 3 || summary.Seed == nil {
		t.Errorf("summary %+v", summary)
	}
	for _, name := range []string{"config.yaml", "metrics.jsonl", "log.txt", "lambda.svg", "lambda.png", "model.safetensors", "encoder.safetensors", "state.json"} {
		if info, err := os.Stat(filepath.Join(dir, "out", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The effective configuration gives the run again, and a deeper encoder is refused by a shallower network.
	if _, errs, code := tapweight(t, dir, "run", "--quiet", "--config", "out/config.yaml", "--out", "again"); code != 0 {
		t.Errorf("again: %s", errs)
	}
	again, err := os.ReadFile(filepath.Join(dir, "again", "metrics.jsonl"))
	first, _ := os.ReadFile(filepath.Join(dir, "out", "metrics.jsonl"))
	clock := regexp.MustCompile(`"time[a-z_]*":[^,}]*,?`)
	if err != nil || len(first) == 0 || !bytes.Equal(clock.ReplaceAll(first, nil), clock.ReplaceAll(again, nil)) {
		t.Errorf("the same configuration gave other metrics: %v", err)
	}
	shallow := append(append([]string{"run", "--quiet"}, tiny...), "--layers", "2", "--init", "out/encoder.safetensors")
	if _, errs, code := tapweight(t, dir, shallow...); code != 1 || !strings.Contains(errs, "another architecture: unexpected encoder.layers.2") {
		t.Errorf("a deeper encoder: %s", errs)
	}
	write(t, dir, "new.smi", "CCO\nC1\n[Na+].[Cl-]\n")
	for _, c := range []struct{ args, file, want string }{
		{"predict --run out --input new.smi --out p.csv", "p.csv", "line,smiles,y\n1,CCO,"},
		{"embed --run out --input new.smi --out v.csv", "v.csv", "2,C1,,,,,,,,\n3,[Na+].[Cl-],"},
		{"embed --run out --input new.smi --out v.npy", "v.npy", "'shape': (3, 8), }"},
	} {
		_, errs, code := tapweight(t, dir, strings.Fields(c.args)...)
		content, err := os.ReadFile(filepath.Join(dir, c.file))
		if code != 0 || err != nil || !strings.Contains(string(content), c.want) || !strings.HasPrefix(errs, "new.smi:2: C1: ") {
			t.Errorf("%s: status %d, stderr %q, file %q", c.args, code, errs, content)
		}
	}
	write(t, dir, "bad.smi", "C1\n")
	if _, _, code := tapweight(t, dir, "predict", "--run", "out", "--input", "bad.smi", "--out", "b.csv"); code != 0 {
		t.Error("a file without a molecule has no predictions")
	}
	if out, _, code := tapweight(t, dir, "evaluate", "--run", "out"); code != 0 || !strings.Contains(out, fmt.Sprintf("test   rmse %.4f", summary.Test.Value)) {
		t.Errorf("evaluate: %s", out)
	}
}

// TestChecksAndPlan reads the JSON that other tools rely on.
func TestChecksAndPlan(t *testing.T) {
	for _, check := range []string{"hypergradient", "gradients"} {
		out, errs, code := tapweight(t, t.TempDir(), append([]string{"check", check, "--json"}, tiny...)...)
		var res struct {
			Error *float64 `json:"max_relative_error"`
		}
		if err := json.Unmarshal([]byte(out), &res); code != 0 || err != nil || res.Error == nil || !(*res.Error <= 1e-6) {
			t.Errorf("check %s: status %d, %s%s", check, code, out, errs)
		}
	}
	out, errs, code := tapweight(t, t.TempDir(), append([]string{"plan", "--json"}, tiny...)...)
	var plan struct {
		Arena  int64 `json:"arena_bytes"`
		Levels map[string]struct{ Flops int64 }
	}
	if err := json.Unmarshal([]byte(out), &plan); code != 0 || err != nil || plan.Arena == 0 || plan.Levels["pretrain"].Flops == 0 {
		t.Errorf("plan: status %d, %s%s", code, out, errs)
	}
}

// TestExamples: every command has a line of use with an example whose command and flags exist.
func TestExamples(t *testing.T) {
	example := regexp.MustCompile(`(?m)Example: (?:source <\()?tapweight (.*)`)
	var visit func(commands []*cli.Command)
	visit = func(commands []*cli.Command) {
		for _, c := range commands {
			m := example.FindStringSubmatch(c.Description)
			if m == nil || c.Usage == "" {
				t.Errorf("%s has no example or usage", c.Name)
				continue
			}
			at := &cli.Command{Subcommands: newApp().Commands}
			for _, word := range strings.Fields(m[1]) {
				if name, flag := strings.CutPrefix(word, "--"); flag {
					known := false
					for _, f := range at.Flags {
						known = known || f.Names()[0] == name
					}
					if !known {
						t.Errorf("%s: the example's --%s does not exist", c.Name, name)
					}
				}
				for _, s := range at.Subcommands {
					if s.Name == word {
						at = s
						break
					}
				}
			}
			if at.Name == "" {
				t.Errorf("%s: the example's command does not exist", c.Name)
			}
			visit(c.Subcommands)
		}
	}
	visit(newApp().Commands)
}

// TestBashCompletion asks bash what it would offer.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "tapweight")); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{"tapweight re": "resume", "tapweight data insp": "inspect", "tapweight run --max-it": "--max-iterations", "tapweight run --dataset x": ""} {
		c := exec.Command(bash, "-c", completions["bash"]+`COMP_WORDS=($0); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _tapweight; echo "${COMPREPLY[*]}"`, words)
		c.Env = append(os.Environ(), "TAPWEIGHT_TEST_MAIN=1", "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q %v, want %q", words, out, err, want)
		}
	}
}
