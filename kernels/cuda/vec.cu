// Flat vectors: the parameters, their gradients and the state of optimisers, and the scalars that steer them.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  y, x, z (n) f32; s, v 1 float. v4 variants need addresses aligned to 16 bytes, v1 variants to 4.
//   alias   y may be x or z: an element is read before it is written, by the same thread.
//   launch  256 threads, any grid. Offsets are 64-bit.
//   oracle  kernels/ref/vector.go
#include "common.cuh"

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
