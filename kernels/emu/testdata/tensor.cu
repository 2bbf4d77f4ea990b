// Tensor cores and asynchronous copies, each mistake beside its correct twin.
#include "twins.h"

// Fragments of mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"): lane l holds rows l/4 and l/4 + 8 of A and C.
__device__ void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// C (16,8) = A (16,16) B, bf16 in, B given as (8,16). Planted: the second and third register of A are swapped.
template <bool planted>
__device__ void swapped_fragment(float *c, const unsigned *a, const unsigned *b) {
  int row = threadIdx.x / 4, k = threadIdx.x % 4;  // pairs of bf16: 8 to a row
  unsigned fa[4] = {a[row * 8 + k], a[(row + 8) * 8 + k], a[row * 8 + k + 4], a[(row + 8) * 8 + k + 4]};
  unsigned fb[2] = {b[row * 8 + k], b[row * 8 + k + 4]};
  if (planted) {
    unsigned keep = fa[1];
    fa[1] = fa[2];
    fa[2] = keep;
  }
  float d[4] = {0, 0, 0, 0};
  mma_bf16(d, fa, fb);
  c[row * 8 + 2 * k] = d[0];
  c[row * 8 + 2 * k + 1] = d[1];
  c[(row + 8) * 8 + 2 * k] = d[2];
  c[(row + 8) * 8 + 2 * k + 1] = d[3];
}
TWINS(swapped_fragment, (float *c, const unsigned *a, const unsigned *b), (c, a, b))

// C (16,8) = A (16,16) B, B given as (16,8) and read by ldmatrix. Planted: without .trans.
template <bool planted>
__device__ void transposed_operand(float *c, const unsigned *a, const uint4 *b) {
  __shared__ __align__(16) uint4 s[16];  // a row of 8 bf16 each
  int t = threadIdx.x, row = t / 4, k = t % 4;
  if (t < 16) s[t] = b[t];
  __syncwarp();
  unsigned fa[4] = {a[row * 8 + k], a[(row + 8) * 8 + k], a[row * 8 + k + 4], a[(row + 8) * 8 + k + 4]}, fb[2];
  unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(&s[t % 16]));
  if (planted) asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1]) : "r"(at) : "memory");
  else asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1]) : "r"(at) : "memory");
  float d[4] = {0, 0, 0, 0};
  mma_bf16(d, fa, fb);
  c[row * 8 + 2 * k] = d[0];
  c[row * 8 + 2 * k + 1] = d[1];
  c[(row + 8) * 8 + 2 * k] = d[2];
  c[(row + 8) * 8 + 2 * k + 1] = d[3];
}
TWINS(transposed_operand, (float *c, const unsigned *a, const uint4 *b), (c, a, b))

__device__ void copy_async(void *to, const void *from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from) : "memory");
}
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n>
__device__ void wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
}

// y[t] = sum over tiles of the reversed tile of 128 vectors, the next tile on its way while one is added.
// wrong_wait: waits for all but two groups, so the tile may not be there. stale_buffer: the next tile's copy starts before the
// others have read what it overwrites.
template <bool wrong_wait, bool stale_buffer>
__device__ void pipeline(float4 *y, const float4 *x, int tiles) {
  __shared__ __align__(16) float4 s[2][128];
  int t = threadIdx.x;
  float4 sum = make_float4(0, 0, 0, 0);
  copy_async(&s[0][t], &x[t]);
  commit();
  for (int k = 0; k < tiles; k++) {
    if (k + 1 < tiles) copy_async(&s[(k + 1) % 2][t], &x[(k + 1) * 128 + t]);
    commit();
    wait_group<wrong_wait ? 2 : 1>();
    __syncthreads();
    float4 v = s[k % 2][127 - t];
    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    if (!stale_buffer) __syncthreads();
  }
  y[t] = sum;
}
extern "C" __global__ void pipeline_good(float4 *y, const float4 *x, int tiles) { pipeline<false, false>(y, x, tiles); }
extern "C" __global__ void wrong_wait_bad(float4 *y, const float4 *x, int tiles) { pipeline<true, false>(y, x, tiles); }
extern "C" __global__ void stale_buffer_bad(float4 *y, const float4 *x, int tiles) { pipeline<false, true>(y, x, tiles); }
