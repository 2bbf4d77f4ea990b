// What the kernels use of CUDA's own headers, for clang without them (compilers.sh): built-in variables, qualifiers,
// intrinsics. Elementary functions that need NVIDIA's libdevice are declared and left to be linked.
#pragma once
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
static __device__ inline float2 make_float2(float x, float y) { return {x, y}; }

// threadIdx.x reads a register of the device; the objects themselves hold nothing.
#define TW_COORDINATE(axis, reg) \
  __declspec(property(get = get_##axis)) unsigned axis; \
  static __device__ inline unsigned get_##axis() { return __nvvm_read_ptx_sreg_##reg##_##axis(); }
#define TW_VARIABLE(name, reg) \
  struct name##_t { \
    TW_COORDINATE(x, reg) TW_COORDINATE(y, reg) TW_COORDINATE(z, reg) \
  }; \
  extern const __attribute__((device)) __attribute__((weak)) name##_t name;
TW_VARIABLE(threadIdx, tid)
TW_VARIABLE(blockIdx, ctaid)
TW_VARIABLE(blockDim, ntid)
TW_VARIABLE(gridDim, nctaid)

static __device__ inline void __syncwarp() { __nvvm_bar_warp_sync(0xffffffffu); }
static __device__ inline unsigned long __cvta_generic_to_shared(const void *p) {
  return (unsigned long)(const __attribute__((address_space(3))) char *)p;
}
static __device__ inline unsigned long __cvta_generic_to_global(const void *p) {
  return (unsigned long)(const __attribute__((address_space(1))) char *)p;
}

static __device__ inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
static __device__ inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
static __device__ inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
static __device__ inline float __fmaf_rn(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
static __device__ inline float __fadd_rn(float a, float b) { return __nvvm_add_rn_f(a, b); }
static __device__ inline float __fsub_rn(float a, float b) { return __nvvm_add_rn_f(a, -b); }
static __device__ inline float __fmul_rn(float a, float b) { return __nvvm_mul_rn_f(a, b); }
static __device__ inline float __fdiv_rn(float a, float b) { return __nvvm_div_rn_f(a, b); }
static __device__ inline float __fsqrt_rn(float a) { return __nvvm_sqrt_rn_f(a); }
static __device__ inline float fmaf(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
static __device__ inline float sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
static __device__ inline double sqrt(double x) { return __nvvm_sqrt_rn_d(x); }
static __device__ inline float fabsf(float x) { return __builtin_fabsf(x); }
static __device__ inline float fmaxf(float a, float b) { return __nvvm_fmax_f(a, b); }
static __device__ inline float rintf(float x) { return __nvvm_round_f(x); }
static __device__ inline float copysignf(float x, float sign) { return __builtin_copysignf(x, sign); }
static __device__ inline double ceil(double x) { return __nvvm_ceil_d(x); }
extern "C" __device__ double log(double);

static __device__ inline int __shfl_sync(unsigned m, int v, int from) { return __nvvm_shfl_sync_idx_i32(m, v, from, 31); }
static __device__ inline float __shfl_sync(unsigned m, float v, int from) { return __nvvm_shfl_sync_idx_f32(m, v, from, 31); }
static __device__ inline int __shfl_xor_sync(unsigned m, int v, int d) { return __nvvm_shfl_sync_bfly_i32(m, v, d, 31); }
static __device__ inline float __shfl_xor_sync(unsigned m, float v, int d) { return __nvvm_shfl_sync_bfly_f32(m, v, d, 31); }
static __device__ inline double __shfl_xor_sync(unsigned m, double v, int d) {
  struct Halves {
    int lo, hi;
  } h = __builtin_bit_cast(Halves, v);
  h.lo = __shfl_xor_sync(m, h.lo, d), h.hi = __shfl_xor_sync(m, h.hi, d);
  return __builtin_bit_cast(double, h);
}
