package gputest

import (
	"math"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/cpu"
)

// largeGemms are products that the CPU backend divides into blocks of rows, bands of columns and pieces of k, with factors too large to
// be read where they are.
func largeGemms() []testCase {
	var cases []testCase
	for i, s := range [][3]int{{3201, 70, 460}, {40, 3300, 500}, {160, 20, 14000}, {20, 160, 14000}} {
		for trans := range 4 {
			ta, tb, mode := trans&1 != 0, trans&2 != 0, []string{"bias+relu", "accumulate"}[(trans+i)%2]
			cases = append(cases, testCase{"Gemm/" + sizes(s[0], s[1], s[2]) + option(ta, "TransA") + option(tb, "TransB") + "/" + mode,
				func(m *machine) { gemm(m, s[0], s[1], s[2], ta, tb, mode) }})
		}
	}
	return cases
}

// TestLargeGemm compares largeGemms with the oracle.
func TestLargeGemm(t *testing.T) {
	b, err := cpu.Open(0)
	if err != nil {
		t.Skip(err)
	}
	defer b.Close()
	for _, c := range largeGemms() {
		t.Run(c.name, func(t *testing.T) { runCase(t, b, c) })
	}
}

// TestThreads holds every operation of the CPU to the same bits for one, two and three threads.
func TestThreads(t *testing.T) {
	var all []testCase
	for _, f := range [][]testCase{denseCases(), sparseCases(), attentionCases(), sequencesCases(), normCases(), elementCases(), lossCases(), vectorCases(), encoderCases(), largeGemms()} {
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
