package cuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tapweight/kernels/ref"
)

// hostProgram compiles the headers as C++: their arithmetic is IEEE's on the host as on every card.
const hostProgram = `
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)
struct float4 { float x, y, z, w; };
static struct { unsigned x, y, z; } threadIdx, blockIdx, blockDim, gridDim;
inline void __syncthreads() {}
inline size_t __cvta_generic_to_shared(const void *) { return 0; }
inline size_t __cvta_generic_to_global(const void *) { return 0; }
inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
inline int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
#include "mathf.cuh"
#include "philox.cuh"

// worst prints the largest error of f, in units in the last place of the float32 result, over every step-th float32 in [lo, hi].
template <class F, class G>
void worst(const char *name, F f, G exact, float lo, float hi, int step) {
  double most = 0;
  for (int i = __float_as_int(lo); i <= __float_as_int(hi); i += step)
    for (float x : {__int_as_float(i), -__int_as_float(i)}) {
      if (x < 0 && name[0] == 'l') continue;
      const double want = exact(double(x)), got = f(x);
      int exponent;
      frexp(want, &exponent);
      const double error = fabs(got - want) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
      if (!(error <= most)) most = error;
    }
  printf("%s %.3f\n", name, most);
}

int main() {
  worst("exp", exp_f, [](double x) { return exp(x); }, 0x1p-30f, 87.3f, 307);
  worst("log", log_f, [](double x) { return log(x); }, 0x1p-126f, 0x1.fffffep127f, 1009);
  worst("log1p", log1p_f, [](double x) { return log1p(x); }, 0x1p-60f, 0x1p20f, 307);
  worst("tanh", tanh_f, [](double x) { return tanh(x); }, 0x1p-40f, 20, 307);
  double most = 0;
  for (float x = -40; x < 40; x += 0x1p-14f) {
    const Normal got = normal_f(x);
    const double below = erfc(-x / sqrt(2.0)) / 2, density = exp(-0.5 * x * x) / sqrt(2 * acos(-1.0));
    for (double error : {got.below - below, got.density - density, x * (got.below - below), x * (got.density - density)})
      if (!(fabs(error) <= most)) most = fabs(error);
  }
  printf("normal %.3f\n", most * 0x1p24);
  printf("special %g %g %g %g %g %g\n", exp_f(NAN), exp_f(INFINITY), exp_f(-INFINITY), exp_f(0), tanh_f(INFINITY), tanh_f(NAN));
  printf("normals %g %g %g %g\n", normal_f(-INFINITY).below, normal_f(INFINITY).below, normal_f(INFINITY).density, normal_f(NAN).below);
  for (uint64_t block : {0ull, 1ull, 0x123456789abcdefull}) {
    const Philox p(block, 7, 3000000000u, 0xfedcba9876543210ull);
    printf("philox %llu %u %u %u %u\n", (unsigned long long)block, p.at(0), p.at(1), p.at(2), p.at(3));
  }
}
`

// TestMath measures the elementary functions of mathf.cuh against float64 and compares philox.cuh with the oracle.
func TestMath(t *testing.T) {
	compiler, err := exec.LookPath("c++")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.cc"), filepath.Join(dir, "main")
	if err := os.WriteFile(source, []byte(hostProgram), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-I.", source, "-o", program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	most := map[string]float64{"exp": 1.05, "log": 0.9, "log1p": 1.3, "tanh": 1.4, "normal": 3.6} // what mathf.cuh says, rounded up
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		switch name {
		case "special":
			if rest != "nan inf 0 1 1 nan" {
				t.Errorf("exp of NaN, +Inf, -Inf, 0 and tanh of +Inf, NaN are %s", rest)
			}
		case "normals":
			if rest != "0 1 0 nan" {
				t.Errorf("of the normal distribution below -Inf, Inf, the density at Inf, below NaN are %s", rest)
			}
		case "philox":
			var block uint64
			var got [4]uint32
			if _, err := fmt.Sscan(rest, &block, &got[0], &got[1], &got[2], &got[3]); err != nil {
				t.Fatal(err)
			}
			if want := ref.Philox([4]uint32{uint32(block), uint32(block >> 32), 7, 3000000000}, [2]uint32{0x76543210, 0xfedcba98}); got != want {
				t.Errorf("Philox block %d is %v, want %v", block, got, want)
			}
		default:
			var ulp float64
			if _, err := fmt.Sscan(rest, &ulp); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s is at most %.3f ulp off", name, ulp)
			if !(ulp <= most[name]) {
				t.Errorf("%s is %.3f ulp off, want at most %.3f", name, ulp, most[name])
			}
		}
	}
}
