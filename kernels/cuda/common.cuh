// What every kernel builds on: types, wide memory access, loops that are right for any grid, sums in a fixed order.
// Plain CUDA C++ for nvcc, NVRTC and clang; no CUDA header is needed.
//
// A kernel takes the argument struct of its operation (../abi/abi.h, by value) and a scratch pointer, null where it needs
// none. How it is launched, and which of its variants, says the Go file of the same name.
#pragma once
#ifdef __CUDACC_RTC__
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
#else
#include <stdint.h>
#endif
#include "../abi/abi.h"

#define TW_DEV static __device__ __forceinline__
// TW_KERNEL takes the most threads of a block, and the blocks that a multiprocessor should hold at least.
#define TW_KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)

// The Go side launches with the same numbers; a test compares them. Enumerators, because NVRTC gives every constexpr variable
// a place in the memory of the device.
enum : int {
  kThreads = 256,       // of a block, unless a kernel says otherwise
  kWarps = 8,           // of a block
  kSumElements = 4096,  // elements of a flat vector in one partial sum
  kSumRows = 32,        // rows of a matrix in one partial sum
  kWarpColumns = 768,   // columns up to which a row is one warp's; a block takes longer ones
  kKeepColumns = 12288, // columns up to which a row is kept in shared memory between two passes over it
};

TW_DEV float *row(const tw_mat &m, int64_t i) { return m.p + i * m.ld; }

// ---------------------------------------------------------------- access

// Pack is V floats that travel in one load or store of 4*V bytes, to which their address must be aligned.
template <int V>
struct alignas(4 * V) Pack {
  float v[V];
};

template <int V>
TW_DEV Pack<V> load(const float *p) {
  return *reinterpret_cast<const Pack<V> *>(p);
}

template <int V>
TW_DEV void store(float *p, const Pack<V> &x) {
  *reinterpret_cast<Pack<V> *>(p) = x;
}

// store_whole is store to global memory in one instruction, where the compiler has lost sight of the address's alignment: it walks
// through rows by a stride of its own making.
template <int V>
TW_DEV void store_whole(float *p, const Pack<V> &x) {
  if constexpr (V == 4)
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};"
                 :: "l"(__cvta_generic_to_global(p)), "f"(x.v[0]), "f"(x.v[1]), "f"(x.v[2]), "f"(x.v[3]) : "memory");
  else
    store(p, x);
}

// put writes x, or adds it to what is there; without accumulate the destination is not read.
template <int V>
TW_DEV void put(float *p, Pack<V> x, int accumulate) {
  if (accumulate) {
    const Pack<V> old = load<V>(p);
#pragma unroll
    for (int e = 0; e < V; e++) x.v[e] += old.v[e];
  }
  store<V>(p, x);
}

// Width is the number of elements of a piece, as a type.
template <int V>
struct Width {
  enum : int { value = V };
};

// ---------------------------------------------------------------- loops over the grid

TW_DEV int64_t grid_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
TW_DEV int64_t grid_threads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// flat calls f(Width<W>, i) for pieces [i, i+W) that make up [0, n): V wide, the rest one by one.
template <int V, class F>
TW_DEV void flat(int64_t n, F f) {
#pragma unroll 1
  for (int64_t i = V * grid_thread(); i + V <= n; i += V * grid_threads()) f(Width<V>{}, i);
  if constexpr (V > 1)
    if (const int64_t i = n / V * V + grid_thread(); i < n) f(Width<1>{}, i);  // a grid has more threads than a piece elements
}

// cells calls f(Width<W>, r, c) for pieces of the rows of a rows×cols matrix. Columns lie along x, rows along y and blocks.
template <int V, class F>
TW_DEV void cells(int64_t rows, int64_t cols, F f) {
#pragma unroll 1
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; r < rows; r += static_cast<int64_t>(gridDim.x) * blockDim.y)
#pragma unroll 1
    for (int64_t c = V * threadIdx.x; c < cols; c += V * blockDim.x)
      if (c + V <= cols)
        f(Width<V>{}, r, c);
      else
#pragma unroll 1
        for (int64_t j = c; j < cols; j++) f(Width<1>{}, r, j);
}

// along calls f(Width<W>, c) for pieces of one row of n elements, shared among the size threads of a group.
template <int V, class F>
TW_DEV void along(int64_t n, int rank, int size, F f) {
  for (int64_t c = V * rank; c + V <= n; c += V * size) f(Width<V>{}, c);
  if constexpr (V > 1)
    if (const int64_t c = n / V * V + rank; c < n) f(Width<1>{}, c);
}

// warp_rows calls f(r) for every row, one warp to a row, rows dealt out in turn.
template <class F>
TW_DEV void warp_rows(int64_t rows, F f) {
  const int warps = blockDim.x / 32;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32; r < rows; r += static_cast<int64_t>(gridDim.x) * warps) f(r);
}

// ---------------------------------------------------------------- sums and maxima

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const { return a + b; }
};

TW_DEV float infinity() { return __int_as_float(0x7f800000); }

struct Max {
  __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

// warp_reduce combines the values of 32 lanes; every lane gets the result. The order is that of a butterfly.
template <class T, class Op>
TW_DEV T warp_reduce(T v, Op op) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v = op(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// block_reduce combines the values of all threads of a block of Warps warps, warp by warp in order; every thread gets the
// result. All threads must call it.
template <int Warps, class T, class Op>
TW_DEV T block_reduce(T v, Op op) {
  __shared__ T part[Warps];
  v = warp_reduce(v, op);
  __syncthreads();  // those who still read the last result
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  T all = part[0];
#pragma unroll
  for (int w = 1; w < Warps; w++) all = op(all, part[w]);
  return all;
}

template <class T>
TW_DEV T warp_sum(T v) {
  return warp_reduce(v, Add{});
}

// group_reduce combines the values of the threads of a row: a warp or the block.
template <int Group, class T, class Op>
TW_DEV T group_reduce(T v, Op op) {
  if constexpr (Group == 32)
    return warp_reduce(v, op);
  else
    return block_reduce<Group / 32>(v, op);
}

// block_sum adds up over a block of kThreads threads.
template <class T>
TW_DEV T block_sum(T v) {
  return block_reduce<kWarps>(v, Add{});
}

// Partial sums. A kernel that adds up over the whole of its input leaves one float64 for each part of it (which elements make
// up a part depends on the shape alone) in scratch; tw_sum_f32 then adds these up in order.
//
// vector_parts sums term(Width<W>, i) over the parts of a flat vector, one block to a part.
template <int V, class F>
TW_DEV void vector_parts(int64_t n, void *scratch, F term) {
  for (int64_t lo = static_cast<int64_t>(blockIdx.x) * kSumElements, k = blockIdx.x; lo < n; lo += static_cast<int64_t>(gridDim.x) * kSumElements, k += gridDim.x) {
    double s = 0;
    const int64_t len = n - lo < kSumElements ? n - lo : kSumElements;
    along<V>(len, threadIdx.x, kThreads, [&](auto w, int64_t i) { s += term(w, lo + i); });
    s = block_sum(s);
    if (threadIdx.x == 0) static_cast<double *>(scratch)[k] = s;
  }
}

// row_parts sums term(r, rank) over the parts of a matrix, one block to a part, which has kSumRows rows with one warp to a row
// (Group = 32), or one row (Group = kThreads). rank counts the threads of a row; term returns this thread's share of its sum.
template <int Group, class F>
TW_DEV void row_parts(int64_t rows, void *scratch, F term) {
  constexpr int64_t size = Group == 32 ? kSumRows : 1;
  for (int64_t k = blockIdx.x; k * size < rows; k += gridDim.x) {
    double s = 0;
    for (int64_t r = k * size + threadIdx.x / Group; r < rows && r < (k + 1) * size; r += kThreads / Group) s += term(r, static_cast<int>(threadIdx.x % Group));
    s = block_sum(s);
    if (threadIdx.x == 0) static_cast<double *>(scratch)[k] = s;
  }
}

// Kept is a row that its threads pass over more than once. They keep it in shared memory, each the pieces that it loaded, so that
// global memory is read once and nobody waits for anybody; a row too long for that is read again.
// The launch gives shared memory for the rows that a block has in hand, each rounded up to whole float4.
template <int Group>
struct Kept {
  const float *from;
  float *slot;

  // which counts the rows that the same group keeps at a time, of which there are count.
  __device__ Kept(const float *from, int64_t n, int which = 0, int count = 1) : from(from), slot(nullptr) {
    extern __shared__ float4 kept[];
    if (n <= (Group == 32 ? kWarpColumns : kKeepColumns))
      slot = reinterpret_cast<float *>(kept + (threadIdx.x / Group * count + which) * ((n + 3) / 4));
  }
  template <int W>
  __device__ void keep(int64_t c, Pack<W> x) const {
    if (slot) store<W>(slot + c, x);
  }
  template <int W>
  __device__ Pack<W> first(int64_t c) const {
    const Pack<W> x = load<W>(from + c);
    keep<W>(c, x);
    return x;
  }
  template <int W>
  __device__ Pack<W> again(int64_t c) const {
    return slot ? load<W>(slot + c) : load<W>(from + c);
  }
};

// ---------------------------------------------------------------- asynchronous copies into shared memory

TW_DEV uint32_t shared_address(const void *p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// copy_async starts copying 4*V bytes from global to shared memory, both aligned to that. Only the first bytes of them are read,
// the rest becomes 0. 16 bytes bypass L1: tiles are read again from shared memory, not from global.
template <int V>
TW_DEV void copy_async(uint32_t to, const float *from, int bytes) {
  if constexpr (V == 4)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

// commit closes a group of copies; wait<N> waits until all but the N last groups of this thread are there.
TW_DEV void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N>
TW_DEV void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
