package cpu

import (
	"fmt"
	"testing"

	"tapweight/gpu"
)

// open returns the device with memory for the benchmarks.
func open(tb testing.TB, threads int) *Backend {
	tb.Helper()
	b, err := Open(threads)
	if err != nil {
		tb.Skipf("cpu: %v", err)
	}
	tb.Cleanup(func() { b.Close() })
	return b
}

func matrix(tb testing.TB, b *Backend, rows, cols int) gpu.Mat {
	tb.Helper()
	ld := gpu.PadCols(cols)
	buf, err := b.Alloc(rows*ld, 4)
	if err != nil {
		tb.Fatal(err)
	}
	b.Fill(buf, 0.01)
	return gpu.MatOf(buf, rows, cols, ld)
}

// BenchmarkGemm times the products of a GIN 5×300 step and of a MiniLM layer over 380 tokens, and reports the fraction of the peak
// measured in the same run.
func BenchmarkGemm(b *testing.B) {
	d := open(b, 0)
	peak := d.Peak()
	for _, s := range []struct {
		name    string
		m, n, k int
		ta, tb  bool
	}{
		{"hidden", 16000, 600, 300, false, true}, {"out", 16000, 300, 600, false, true},
		{"dx-out", 16000, 600, 300, false, false}, {"dx-hidden", 16000, 300, 600, false, false},
		{"dw-hidden", 600, 300, 16000, true, false}, {"dw-out", 300, 600, 16000, true, false},
		{"small-hidden", 1200, 600, 300, false, true}, {"small-dw", 600, 300, 1200, true, false},
		{"cluster", 1024, 10000, 300, false, true}, {"cluster-dx", 1024, 300, 10000, false, false}, {"cluster-dw", 10000, 300, 1024, true, false},
		{"similarity", 2048, 2048, 300, false, true},
		{"qkv", 380, 1152, 384, false, true}, {"attended", 380, 384, 384, false, true}, {"up", 380, 1536, 384, false, true}, {"down", 380, 384, 1536, false, true},
		{"dx-qkv", 380, 384, 1152, false, false}, {"dx-attended", 380, 384, 384, false, false}, {"dx-up", 380, 384, 1536, false, false}, {"dx-down", 380, 1536, 384, false, false},
		{"dw-qkv", 1152, 384, 380, true, false}, {"dw-attended", 384, 384, 380, true, false}, {"dw-up", 1536, 384, 380, true, false}, {"dw-down", 384, 1536, 380, true, false},
		{"narrow", 16000, 64, 64, false, true}, {"head", 32, 384, 384, false, true}, {"logits", 32, 2, 384, false, true},
	} {
		shape := func(t bool, r, c int) gpu.Mat {
			if t {
				r, c = c, r
			}
			return matrix(b, d, r, c)
		}
		g := gpu.Gemm{A: shape(s.ta, s.m, s.k), B: shape(s.tb, s.k, s.n), C: matrix(b, d, s.m, s.n), TransA: s.ta, TransB: s.tb, Accumulate: s.ta}
		b.Run(fmt.Sprintf("%s_%dx%dx%d", s.name, s.m, s.n, s.k), func(b *testing.B) {
			for b.Loop() {
				d.Gemm(g)
			}
			rate := 2 * float64(s.m) * float64(s.n) * float64(s.k) * float64(b.N) / b.Elapsed().Seconds() / 1e9
			b.ReportMetric(rate, "GFLOP/s")
			b.ReportMetric(100*rate/peak, "%peak")
		})
	}
}
