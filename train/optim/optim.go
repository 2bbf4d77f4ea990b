// Package optim holds the optimisers' settings and learning-rate schedules. The arithmetic is gpu.Update.
package optim

import (
	"fmt"
	"math"

	"tapweight/gpu"
)

// Config is one level's optimiser.
type Config struct {
	Rule        gpu.Rule `yaml:"rule"`
	LR          float64  `yaml:"lr"`
	Momentum    float64  `yaml:"momentum"` // of SGD
	Beta1       float64  `yaml:"beta1"`    // of Adam and AdamW
	Beta2       float64  `yaml:"beta2"`
	Eps         float64  `yaml:"eps"`
	WeightDecay float64  `yaml:"weight_decay"`
	Clip        float64  `yaml:"clip"`     // largest norm of the gradient, 0 = no limit
	Schedule    string   `yaml:"schedule"` // constant, linear, cosine
	Warmup      int      `yaml:"warmup"`   // updates of linear warm-up
}

// Default returns the usual settings of a rule with a learning rate.
func Default(rule gpu.Rule, lr float64) Config {
	c := Config{Rule: rule, LR: lr, Schedule: "constant"}
	if rule == gpu.SGD {
		c.Momentum = 0.9
	} else {
		c.Beta1, c.Beta2, c.Eps = 0.9, 0.999, 1e-8
	}
	return c
}

// ParseRule reads the name of a rule.
func ParseRule(s string) (gpu.Rule, error) {
	for _, r := range []gpu.Rule{gpu.SGD, gpu.Adam, gpu.AdamW} {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("optimizer %q is not one of sgd, adam, adamw", s)
}

// Check reports the first setting that makes no sense.
func (c Config) Check() error {
	in := func(name string, v, lo, hi float64) error {
		if !(v >= lo && v < hi) {
			return fmt.Errorf("%s %g is not in [%g, %g)", name, v, lo, hi)
		}
		return nil
	}
	big := math.Inf(1)
	for _, err := range []error{
		in("lr", c.LR, 0, big), in("momentum", c.Momentum, 0, 1), in("beta1", c.Beta1, 0, 1), in("beta2", c.Beta2, 0, 1),
		in("eps", c.Eps, 0, big), in("weight_decay", c.WeightDecay, 0, big), in("clip", c.Clip, 0, big), in("warmup", float64(c.Warmup), 0, big),
	} {
		if err != nil {
			return err
		}
	}
	if c.Rule != gpu.SGD && c.Eps == 0 {
		return fmt.Errorf("eps must be positive for %s", c.Rule)
	}
	switch c.Schedule {
	case "constant", "linear", "cosine":
		return nil
	}
	return fmt.Errorf("schedule %q is not one of constant, linear, cosine", c.Schedule)
}

// Rate returns the learning rate of an update (counted from 0) in a schedule over total updates: linear warm-up, then
// constant, linear to 0 at the end, or half a cosine to 0.
func (c Config) Rate(step, total int) float64 {
	if step < c.Warmup {
		return c.LR * float64(step+1) / float64(c.Warmup)
	}
	left := 1.0
	if span := total - c.Warmup; span > 0 {
		left = math.Max(0, float64(total-step)/float64(span))
	}
	switch c.Schedule {
	case "linear":
		return c.LR * left
	case "cosine":
		return c.LR * (1 - math.Cos(math.Pi*left)) / 2
	}
	return c.LR
}

// Rates returns what gpu.Update wants on the device: lr, 1/(1-beta1^t), 1/(1-beta2^t) with t = step+1.
func (c Config) Rates(step, total int) [3]float64 {
	t := float64(step + 1)
	r := [3]float64{c.Rate(step, total), 1, 1}
	if c.Rule != gpu.SGD {
		r[1], r[2] = 1/(1-math.Pow(c.Beta1, t)), 1/(1-math.Pow(c.Beta2, t))
	}
	return r
}
