// Flat vectors: the parameters, their gradients and the state of optimisers, and the scalars that steer them.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  y, x, z (n) f32; s, v 1 float. v4 variants need addresses aligned to 16 bytes, v1 variants to 4.
//   alias   y may be x or z: an element is read before it is written, by the same thread.
//   launch  256 threads, any grid. Offsets are 64-bit.
//   oracle  kernels/ref/vector.go
#include "mathf.cuh"

// c, or c times a number on the device.
TW_DEV float factor(const tw_vector_args &a) { return static_cast<float>(a.s ? a.c * *a.s : a.c); }

// map writes y[i] = f(x, y, z at i); F says which of them it reads.
struct Fill {
  enum : bool { x = false, y = false, z = false };
  __device__ static float at(float c, float, float, float) { return c; }
};
struct Copy {
  enum : bool { x = true, y = false, z = false };
  __device__ static float at(float, float x, float, float) { return x; }
};
struct Scale {
  enum : bool { x = false, y = true, z = false };
  __device__ static float at(float c, float, float y, float) { return c * y; }
};
struct Axpy {
  enum : bool { x = true, y = true, z = false };
  __device__ static float at(float c, float x, float y, float) { return y + c * x; }
};
struct Perturb {
  enum : bool { x = true, y = false, z = true };
  __device__ static float at(float c, float x, float, float z) { return x + c * z; }
};
struct Mul {
  enum : bool { x = true, y = false, z = true };
  __device__ static float at(float c, float x, float, float z) { return c * x * z; }
};

template <class F, int V>
TW_DEV void map(const tw_vector_args &a) {
  const float c = factor(a);
  flat<V>(a.n, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    Pack<W> x, y, z;
    if (F::x) x = load<W>(a.x + i);
    if (F::y) y = load<W>(a.y + i);
    if (F::z) z = load<W>(a.z + i);
#pragma unroll
    for (int e = 0; e < W; e++) y.v[e] = F::at(c, F::x ? x.v[e] : 0, F::y ? y.v[e] : 0, F::z ? z.v[e] : 0);
    store<W>(a.y + i, y);
  });
}

// tw_fill_f32: y = c.                      bytes 4n
// tw_copy_f32: y = x.                      bytes 8n
// tw_scale_f32: y *= c*s.                  bytes 8n,  flops n
// tw_axpy_f32: y += c*s*x.                 bytes 12n, flops 2n
// tw_perturb_f32: y = x + c*s*z.           bytes 12n, flops 2n
// tw_mul_f32: y = c*x*z.                   bytes 12n, flops 2n
// c*s is taken in float64 and rounded once. s may be null (1).
#define TW_MAP(name, F)                                                                 \
  TW_KERNEL(kThreads) tw_##name##_v4_f32(tw_vector_args a, void *) { map<F, 4>(a); } \
  TW_KERNEL(kThreads) tw_##name##_v1_f32(tw_vector_args a, void *) { map<F, 1>(a); }
TW_MAP(fill, Fill)
TW_MAP(copy, Copy)
TW_MAP(scale, Scale)
TW_MAP(axpy, Axpy)
TW_MAP(perturb, Perturb)
TW_MAP(mul, Mul)

// tw_dot_f32: the parts of sum x*z in scratch, float64; tw_sum_f32 follows.
// bytes 8n, flops 2n. order: parts of kSumElements elements; in a part, thread by thread.
template <int V>
TW_DEV void dot(const tw_vector_args &a, void *scratch) {
  vector_parts<V>(a.n, scratch, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    const Pack<W> x = load<W>(a.x + i), z = load<W>(a.z + i);
    double s = 0;
#pragma unroll
    for (int e = 0; e < W; e++) s += static_cast<double>(x.v[e]) * z.v[e];
    return s;
  });
}
TW_KERNEL(kThreads, 4) tw_dot_v4_f32(tw_vector_args a, void *scratch) { dot<4>(a, scratch); }
TW_KERNEL(kThreads, 4) tw_dot_v1_f32(tw_vector_args a, void *scratch) { dot<1>(a, scratch); }

// tw_combine_f32: y (+)= sum over k of s[k]*x[k]. bytes 4n*(k+1), and 4n where y is added to; flops 2nk.
template <int V>
TW_DEV void combine(const tw_vectors_args &a) {
  flat<V>(a.n, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    Pack<W> y;
    if (a.accumulate) y = load<W>(a.y + i);
    for (int k = 0; k < a.k; k++) {
      const Pack<W> x = load<W>(a.x[k] + i);
      const float c = a.s[k];
#pragma unroll
      for (int e = 0; e < W; e++) y.v[e] = k == 0 && !a.accumulate ? c * x.v[e] : y.v[e] + c * x.v[e];
    }
    store<W>(a.y + i, y);
  });
}
TW_KERNEL(kThreads) tw_combine_v4_f32(tw_vectors_args a, void *) { combine<4>(a); }
TW_KERNEL(kThreads) tw_combine_v1_f32(tw_vectors_args a, void *) { combine<1>(a); }

// dots_parts leaves the parts of the q-th of several sums x*z in scratch, behind those of the sums before it.
template <int V>
TW_DEV void dots_parts(const tw_vectors_args &a, int q, const float *x, const float *z, void *scratch) {
  const int64_t parts = (a.n + kSumElements - 1) / kSumElements;
  vector_parts<V>(a.n, static_cast<double *>(scratch) + q * parts, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    const Pack<W> u = load<W>(x + i), v = load<W>(z + i);
    double s = 0;
#pragma unroll
    for (int e = 0; e < W; e++) s += static_cast<double>(u.v[e]) * v.v[e];
    return s;
  });
}

// tw_dots_f32: the parts of sum x[k]*z for every k in scratch, float64; tw_dots_sum_f32 follows. A block goes over the same
// parts of z k times, which the caches keep. bytes 4n*(k+1), flops 2nk. order as in tw_dot_f32.
template <int V>
TW_DEV void dots(const tw_vectors_args &a, void *scratch) {
  for (int k = 0; k < a.k; k++) dots_parts<V>(a, k, a.x[k], a.z, scratch);
}
TW_KERNEL(kThreads, 4) tw_dots_v4_f32(tw_vectors_args a, void *scratch) { dots<4>(a, scratch); }
TW_KERNEL(kThreads, 4) tw_dots_v1_f32(tw_vectors_args a, void *scratch) { dots<1>(a, scratch); }

// tw_gram_f32: the parts of sum x[i]*x[j] for j <= i in scratch, row by row of the triangle; tw_gram_sum_f32 follows.
// bytes 4nk, flops nk(k+1). order as in tw_dot_f32.
template <int V>
TW_DEV void gram(const tw_vectors_args &a, void *scratch) {
  for (int i = 0, q = 0; i < a.k; i++)
    for (int j = 0; j <= i; j++) dots_parts<V>(a, q++, a.x[i], a.x[j], scratch);
}
TW_KERNEL(kThreads, 4) tw_gram_v4_f32(tw_vectors_args a, void *scratch) { gram<4>(a, scratch); }
TW_KERNEL(kThreads, 4) tw_gram_v1_f32(tw_vectors_args a, void *scratch) { gram<1>(a, scratch); }

// parts_sum adds the n float64 of the q-th sum in scratch; thread 0 has the result. order as in tw_sum_f32.
TW_DEV double parts_sum(int64_t n, int64_t q, const void *scratch) {
  const double *part = static_cast<const double *>(scratch) + q * n;
  double s = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) s += part[i];
  return block_sum(s);
}

// tw_dots_sum_f32: v[k] += c * the k-th sum of the n float64 each in scratch. A block to a sum.
TW_KERNEL(kThreads) tw_dots_sum_f32(tw_vectors_args a, void *scratch) {
  for (int k = blockIdx.x; k < a.k; k += gridDim.x) {
    const double s = parts_sum(a.n, k, scratch);
    if (threadIdx.x == 0) a.v[k] += static_cast<float>(a.c * s);
  }
}

// tw_gram_sum_f32: v[i*k+j] = v[j*k+i] = the sum of the pair, of n float64 each in scratch. A block to a pair.
TW_KERNEL(kThreads) tw_gram_sum_f32(tw_vectors_args a, void *scratch) {
  int q = 0;
  for (int i = 0; i < a.k; i++)
    for (int j = 0; j <= i; j++, q++) {
      if (q % gridDim.x != blockIdx.x) continue;
      const double s = parts_sum(a.n, q, scratch);
      if (threadIdx.x == 0) a.v[i * a.k + j] = a.v[j * a.k + i] = static_cast<float>(s);
    }
}

// tw_prox_f32: y += 2c*(x-z), and the parts of sum (x-z)^2 in scratch, float64; tw_sum_f32 follows if the sum is asked for.
// bytes 16n, flops 6n. order as in tw_dot_f32. y must not alias x or z.
template <int V>
TW_DEV void prox(const tw_vector_args &a, void *scratch) {
  const float c = static_cast<float>(2 * a.c);
  vector_parts<V>(a.n, scratch, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    const Pack<W> x = load<W>(a.x + i), z = load<W>(a.z + i);
    Pack<W> y = load<W>(a.y + i);
    double s = 0;
#pragma unroll
    for (int e = 0; e < W; e++) {
      const float d = x.v[e] - z.v[e];
      y.v[e] += c * d;
      s += static_cast<double>(d) * d;
    }
    store<W>(a.y + i, y);
    return s;
  });
}
TW_KERNEL(kThreads, 4) tw_prox_v4_f32(tw_vector_args a, void *scratch) { prox<4>(a, scratch); }
TW_KERNEL(kThreads, 4) tw_prox_v1_f32(tw_vector_args a, void *scratch) { prox<1>(a, scratch); }

// tw_sum_f32: v[0] (+)= c * sum of the n float64 in scratch: the end of every sum over a whole input.
// launch one block. order: thread t takes t, t+256, ...; then thread by thread.
TW_KERNEL(kThreads) tw_sum_f32(tw_vector_args a, void *scratch) {
  const double *part = static_cast<const double *>(scratch);
  double s = 0;
  for (int64_t i = threadIdx.x; i < a.n; i += kThreads) s += part[i];
  s = a.c * block_sum(s);
  if (threadIdx.x == 0 && blockIdx.x == 0) a.v[0] = static_cast<float>(a.accumulate ? a.v[0] + s : s);
}

// ---------------------------------------------------------------- optimisers

struct Rate {
  float lr, c1, c2;
};

// Optimiser is the arithmetic of a step on one element, each operation as it is rounded: tw_update_f32 and tw_update_rows_f32 give
// the same bits whatever a compiler makes of the loops around them.
struct Optimiser {
  float gs, b1, b2, n1, n2, eps, mom, coupled, apart;  // the last two: decay through the gradient, decay besides it
  bool adaptive;

  template <class A>
  __device__ explicit Optimiser(const A &a)
      : gs(a.scale ? *a.scale : 1.0f), b1(static_cast<float>(a.beta1)), b2(static_cast<float>(a.beta2)), n1(static_cast<float>(1 - a.beta1)),
        n2(static_cast<float>(1 - a.beta2)), eps(static_cast<float>(a.eps)), mom(static_cast<float>(a.momentum)),
        coupled(a.rule == 2 ? 0 : static_cast<float>(a.decay)), apart(a.rule == 2 ? static_cast<float>(a.decay) : 0), adaptive(a.rule != 0) {}

  // sgd and adam return the derivative of p in g.
  __device__ float sgd(float &p, float &m, float g, Rate r, bool momentum) const {
    g = __fmaf_rn(gs, g, __fmul_rn(coupled, p));
    m = momentum ? __fmaf_rn(mom, m, g) : g;
    p = __fmaf_rn(-r.lr, m, p);
    return -r.lr;
  }
  __device__ float adam(float &p, float &m, float &v, float g, Rate r) const {
    g = __fmaf_rn(gs, g, __fmul_rn(coupled, p));
    m = __fmaf_rn(b1, m, __fmul_rn(n1, g));
    v = __fmaf_rn(b2, v, __fmul_rn(__fmul_rn(n2, g), g));
    const float mh = __fmul_rn(m, r.c1), root = __fsqrt_rn(__fmul_rn(v, r.c2)), den = __fadd_rn(root, eps);
    decay(p, r);
    p = __fadd_rn(p, -__fdiv_rn(__fmul_rn(r.lr, mh), den));
    const float second = root > 0 ? mh * n2 * r.c2 * g / (root * den * den) : 0;
    return -r.lr * (n1 * r.c1 / den - second);
  }
  // decay is the part of adam that does not come from the gradient.
  __device__ void decay(float &p, Rate r) const { p = __fmaf_rn(-__fmul_rn(r.lr, apart), p, p); }
};

// tw_update_f32: one step of SGD (rule 0), Adam (1) or AdamW (2) and the derivative of its result in the gradient; see gpu.Update.
// shapes  p, g, m, v, jac (n). m null: SGD without momentum. jac null: not asked for. scale null: 1.
// cost    bytes 4n*(3 + 2 for m + 2 for v + 1 for jac), flops up to 25n: memory bound.
// oracle  kernels/ref.Update    source  Kingma 2015, Loshchilov 2019
template <int V>
TW_DEV void update(const tw_update_args &a) {
  const Optimiser o(a);
  const Rate r = {static_cast<float>(a.lr), static_cast<float>(a.c1), static_cast<float>(a.c2)};
  flat<V>(a.n, [&](auto w, int64_t i) {
    constexpr int W = decltype(w)::value;
    Pack<W> p = load<W>(a.p + i), m, v, jac;
    const Pack<W> g = load<W>(a.g + i);
    if (a.m) m = load<W>(a.m + i);
    if (o.adaptive) {
      v = load<W>(a.v + i);
#pragma unroll
      for (int e = 0; e < W; e++) jac.v[e] = o.adam(p.v[e], m.v[e], v.v[e], g.v[e], r);
      store<W>(a.v + i, v);
    } else {
#pragma unroll
      for (int e = 0; e < W; e++) jac.v[e] = o.sgd(p.v[e], m.v[e], g.v[e], r, a.m);
    }
    if (a.m) store<W>(a.m + i, m);
    store<W>(a.p + i, p);
    if (a.jac) store<W>(a.jac + i, jac);
  });
}
TW_KERNEL(kThreads) tw_update_v4_f32(tw_update_args a, void *) { update<4>(a); }
TW_KERNEL(kThreads) tw_update_v1_f32(tw_update_args a, void *) { update<1>(a); }

// tw_update_rows_f32: the steps last[r] to until-1 of rows of a table, to the bits of tw_update_f32; see gpu.UpdateRows.
// shapes  p, g, m, v (N,C), any of the last three null as there; row (rows) i32, null for all N; last (N) i32; rates (until,3) f32:
//         lr, c1, c2 of every step. rows must be distinct.
// launch  a warp to a row, any grid.
// cost    bytes 4*rows*C*(2 + 2 each for m, v, g) and 12 to a row; flops up to 15 for every step missed, with a root and a quotient:
//         memory bound where few were. A piece without momentum and without gradient only decays.
// oracle  kernels/ref.UpdateRows
template <int V>
TW_DEV void update_rows(const tw_update_rows_args &a) {
  const Optimiser o(a);
  const Rate *rates = reinterpret_cast<const Rate *>(a.rates);
  const int lane = threadIdx.x % 32;
  warp_rows(a.rows, [&](int64_t u) {
    const int64_t r = a.row ? a.row[u] : u;
    const int from = a.last[r];
    __syncwarp();  // all lanes have read it
    if (lane == 0) a.last[r] = !a.row ? 0 : from < a.until ? a.until : from;
    if (from >= a.until) return;
    const int still = a.g.p ? a.until - 1 : a.until;
    along<V>(a.p.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      Pack<W> p = load<W>(row(a.p, r) + c), m = {}, v = {}, g = {};
      if (a.m.p) m = load<W>(row(a.m, r) + c);
      if (a.v.p) v = load<W>(row(a.v, r) + c);
      int moved = 0;
#pragma unroll
      for (int e = 0; e < W; e++) moved |= __float_as_int(m.v[e]) | __float_as_int(v.v[e]);
#pragma unroll 1
      for (int t = from; t < a.until; t++) {
        const Rate rate = rates[t];
        if (t == still) {
          g = load<W>(row(a.g, r) + c);
          store<W>(row(a.g, r) + c, Pack<W>{});
        } else if (t > from && o.coupled == 0 && moved == 0) {  // after the first step, which turns -0 into +0
          if (o.apart == 0) {
            t = still - 1;
            continue;
          }
#pragma unroll
          for (int e = 0; e < W; e++) o.decay(p.v[e], rate);
          continue;
        }
#pragma unroll
        for (int e = 0; e < W; e++)
          o.adaptive ? o.adam(p.v[e], m.v[e], v.v[e], g.v[e], rate) : o.sgd(p.v[e], m.v[e], g.v[e], rate, a.m.p);
      }
      store<W>(row(a.p, r) + c, p);
      if (a.m.p) store<W>(row(a.m, r) + c, m);
      if (a.v.p) store<W>(row(a.v, r) + c, v);
    });
  });
}
TW_KERNEL(kThreads) tw_update_rows_v4_f32(tw_update_rows_args a, void *) { update_rows<4>(a); }
TW_KERNEL(kThreads) tw_update_rows_v1_f32(tw_update_rows_args a, void *) { update_rows<1>(a); }

// ---------------------------------------------------------------- scalars on the device

// One thread each, in float64: steps and divisors are made of the squares of norms, which may be far from 1.

TW_DEV bool first() { return grid_thread() == 0; }

// tw_clip_scale_f32: y = min(1, c/sqrt(x)).
TW_KERNEL(32) tw_clip_scale_f32(tw_vector_args a, void *) {
  if (!first()) return;
  const double n = sqrt(static_cast<double>(*a.x));
  *a.y = n > a.c ? static_cast<float>(a.c / n) : 1.0f;
}

// tw_clip_coef_f32: y = s*z/x where s < 1, else 0; s the scale, x the squared norm, z the dot product.
TW_KERNEL(32) tw_clip_coef_f32(tw_vector_args a, void *) {
  if (first()) *a.y = *a.s < 1 ? static_cast<float>(static_cast<double>(*a.s) * *a.z / *a.x) : 0.0f;
}

// tw_step_size_f32: y[0] = c/sqrt(x), y[1] = 1/(2*y[0]); both 0 where x is 0.
TW_KERNEL(32) tw_step_size_f32(tw_vector_args a, void *) {
  if (!first()) return;
  const double n = sqrt(static_cast<double>(*a.x));
  a.y[0] = n == 0 ? 0.0f : static_cast<float>(a.c / n);
  a.y[1] = n == 0 ? 0.0f : static_cast<float>(n / (2 * a.c));
}

// tw_quotient_f32: y = x/z, 0 where z is 0.
TW_KERNEL(32) tw_quotient_f32(tw_vector_args a, void *) {
  if (first()) *a.y = *a.z == 0 ? 0.0f : *a.x / *a.z;
}

// tw_rstd_of_f32: y = 1/sqrt(x+c). bytes 8n
TW_KERNEL(kThreads) tw_rstd_of_f32(tw_vector_args a, void *) {
  const float c = static_cast<float>(a.c);
  flat<1>(a.n, [&](auto, int64_t i) { a.y[i] = 1 / sqrtf(a.x[i] + c); });
}

// ---------------------------------------------------------------- one short vector

// tw_softmax_f32: y = softmax(x). One warp: the vector holds the weights of a handful of objectives.
TW_KERNEL(32) tw_softmax_f32(tw_vector_args a, void *) {
  if (blockIdx.x) return;
  float top = -infinity(), sum = 0;
  for (int64_t i = threadIdx.x; i < a.n; i += 32) top = Max{}(a.x[i], top);
  top = warp_reduce(top, Max{});
  for (int64_t i = threadIdx.x; i < a.n; i += 32) sum += exp_f(a.x[i] - top);
  sum = warp_sum(sum);
  for (int64_t i = threadIdx.x; i < a.n; i += 32) a.y[i] = exp_f(a.x[i] - top) / sum;
}

// tw_softmax_grad_f32: y = x*(z - <x,z>); x the softmax, z the gradient in it.
TW_KERNEL(32) tw_softmax_grad_f32(tw_vector_args a, void *) {
  if (blockIdx.x) return;
  float s = 0;
  for (int64_t i = threadIdx.x; i < a.n; i += 32) s += a.x[i] * a.z[i];
  s = warp_sum(s);
  for (int64_t i = threadIdx.x; i < a.n; i += 32) a.y[i] = a.x[i] * (a.z[i] - s);
}
