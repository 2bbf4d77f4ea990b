// Threads of a block that do not wait for each other, each beside its correct twin. Blocks of 128 threads.
#include "twins.h"

// y = x reversed within the block. Planted: no barrier between writing and reading.
template <bool planted>
__device__ void missing_barrier(float *y, const float *x) {
  __shared__ float s[128];
  int t = threadIdx.x;
  s[t] = x[t];
  if (!planted) __syncthreads();
  y[t] = s[127 - t];
}
TWINS(missing_barrier, (float *y, const float *x), (y, x))

// y[t] = sum over tiles of the reversed tile. Planted: the next tile is stored while others still read the last.
template <bool planted>
__device__ void missing_second_barrier(float *y, const float *x, int tiles) {
  __shared__ float s[128];
  int t = threadIdx.x;
  float sum = 0;
  for (int k = 0; k < tiles; k++) {
    s[t] = x[k * 128 + t];
    __syncthreads();
    sum += s[127 - t];
    if (!planted) __syncthreads();
  }
  y[t] = sum;
}
TWINS(missing_second_barrier, (float *y, const float *x, int tiles), (y, x, tiles))

// y[k] = how many x are k modulo 16. Planted: counted without atomics.
template <bool planted>
__device__ void shared_race(int *y, const int *x) {
  __shared__ int count[16];
  int t = threadIdx.x;
  if (t < 16) count[t] = 0;
  __syncthreads();
  if (planted) count[x[t] & 15]++;
  else atomicAdd(&count[x[t] & 15], 1);
  __syncthreads();
  if (t < 16) y[t] = count[t];
}
TWINS(shared_race, (int *y, const int *x), (y, x))

// y = x reversed within the block, for the first n elements. Planted: the barrier is inside the condition.
template <bool planted>
__device__ void divergent_barrier(float *y, const float *x, int n) {
  __shared__ float s[128];
  int t = threadIdx.x;
  if (t < n) {
    s[t] = x[t];
    if (planted) __syncthreads();
  }
  if (!planted) __syncthreads();
  if (t < n) y[t] = s[n - 1 - t];
}
TWINS(divergent_barrier, (float *y, const float *x, int n), (y, x, n))

// y = x reversed within each warp, through shared memory. Planted: no __syncwarp.
template <bool planted>
__device__ void missing_syncwarp(float *y, const float *x) {
  __shared__ float s[128];
  int t = threadIdx.x;
  s[t] = x[t];
  if (!planted) __syncwarp();
  y[t] = s[t ^ 31];
}
TWINS(missing_syncwarp, (float *y, const float *x), (y, x))

// y = sum of 128 x by halves. Planted: the halves are added without a barrier once a warp is enough, and lanes run apart.
template <bool planted>
__device__ void tree_sum(float *y, const float *x) {
  __shared__ float s[128];
  int t = threadIdx.x;
  s[t] = x[t];
  __syncthreads();
  for (int half = 64; half; half /= 2) {
    if (t < half) s[t] += s[t + half];
    if (!planted || half > 64) __syncthreads();
  }
  if (t == 0) y[0] = s[0];
}
TWINS(tree_sum, (float *y, const float *x), (y, x))

// y = x, padded with 0 behind n, through shared memory. Planted: the padding is never stored.
template <bool planted>
__device__ void uninitialised_shared(float *y, const float *x, int n) {
  __shared__ float s[128];
  int t = threadIdx.x;
  if (t < n) s[t] = x[t];
  else if (!planted) s[t] = 0;
  __syncthreads();
  y[t] = s[t];
}
TWINS(uninitialised_shared, (float *y, const float *x, int n), (y, x, n))

// y[w] = sum of warp w's x, taken to the first half of the lanes. Planted: they ask the other half, which has gone elsewhere.
template <bool planted>
__device__ void inactive_lane(float *y, const float *x) {
  int t = threadIdx.x, lane = t & 31;
  float v = x[t], upper = planted ? 0 : __shfl_down_sync(0xffffffffu, v, 16);
  if (lane < 16) {
    v += planted ? __shfl_down_sync(0xffffffffu, v, 16) : upper;
    for (int half = 8; half; half /= 2) v += __shfl_xor_sync(0xffffu, v, half);
    if (lane == 0) y[t / 32] = v;
  }
}
TWINS(inactive_lane, (float *y, const float *x), (y, x))

// y = x reversed within the block. Planted: right, but the launch gives less dynamic shared memory than it uses.
template <bool planted>
__device__ void dynamic_shared(float *y, const float *x) {
  extern __shared__ float d[];
  int t = threadIdx.x;
  d[t] = x[t];
  __syncthreads();
  y[t] = d[127 - t];
}
TWINS(dynamic_shared, (float *y, const float *x), (y, x))

// y = total of all blocks' sums, by the last block to finish. Planted: the ticket is taken before the sum is stored, and the last
// block does not store its own.
template <bool planted>
__device__ void last_block(float *y, float *partial, unsigned *ticket, const float *x) {
  __shared__ bool last;
  int t = threadIdx.x;
  if (t == 0) {
    float sum = 0;
    for (int i = 0; i < 128; i++) sum += x[blockIdx.x * 128 + i];
    if (planted) {
      last = atomicAdd(ticket, 1) == gridDim.x - 1;
      if (!last) partial[blockIdx.x] = sum;
    } else {
      partial[blockIdx.x] = sum;
      __threadfence();
      last = atomicAdd(ticket, 1) == gridDim.x - 1;
    }
  }
  __syncthreads();
  if (last && t == 0) {
    float sum = 0;
    for (unsigned b = 0; b < gridDim.x; b++) sum += partial[b];
    *y = sum;
  }
}
TWINS(last_block, (float *y, float *partial, unsigned *ticket, const float *x), (y, partial, ticket, x))
