package emutest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func floats(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func words(v []int32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, uint32(x))
	}
	return out
}

func toFloats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

func random(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.IntN(31)-15) / 8
	}
	return out
}

// workload is a launch whose buffers are in place, and a check of its result.
type workload struct {
	name, launch string
	check        func(r *runner) error
}

func workloads(r *runner, n int) []workload {
	rng := rand.New(rand.NewPCG(7, 8))
	x, y := random(rng, n), random(rng, n)
	r.buffer("x", 4*n, floats(x))
	r.buffer("y", 4*n, floats(y))
	r.buffer("part", 4*64, nil)
	const d = 64
	rows := n / d
	ptr, col := []int32{0}, []int32{}
	for range rows {
		for range rng.IntN(5) {
			col = append(col, int32(rng.IntN(rows)))
		}
		ptr = append(ptr, int32(len(col)))
	}
	r.buffer("ptr", 4*len(ptr), words(ptr))
	r.buffer("col", 4*len(col), words(col))
	r.buffer("rows", 4*n, nil)
	const m, k = 128, 256
	a, b := random(rng, m*k), random(rng, m*k)
	half := func(v []float32) []byte {
		out := make([]byte, 0, 2*len(v))
		for _, x := range v {
			out = binary.LittleEndian.AppendUint16(out, bfloat(x))
		}
		return out
	}
	r.buffer("a", 2*m*k, half(a))
	r.buffer("b", 2*m*k, half(b))
	r.buffer("c", 4*m*m, nil)
	differ := func(name string, i int, got, want float32) error {
		return fmt.Errorf("%s[%d] is %v, want %v", name, i, got, want)
	}
	return []workload{
		{"saxpy", fmt.Sprintf("launch saxpy 64 1 1 256 1 1 0 &y &x %s %s", u32(0), u32(uint32(n))), func(r *runner) error { // a = 0: y stays
			for i, got := range toFloats(r.read("y")) {
				if got != y[i] {
					return differ("y", i, got, y[i])
				}
			}
			return nil
		}},
		{"sum", fmt.Sprintf("launch sum 64 1 1 256 1 1 0 &part &x %s", u32(uint32(n))), func(r *runner) error {
			var got, want float32 // eighths: exact
			for _, v := range toFloats(r.read("part")) {
				got += v
			}
			for _, v := range x {
				want += v
			}
			if got != want {
				return differ("sum", 0, got, want)
			}
			return nil
		}},
		{"csr", fmt.Sprintf("launch csr 64 1 1 256 1 1 0 &rows &x &ptr &col %s %s", u32(uint32(rows)), u32(d/4)), func(r *runner) error {
			for i, got := range toFloats(r.read("rows")) {
				var want float32
				for _, j := range col[ptr[i/d]:ptr[i/d+1]] {
					want += x[int(j)*d+i%d]
				}
				if got != want {
					return differ("rows", i, got, want)
				}
			}
			return nil
		}},
		{"gemm", fmt.Sprintf("launch gemm %d %d 1 128 1 1 0 &c &a &b %s %s %s", m/64, m/64, u32(m), u32(m), u32(k)), func(r *runner) error {
			for i, got := range toFloats(r.read("c")) {
				var want float32
				for e := range k {
					want += a[i/m*k+e] * b[i%m*k+e]
				}
				if got != want {
					return differ("c", i, got, want)
				}
			}
			return nil
		}},
	}
}

// Compiled kernels give the exact result under every schedule.
func TestCompiled(t *testing.T) {
	for _, options := range [][]string{{"schedule forward"}, {"schedule reverse", "async late"}, {"schedule random", "seed 3", "threads 2"}, {"isa avx2"}} {
		r := start(t, options...)
		if got := r.ask("module testdata/bench.ptx"); got != "ok" {
			t.Fatal(got)
		}
		for _, w := range workloads(r, 20*1024+64) {
			r.ok("%s", w.launch)
			if err := w.check(r); err != nil {
				t.Error(options, w.name, err)
			}
		}
	}
}

// Thread instructions per second, on one host thread, with the checks on and off.
func BenchmarkKernels(b *testing.B) {
	for _, checks := range []string{"1", "0"} {
		r := start(b, "uninitialised "+checks, "races "+checks)
		if got := r.ask("module testdata/bench.ptx"); got != "ok" {
			b.Fatal(got)
		}
		for _, w := range workloads(r, 256*1024) {
			b.Run(fmt.Sprintf("%s/checks=%s", w.name, checks), func(b *testing.B) {
				r.counters()
				seconds := 0.0
				for range b.N {
					_, s, ok := strings.Cut(r.ask("%s", w.launch), "ok ")
					if !ok {
						b.Fatal(w.name)
					}
					v, err := strconv.ParseFloat(s, 64)
					if err != nil {
						b.Fatal(err)
					}
					seconds += v
				}
				n := r.counters()["thread_instructions"]
				b.ReportMetric(float64(n)/seconds/1e6, "Minst/s")
				b.ReportMetric(float64(n)/float64(b.N), "inst/op")
			})
		}
	}
}
