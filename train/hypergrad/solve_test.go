package hypergrad

import (
	"math"
	"math/rand/v2"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

const size = 16 // a whole padded row

// system is a dense symmetric positive definite matrix with eigenvalues in [1, 1+spread], and a right-hand side.
func system(spread float64) (a [size][size]float64, v [size]float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	var u [size]float64
	norm := 0.0
	for i := range u {
		u[i], v[i] = rng.NormFloat64(), rng.NormFloat64()
		norm += u[i] * u[i]
	}
	for i := range size { // a reflection about u turns a diagonal
		for j := range size {
			for k := range size {
				h := func(i, k int) float64 {
					d := -2 * u[i] * u[k] / norm
					if i == k {
						d++
					}
					return d
				}
				a[i][j] += h(i, k) * (1 + spread*float64(k)/(size-1)) * h(j, k)
			}
		}
	}
	return a, v
}

func times(a [size][size]float64, x []float64) []float64 {
	y := make([]float64, size)
	for i := range y {
		for j, v := range x {
			y[i] += a[i][j] * v
		}
	}
	return y
}

// solve runs a solver on the float64 backend and returns q and the residual.
func solve(t *testing.T, a [size][size]float64, v [size]float64, run func(b gpu.Backend, p Product, q, v gpu.Buffer, work []gpu.Buffer, residual gpu.Buffer) error) ([]float64, float64) {
	t.Helper()
	b := ref.Open()
	var bufs []gpu.Buffer
	for range 7 {
		buf, err := b.Alloc(size, 8)
		if err != nil {
			t.Fatal(err)
		}
		bufs = append(bufs, buf)
	}
	download := func(buf gpu.Buffer) []float64 {
		x := make([]float64, buf.Len())
		if err := b.Download(x, buf); err != nil {
			t.Fatal(err)
		}
		return x
	}
	product := func(dst, x gpu.Buffer) error {
		b.Upload(dst, times(a, download(x)))
		return nil
	}
	b.Upload(bufs[1], v[:])
	if err := run(b, product, bufs[0], bufs[1], bufs[2:6], bufs[6].Slice(0, 1)); err != nil {
		t.Fatal(err)
	}
	return download(bufs[0]), math.Sqrt(download(bufs[6].Slice(0, 1))[0])
}

// residual is |v − A q|/|v|, computed apart.
func residual(a [size][size]float64, v [size]float64, q []float64) float64 {
	r, n := 0.0, 0.0
	for i, y := range times(a, q) {
		r += (v[i] - y) * (v[i] - y)
		n += v[i] * v[i]
	}
	return math.Sqrt(r / n)
}

// TestCG is exact after as many steps as there are unknowns, and further ones change nothing.
func TestCG(t *testing.T) {
	a, v := system(9)
	last := 1.0
	for _, terms := range []int{1, 4, size, size + 9} {
		q, said := solve(t, a, v, func(b gpu.Backend, p Product, q, v gpu.Buffer, work []gpu.Buffer, residual gpu.Buffer) error {
			return CG(b, p, q, v, work, terms, residual)
		})
		got := residual(a, v, q)
		if !(math.Abs(got-said) <= 1e-12) || !(got < last || got < 1e-12) {
			t.Errorf("%d steps: residual %g, reported %g, before %g", terms, got, said, last)
		}
		last = got
	}
	if !(last <= 1e-12) {
		t.Errorf("residual %g at the end", last)
	}
}

// TestNeumann is the truncated series, term by term, and leaves (I − αA)ᵏ v.
func TestNeumann(t *testing.T) {
	a, v := system(9)
	const alpha = 0.15 // less than 2 over the largest eigenvalue
	for _, terms := range []int{1, 3, 200} {
		q, said := solve(t, a, v, func(b gpu.Backend, p Product, q, v gpu.Buffer, work []gpu.Buffer, residual gpu.Buffer) error {
			return Neumann(b, p, q, v, work, terms, alpha, residual)
		})
		power, want := append([]float64(nil), v[:]...), make([]float64, size)
		for range terms {
			ax := times(a, power)
			for i := range want {
				want[i] += alpha * power[i]
				power[i] -= alpha * ax[i]
			}
		}
		for i := range want {
			if !(math.Abs(q[i]-want[i]) <= 1e-13) {
				t.Errorf("%d terms: q[%d] = %g, want %g", terms, i, q[i], want[i])
			}
		}
		if got := residual(a, v, q); !(math.Abs(got-said) <= 1e-12) || terms == 200 && !(got <= 1e-12) {
			t.Errorf("%d terms: residual %g, reported %g", terms, got, said)
		}
	}
}
