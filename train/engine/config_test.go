package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"dataset: demo\nlayerz: 3\n": `2:1: unknown field "layerz"; the nearest is "layers"`,
		"layers: many\n":             "1:9: ",
		"weights: learned\n":         "1:10: ",
		"layers: 3\nlayers: 4\n":     "2:1: ",
	} {
		c := Default()
		if err := ParseConfig([]byte(text), &c); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for name, edit := range map[string]func(*Config){
		"is not one of nano":             func(c *Config) { c.Preset = "huge" },
		"does not divide":                func(c *Config) { c.PretrainBatch, c.Accumulate = 10, 3 },
		"split column contradicts":       func(c *Config) { c.Split = "column" },
		"split random contradicts":       func(c *Config) { c.Split, c.SplitColumn = "random", "part" },
		"give one of them":               func(c *Config) { c.SplitColumn, c.ValidFile, c.TestFile = "part", "a", "b" },
		"give test-file too":             func(c *Config) { c.ValidFile = "a" },
		"group with group-column":        func(c *Config) { c.Dataset, c.Text, c.Split = "a.csv", []string{"t"}, "group" },
		"split \"odd\" is not one of":    func(c *Config) { c.Split = "odd" },
		"clip -1 must be":                func(c *Config) { c.Clip = -1 },
		"dropout 2 is not in":            func(c *Config) { c.Dropout = 2 },
		"is not one of exact, dot":       func(c *Config) { c.Hypergrad = "neumann" },
		"is not one of the run's":        func(c *Config) { c.Weights = []string{"only=edge"} },
		"2 numbers for 5 objectives":     func(c *Config) { c.Weights = []string{"fixed=1/2"} },
		"listed twice":                   func(c *Config) { c.Objectives = []string{"edge", "edge"} },
		"schedule \"square\" is not one": func(c *Config) { c.Schedule = "square" },
	} {
		c := Default()
		edit(&c)
		if err := c.Resolve(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// TestSplitFollowsFromWhatIsGiven and stays what it was when the effective configuration is read again.
func TestSplitFollowsFromWhatIsGiven(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"scaffold": func(*Config) {}, "column": func(c *Config) { c.SplitColumn = "part" }, "files": func(c *Config) { c.ValidFile, c.TestFile = "v", "t" },
		"random": func(c *Config) { c.Split = "random" },
	} {
		c := Default()
		edit(&c)
		for range 2 {
			if err := c.Resolve(); err != nil || c.Split != want {
				t.Errorf("split %q, want %q: %v", c.Split, want, err)
			}
		}
	}
}

// TestLocate finds the line of the setting that an error is about, in either style of mapping, unless a flag overrides it.
func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	for text, want := range map[string]string{
		"# size\nwidth: 8\naccumulate: 3\n": path + ":3:1: accumulate 3 does not divide", "{width: 8, accumulate: 3}": path + ":1:12: ", "width: 8\n": "accumulate 3",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.PretrainBatch, c.Accumulate = 10, 3
		err := c.Resolve()
		if got := Locate(path, err, func(string) bool { return false }).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %q", text, got, want)
		}
		if got := Locate(path, err, func(key string) bool { return key == "accumulate" }).Error(); got != err.Error() {
			t.Errorf("overridden: %s", got)
		}
	}
}

// FuzzConfig reads arbitrary YAML: an error or a configuration that resolves or says why not, never a panic.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("dataset: demo\nobjectives: [edge, motif]\n"))
	f.Add([]byte("gamma: .nan\nwidth: 012\n"))
	f.Add([]byte("weights: [\"fixed=1/2\"]\n? [a, b]\n: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		if err := ParseConfig(text, &c); err == nil {
			_ = c.Resolve()
		} else if strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %v", err)
		}
	})
}
