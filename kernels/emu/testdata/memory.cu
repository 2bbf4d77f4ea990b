// Accesses to memory that go wrong, each beside its correct twin.
#include "twins.h"

// y[i] = 2 x[i]. Planted: one element too many.
template <bool planted>
__device__ void off_by_one(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (planted ? i <= n : i < n) y[i] = 2 * x[i];
}
TWINS(off_by_one, (float *y, const float *x, int n), (y, x, n))

// y[i] = x[i + 4], in vectors of 4. Planted: from x + 1, which is not aligned.
template <bool planted>
__device__ void unaligned_load(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n / 4) reinterpret_cast<float4 *>(y)[i] = reinterpret_cast<const float4 *>(x + (planted ? 1 : 4))[i];
}
TWINS(unaligned_load, (float *y, const float *x, int n), (y, x, n))

// y[i] = 3, in vectors of 4 with a tail of single elements. Planted: the tail is a whole vector.
template <bool planted>
__device__ void vector_tail(float *y, int n) {
  int i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (planted ? i < n : i + 4 <= n) *reinterpret_cast<float4 *>(y + i) = make_float4(3, 3, 3, 3);
  else
    for (; i < n; i++) y[i] = 3;
}
TWINS(vector_tail, (float *y, int n), (y, n))

// y[i] = x[i] - x[i - 1], x[-1] being 0. Planted: the unsigned i - 1 of the first element is tested after the load.
template <bool planted>
__device__ void unsigned_wrap(float *y, const float *x, unsigned n) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float before = planted || i > 0 ? x[i - 1] : 0.f;
  y[i] = x[i] - (i > 0 ? before : 0.f);
}
TWINS(unsigned_wrap, (float *y, const float *x, unsigned n), (y, x, n))

// y[i] = x[i] + 1. Planted: adds to what y held, which nobody wrote.
template <bool planted>
__device__ void uninitialised_global(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = planted ? y[i] + x[i] + 1 : x[i] + 1;
}
TWINS(uninitialised_global, (float *y, const float *x, int n), (y, x, n))

// y[i] = i for a grid smaller than n. Planted: no grid stride, the rest is never written.
template <bool planted>
__device__ void grid_stride(int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (; i < n; i += gridDim.x * blockDim.x) {
    y[i] = i;
    if (planted) break;
  }
}
TWINS(grid_stride, (int *y, int n), (y, n))

// y[i] = x[i + 1], the last one 0. Planted: in place, so that a block may read what the next has overwritten.
template <bool planted>
__device__ void in_place_shift(float *y, float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) (planted ? x : y)[i] = i + 1 < n ? x[i + 1] : 0;
}
TWINS(in_place_shift, (float *y, float *x, int n), (y, x, n))

// y[r] = sum of row r of a CSR matrix of ones. Planted: the end of the row is read from rowptr[r + 2].
template <bool planted>
__device__ void row_end(float *y, const int *rowptr, int rows) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r < rows) y[r] = float(rowptr[r + (planted ? 2 : 1)] - rowptr[r]);
}
TWINS(row_end, (float *y, const int *rowptr, int rows), (y, rowptr, rows))
