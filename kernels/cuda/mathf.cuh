// Elementary functions in float32. Nothing but correctly rounded additions, multiplications and divisions, each written as the
// operation it is: every compiler and every card returns the same bits, which the approximations of the special function unit
// do not promise. All kernels that use them wait for memory, not for these.
//
// Errors against float64, measured by TestMath: exp 1.05 ulp, log 0.86, log1p 1.27, tanh 1.33, normal 3.6·2^-24 of 1.
// Polynomials: minimax on the reduced range (Lawson's algorithm), coefficients rounded to float32.
#pragma once
#include "common.cuh"

// pow2 is 2^n for n in [-126, 127].
TW_DEV float pow2(int n) { return __int_as_float((n + 127) << 23); }

// exp_f is e^x; underflows to 0 through the denormals, overflows to infinity, keeps NaN.
TW_DEV float exp_f(float x) {
  x = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
  const float n = rintf(__fmul_rn(x, 1.44269504f));
  // ln 2 in two parts, the first short enough for n times it to be exact.
  float r = __fmaf_rn(n, -0.693145752f, x);
  r = __fmaf_rn(n, -1.42860677e-6f, r);
  float p = 1.39503251e-3f;
  p = __fmaf_rn(p, r, 8.36881436e-3f);
  p = __fmaf_rn(p, r, 4.16662097e-2f);
  p = __fmaf_rn(p, r, 1.66665196e-1f);
  p = __fmaf_rn(p, r, 0.5f);
  p = __fadd_rn(__fmaf_rn(__fmul_rn(p, r), r, r), 1.0f);
  // In two steps, for n runs from -150 to 128.
  const int k = static_cast<int>(n), h = k >> 1;
  return __fmul_rn(__fmul_rn(p, pow2(h)), pow2(k - h));
}

// log_f is the logarithm of a positive normal number.
TW_DEV float log_f(float x) {
  // x = 2^k (1+f) with 1+f in [sqrt(1/2), sqrt(2)).
  const int i = __float_as_int(x) + (0x3f800000 - 0x3f3504f3);
  const float k = static_cast<float>((i >> 23) - 127), f = __fadd_rn(__int_as_float((i & 0x7fffff) + 0x3f3504f3), -1.0f);
  float p = -7.86544457e-2f;
  p = __fmaf_rn(p, f, 1.28791988e-1f);
  p = __fmaf_rn(p, f, -1.31252959e-1f);
  p = __fmaf_rn(p, f, 1.41814202e-1f);
  p = __fmaf_rn(p, f, -1.66249692e-1f);
  p = __fmaf_rn(p, f, 2.00022832e-1f);
  p = __fmaf_rn(p, f, -2.50007957e-1f);
  p = __fmaf_rn(p, f, 3.33333164e-1f);
  const float z = __fmul_rn(f, f);
  float y = __fmaf_rn(__fmul_rn(p, z), f, __fmul_rn(k, 1.42860677e-6f));
  y = __fmaf_rn(z, -0.5f, y);
  return __fmaf_rn(k, 0.693145752f, __fadd_rn(f, y));
}

// log1p_f is log(1+e) for e >= 0, exact to the last places where e is small.
TW_DEV float log1p_f(float e) {
  const float u = __fadd_rn(1.0f, e), lost = __fsub_rn(e, __fsub_rn(u, 1.0f));
  return __fadd_rn(log_f(u), __fdiv_rn(lost, u));
}

TW_DEV float sigmoid_f(float x) { return __fdiv_rn(1.0f, __fadd_rn(1.0f, exp_f(-x))); }

TW_DEV float tanh_f(float x) {
  const float a = fabsf(x);
  if (a < 0.6f) {
    const float z = __fmul_rn(a, a);
    float p = -5.53306285e-3f;
    p = __fmaf_rn(p, z, 2.04881541e-2f);
    p = __fmaf_rn(p, z, -5.36948293e-2f);
    p = __fmaf_rn(p, z, 1.3330929e-1f);
    p = __fmaf_rn(p, z, -3.33332658e-1f);
    return __fmaf_rn(__fmul_rn(p, z), x, x);
  }
  return copysignf(__fsub_rn(1.0f, __fdiv_rn(2.0f, __fadd_rn(exp_f(__fadd_rn(a, a)), 1.0f))), x);
}

// Normal is the standard normal distribution at x: how much of it lies below, and its density.
struct Normal {
  float below, density;
};

// normal_f takes the part beyond |x| as the density times Mills' ratio, a polynomial in 1/(1+0.22|x|): small values keep their
// digits, and one exponential serves for both.
TW_DEV Normal normal_f(float x) {
  const float a = fabsf(x), e = exp_f(__fmul_rn(__fmul_rn(-0.5f, a), a)), t = __fdiv_rn(1.0f, __fmaf_rn(0.22f, a, 1.0f));
  float p = -1.06939606e-1f;
  p = __fmaf_rn(p, t, 4.75999117e-1f);
  p = __fmaf_rn(p, t, -6.09964371e-1f);
  p = __fmaf_rn(p, t, 6.15330935e-1f);
  p = __fmaf_rn(p, t, -2.05708101e-1f);
  p = __fmaf_rn(p, t, 1.69073358e-1f);
  p = __fmaf_rn(p, t, 7.34324157e-2f);
  p = __fmaf_rn(p, t, 8.87762532e-2f);
  const float beyond = __fmul_rn(__fmul_rn(p, t), e);
  return {x < 0 ? beyond : __fsub_rn(1.0f, beyond), __fmul_rn(0.398942280f, e)};
}
