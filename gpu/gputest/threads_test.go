package gputest

import (
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
)

// TestThreads holds every operation of the CPU to the same bits for one, two and three threads.
func TestThreads(t *testing.T) {
	var all []testCase
	for _, f := range [][]testCase{denseCases(), sparseCases(), attentionCases(), sequencesCases(), normCases(), elementCases(), lossCases(), vectorCases(), encoderCases()} {
		all = append(all, f...)
	}
	l := layout{fill: math.NaN(), guard: 16, pad: gpu.PadCols}
	var want [][]result
	for _, threads := range []int{1, 2, 3} {
		b, err := cpu.Open(threads)
		if err != nil {
			t.Skip(err)
		}
		for i, c := range all {
			out, faults := execute(b, c, 42, l)
			for _, e := range faults {
				t.Errorf("%s on %d threads: %v", c.name, threads, e)
			}
			if threads == 1 {
				want = append(want, out)
				continue
			}
			for j, r := range out {
				if err := sameBits(want[i][j].value, r.value); err != nil {
					t.Errorf("%s %s: 1 and %d threads: %v", c.name, r.name, threads, err)
				}
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
