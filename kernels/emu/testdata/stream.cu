// Kernels without a fault, for the mistakes that the host makes with them.

// y[i] = a x[i]
extern "C" __global__ void scale(float *y, const float *x, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i];
}

// y[i] += x[i]
extern "C" __global__ void add(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += x[i];
}

// y[i] = x[i] through `n` floats of dynamic shared memory
extern "C" __global__ void through_shared(float *y, const float *x, int n) {
  extern __shared__ float d[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) d[i] = x[i];
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = d[i];
}

// y[i] = i; blocks of at most 128 threads
extern "C" __global__ void __launch_bounds__(128) iota(int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = i;
}

// 16 words by value, as the product's kernels take their arguments.
struct Args {
  float *y;
  const float *x;
  long rows, columns;
  float scale, shift;
  int pad[7];
  char last;
};
extern "C" __global__ void by_value(Args a) {
  long i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < a.rows * a.columns) a.y[i] = a.scale * a.x[i] + a.shift + a.pad[6] + a.last;
}

__constant__ float table[4] = {1, 2, 3, 4};
__device__ int counter;
extern "C" __global__ void globals(float *y) {
  y[threadIdx.x] = table[threadIdx.x % 4];
  if (threadIdx.x == 0) counter = 7;
}
