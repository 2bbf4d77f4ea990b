package optim

import (
	"math"
	"strings"
	"testing"

	"tapweight/gpu"
)

// TestRate holds the rates of PyTorch 2.15 (LinearLR, CosineAnnealingLR with T_max = total - warm-up, StepLR, the warm-up
// joined by SequentialLR), printed from torch.optim.SGD with lr 0.1.
func TestRate(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		total  int
		want   []float64
	}{
		"constant": {Config{Schedule: "constant"}, 3, []float64{0.1, 0.1, 0.1, 0.1}},
		"cosine": {Config{Schedule: "cosine"}, 10, []float64{0.1, 0.09755282581475769, 0.09045084971874738, 0.07938926261462367, 0.06545084971874739,
			0.05, 0.03454915028125264, 0.020610737385376353, 0.009549150281252635, 0.002447174185242324, 0, 0, 0}},
		"linear": {Config{Schedule: "linear"}, 10, []float64{0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0, 0}},
		"step":   {Config{Schedule: "step", StepSize: 3, StepFactor: 0.5}, 10, []float64{0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125}},
		"warm cosine": {Config{Schedule: "cosine", Warmup: 4}, 12, []float64{0.025, 0.05, 0.075, 0.1, 0.1, 0.09619397662556434, 0.08535533905932738,
			0.0691341716182545, 0.05, 0.030865828381745515, 0.014644660940672627, 0.0038060233744356634}},
		"warm linear": {Config{Schedule: "linear", Warmup: 4}, 12, []float64{0.025, 0.05, 0.075, 0.1, 0.1, 0.0875, 0.075, 0.0625, 0.05, 0.0375, 0.025, 0.0125}},
		"warm step": {Config{Schedule: "step", Warmup: 4, StepSize: 3, StepFactor: 0.5}, 12, []float64{0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1,
			0.05, 0.05, 0.05, 0.025, 0.025}},
		"a run shorter than its warm-up": {Config{Schedule: "linear", Warmup: 4}, 2, []float64{0.025, 0.05, 0.075, 0.1}},
	} {
		c.config.LR = 0.1
		if err := c.config.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for step, want := range c.want {
			if got := c.config.Rate(step, c.total); !(math.Abs(got-want) <= 1e-16) { // a few roundings of numbers up to 0.1
				t.Errorf("%s: %v at update %d, want %v", name, got, step, want)
			}
		}
	}
}

func TestRates(t *testing.T) {
	c := Default(gpu.Adam, 0.1)
	c.Schedule = "linear"
	for step, want := range [][3]float64{{0.1, 10, 1000}, {0.05, 1 / 0.19, 1 / 0.001999}} {
		for i, got := range c.Rates(step, 2) {
			if !(math.Abs(got-want[i]) <= 1e-12*want[i]) { // 1-0.999^t loses four digits
				t.Errorf("update %d: %v, want %v", step, got, want[i])
			}
		}
	}
	if got := Default(gpu.SGD, 0.5).Rates(7, 9); got != [3]float64{0.5, 1, 1} {
		t.Errorf("SGD has no bias to correct: %v", got)
	}
}

func TestParseRule(t *testing.T) {
	for _, r := range []gpu.Rule{gpu.SGD, gpu.Adam, gpu.AdamW} {
		if got, err := ParseRule(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
		if err := Default(r, 0.1).Check(); err != nil {
			t.Errorf("default of %v: %v", r, err)
		}
	}
	if _, err := ParseRule("Adagrad"); err == nil || err.Error() != `optimizer "Adagrad" is not one of sgd, adam, adamw` {
		t.Errorf("%v", err)
	}
}

func TestCheck(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"lr -1 must be a finite number, 0 or more": func(c *Config) { c.LR = -1 },
		"lr NaN must be":  func(c *Config) { c.LR = math.NaN() },
		"lr +Inf must be": func(c *Config) { c.LR = math.Inf(1) },
		"momentum 1 must be 0 or more and less than 1":    func(c *Config) { c.Momentum = 1 },
		"beta1 1.5 must be":                               func(c *Config) { c.Beta1 = 1.5 },
		"beta2 -0.1 must be":                              func(c *Config) { c.Beta2 = -0.1 },
		"eps -1 must be":                                  func(c *Config) { c.Eps = -1 },
		"eps must be more than 0 for adam":                func(c *Config) { c.Eps = 0 },
		"weight_decay -1 must be":                         func(c *Config) { c.WeightDecay = -1 },
		"clip -1 must be":                                 func(c *Config) { c.Clip = -1 },
		"warmup -1 must be":                               func(c *Config) { c.Warmup = -1 },
		"step_size 0 must be 1 or more":                   func(c *Config) { c.Schedule = "step" },
		"step_factor 2 must be more than 0 and at most 1": func(c *Config) { c.Schedule, c.StepSize, c.StepFactor = "step", 1, 2 },
		"step_factor NaN must be":                         func(c *Config) { c.Schedule, c.StepSize, c.StepFactor = "step", 1, math.NaN() },
		`schedule "cos" is not one of`:                    func(c *Config) { c.Schedule = "cos" },
	} {
		c := Default(gpu.Adam, 0.1)
		change(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
