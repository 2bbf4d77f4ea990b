package engine

import (
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		"dataset: demo\nlayerz: 3\n": "[2:1] unknown field",
		"layers: many\n":             "[1:9]",
		"weights: learned\n":         "[1:10]",
	} {
		c := Default()
		if err := ParseConfig([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for name, edit := range map[string]func(*Config){
		"is not one of nano":             func(c *Config) { c.Preset = "huge" },
		"does not divide":                func(c *Config) { c.PretrainBatch, c.Accumulate = 10, 3 },
		"contradict each other":          func(c *Config) { c.Split = "column" },
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

// FuzzConfig reads arbitrary YAML: an error or a configuration that resolves or says why not, never a panic.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("dataset: demo\nobjectives: [edge, motif]\n"))
	f.Add([]byte("gamma: .nan\nwidth: 012\n"))
	f.Add([]byte("weights: [\"fixed=1/2\"]\n? [a, b]\n: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		if ParseConfig(text, &c) == nil {
			_ = c.Resolve()
		}
	})
}
