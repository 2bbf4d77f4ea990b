//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"

	"tapweight/gpu"
)

// TestBLAS sends products to a stand-in of cuBLAS: row-major in all transpositions, padded, overwritten and added to; what cuBLAS
// does not do stays with our kernels.
func TestBLAS(t *testing.T) {
	needEmulator(t) // whose memory the stand-in of cuBLAS knows
	file := filepath.Join(t.TempDir(), "libcublas.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", file, "testdata/cublas.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("TAPWEIGHT_CUBLAS", file)
	b := open(t)
	if want := file + ", 12.11.10"; Find().BLAS != want {
		t.Errorf("cuBLAS is %q, want %q", Find().BLAS, want)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	matrix := func(rows, cols, ld int) (gpu.Mat, []float64) {
		v := make([]float64, rows*ld)
		for i := range v {
			v[i] = float64(float32(rng.NormFloat64()))
		}
		buf := alloc(t, b, len(v))
		b.Upload(buf, v)
		return gpu.MatOf(buf, rows, cols, ld), v
	}
	const m, n, k = 7, 5, 11
	for i := range 8 {
		transA, transB, accumulate := i&1 != 0, i&2 != 0, i&4 != 0
		t.Run(fmt.Sprintf("transA=%v/transB=%v/accumulate=%v", transA, transB, accumulate), func(t *testing.T) {
			shape := func(rows, cols int, trans bool) (int, int) {
				if trans {
					return cols, rows
				}
				return rows, cols
			}
			ar, ac := shape(m, k, transA)
			br, bc := shape(k, n, transB)
			a, av := matrix(ar, ac, ac+3)
			x, xv := matrix(br, bc, bc+1)
			c, cv := matrix(m, n, n+2)
			b.Gemm(gpu.Gemm{A: a, B: x, C: c, TransA: transA, TransB: transB, Accumulate: accumulate})
			if got := b.list.kernels[0].name; got != "cublasGemmEx" {
				t.Fatalf("the product went to %s", got)
			}
			got := download(t, b, c.Buf)
			at := func(v []float64, ld, i, j int, trans bool) float64 {
				if trans {
					i, j = j, i
				}
				return v[i*ld+j]
			}
			for i := range m {
				for j := range n + 2 {
					want := cv[i*(n+2)+j]
					if j < n {
						if !accumulate {
							want = 0
						}
						for l := range k {
							want += at(av, ac+3, i, l, transA) * at(xv, bc+1, l, j, transB)
						}
					}
					if !(math.Abs(got[i*(n+2)+j]-want) <= 1e-5) {
						t.Fatalf("element (%d,%d) is %v, want %v", i, j, got[i*(n+2)+j], want)
					}
				}
			}
		})
	}
}
