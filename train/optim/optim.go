// Package optim holds the optimisers' settings and learning-rate schedules. The arithmetic is gpu.Update.
package optim

import (
	"fmt"
	"math"

	"tapweight/gpu"
)

// Config is one level's optimiser. The learning rate is a function of the update's number alone: a resumed run needs no state
// of its schedule.
type Config struct {
	Rule        gpu.Rule
	LR          float64 // the largest rate, reached after the warm-up
	Momentum    float64 // of SGD
	Beta1       float64 // of Adam and AdamW, as the next two
	Beta2       float64
	Eps         float64
	WeightDecay float64
	Clip        float64 // largest norm of the gradient, 0 = no limit
	Schedule    string  // constant, linear, cosine or step
	Warmup      int     // updates of linear warm-up
	StepSize    int     // of the step schedule: updates at one rate
	StepFactor  float64 // of the step schedule: a rate divided by the one before, in (0, 1]
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
	for _, v := range []struct {
		name  string
		value float64
		below float64 // infinite = any finite number
	}{
		{"lr", c.LR, math.Inf(1)}, {"momentum", c.Momentum, 1}, {"beta1", c.Beta1, 1}, {"beta2", c.Beta2, 1}, {"eps", c.Eps, math.Inf(1)},
		{"weight_decay", c.WeightDecay, math.Inf(1)}, {"clip", c.Clip, math.Inf(1)}, {"warmup", float64(c.Warmup), math.Inf(1)},
	} {
		if v.value >= 0 && v.value < v.below {
			continue
		}
		if math.IsInf(v.below, 1) {
			return fmt.Errorf("%s %g must be a finite number, 0 or more", v.name, v.value)
		}
		return fmt.Errorf("%s %g must be 0 or more and less than %g", v.name, v.value, v.below)
	}
	if c.Rule != gpu.SGD && c.Eps == 0 {
		return fmt.Errorf("eps must be more than 0 for %s", c.Rule)
	}
	switch c.Schedule {
	case "constant", "linear", "cosine":
		return nil
	case "step":
		if c.StepSize < 1 {
			return fmt.Errorf("step_size %d must be 1 or more for the step schedule", c.StepSize)
		}
		if !(c.StepFactor > 0 && c.StepFactor <= 1) {
			return fmt.Errorf("step_factor %g must be more than 0 and at most 1 for the step schedule", c.StepFactor)
		}
		return nil
	}
	return fmt.Errorf("schedule %q is not one of constant, linear, cosine, step", c.Schedule)
}

// Rate returns the learning rate of an update (counted from 0) of total. The warm-up raises it in equal steps, LR/Warmup at
// update 0, and the schedule begins at LR after it: constant; linear to 0 at update total; half a cosine to 0 at update total
// (Loshchilov 2017); or times StepFactor after every StepSize updates. They are PyTorch's LinearLR(1/Warmup, 1, Warmup-1),
// LinearLR(1, 0), CosineAnnealingLR and StepLR.
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
	case "step":
		return c.LR * math.Pow(c.StepFactor, float64((step-c.Warmup)/c.StepSize))
	}
	return c.LR
}

// Rates returns what gpu.Update wants: lr, 1/(1-beta1^t), 1/(1-beta2^t) with t = step+1.
func (c Config) Rates(step, total int) [3]float64 {
	t := float64(step + 1)
	r := [3]float64{c.Rate(step, total), 1, 1}
	if c.Rule != gpu.SGD {
		r[1], r[2] = 1/(1-math.Pow(c.Beta1, t)), 1/(1-math.Pow(c.Beta2, t))
	}
	return r
}
