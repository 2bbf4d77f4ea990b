package gputest

import (
	"fmt"
	"math"
)

// floor is the error that is always allowed, as a fraction of the largest expected magnitude: 16 units of float32 roundoff.
// It covers results so short that the naive loop is exact by luck, and exponentials that are a few ulp off.
const floor = 0x1p-20

// Compare returns an error unless every element of got is within 2*max|naive-want| + floor*max(|want|, terms) of want.
// Terms is the size of what was added up to give the elements, where it may have cancelled; 0 otherwise.
//
// want is the float64 oracle, naive the same plain loop in float32: whoever adds in a cleverer order does better than
// the loop, whoever makes a mistake does not. A NaN or an infinity that want does not have is an error, and so is the lack of
// one that it has. The error names the worst element.
func Compare(got, want, naive []float64, terms float64) error {
	if len(got) != len(want) || len(naive) != len(want) {
		return fmt.Errorf("%d elements, want %d (naive %d)", len(got), len(want), len(naive))
	}
	scale, slack := terms, 0.0
	for i, w := range want {
		if finite(w) {
			scale = math.Max(scale, math.Abs(w))
			if finite(naive[i]) {
				slack = math.Max(slack, math.Abs(naive[i]-w))
			}
		}
	}
	tol := 2*slack + floor*scale
	worst, bad, at := -1.0, 0, -1
	for i, w := range want {
		d := math.Abs(got[i] - w)
		if got[i] == w || math.IsNaN(got[i]) && math.IsNaN(w) {
			d = 0
		} else if !finite(d) {
			d = math.Inf(1)
		}
		if !(d <= tol) {
			bad++
			if d > worst {
				worst, at = d, i
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d elements are off; the worst is [%d] = %.9g, want %.9g, allowed error %.3g", bad, len(want), at, got[at], want[at], tol)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// sameBits returns an error unless a and b are equal to the bit, any NaN counting as equal to any other.
func sameBits(a, b []float64) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d elements", len(a), len(b))
	}
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			return fmt.Errorf("element %d is %v and %v", i, a[i], b[i])
		}
	}
	return nil
}
