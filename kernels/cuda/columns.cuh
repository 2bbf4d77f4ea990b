// Sums over the rows of a matrix for every column, in parts of a fixed size, and walks over tiles of a matrix in which a thread
// stays on its columns.
//
// Kernels of many registers say how many blocks a multiprocessor should hold. Without it ptxas aims at four of kThreads threads, and
// would rather spill than take a few more of the registers there are.
#pragma once
#include "common.cuh"

enum : int {
  kAhead = 4,       // loads a thread has under way
  kSumWarps = 32,   // warps that share the parts of one sum
  kTileRows = 128,  // rows of a tile, and of a part of a column sum
};

TW_DEV int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }
TW_DEV int64_t padded(int64_t cols) { return (cols + 3) / 4 * 4; }  // leading dimension in scratch

template <int V>
TW_DEV void add(Pack<V> &sum, const Pack<V> &x) {
#pragma unroll
  for (int e = 0; e < V; e++) sum.v[e] += x.v[e];
}

template <int V>
TW_DEV void add_scaled(Pack<V> &sum, float s, const Pack<V> &x) {
#pragma unroll
  for (int e = 0; e < V; e++) sum.v[e] += s * x.v[e];
}

// load_if is load where there, otherwise it touches nothing and returns 0 (or what is given), from memory that the kernel does not
// write. As a predicated instruction and not a branch, so that several can be under way: compilers put what is done with the
// value into the branch, and wait there.
template <int V>
TW_DEV Pack<V> load_if(const float *p, bool there) {
  Pack<V> x = {};
  if constexpr (V == 4)
    asm("{ .reg .pred q; setp.ne.s32 q, %5, 0; @q ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4]; }"
        : "+f"(x.v[0]), "+f"(x.v[1]), "+f"(x.v[2]), "+f"(x.v[3])
        : "l"(__cvta_generic_to_global(p)), "r"(static_cast<int>(there)));
  else
    asm("{ .reg .pred q; setp.ne.s32 q, %2, 0; @q ld.global.nc.f32 %0, [%1]; }"
        : "+f"(x.v[0])
        : "l"(__cvta_generic_to_global(p)), "r"(static_cast<int>(there)));
  return x;
}

TW_DEV float load_if(const float *p, bool there, float otherwise) {
  asm("{ .reg .pred q; setp.ne.s32 q, %2, 0; @q ld.global.nc.f32 %0, [%1]; }"
      : "+f"(otherwise)
      : "l"(__cvta_generic_to_global(p)), "r"(static_cast<int>(there)));
  return otherwise;
}

TW_DEV int32_t load_if(const int32_t *p, bool there) {
  int32_t x = 0;
  asm("{ .reg .pred q; setp.ne.s32 q, %2, 0; @q ld.global.nc.s32 %0, [%1]; }"
      : "+r"(x)
      : "l"(__cvta_generic_to_global(p)), "r"(static_cast<int>(there)));
  return x;
}

// ordered_sum adds the pieces term(k, true) for k = lo, lo+step, ... below hi, in order. term(k, false) must be 0 and load nothing.
template <int V, int Ahead = kAhead, class F>
TW_DEV Pack<V> ordered_sum(int64_t lo, int64_t hi, int64_t step, F term) {
  Pack<V> sum = {};
  for (int64_t k = lo; k < hi; k += Ahead * step) {
    Pack<V> x[Ahead];
#pragma unroll
    for (int i = 0; i < Ahead; i++) x[i] = term(k + i * step, k + i * step < hi);
#pragma unroll
    for (int i = 0; i < Ahead; i++) add(sum, x[i]);
  }
  return sum;
}

// ---------------------------------------------------------------- tiles

// Tile is rows [lo, hi) of columns [c0, c0+width), the share of one block of kThreads threads.
struct Tile {
  int64_t part, lo, hi, c0;
  int width;
};

// tiles calls f(Tile) for all tiles of kTileRows rows and 32 V columns; tiles of rows lie along the grid's x, of columns along y.
template <int V, class F>
TW_DEV void tiles(int64_t rows, int64_t cols, F f) {
  for (int64_t p = blockIdx.x; p * kTileRows < rows; p += gridDim.x)
    for (int64_t c = static_cast<int64_t>(blockIdx.y) * (32 * V); c < cols; c += static_cast<int64_t>(gridDim.y) * (32 * V)) {
      const int64_t lo = p * kTileRows, hi = lo + kTileRows < rows ? lo + kTileRows : rows;
      f(Tile{p, lo, hi, c, static_cast<int>(cols - c < 32 * V ? cols - c : 32 * V)});
    }
}

// tile_columns calls f(w, c, r) for the columns of a tile that this thread has; r is the first of its rows, which are kWarps apart.
template <int V, class F>
TW_DEV void tile_columns(const Tile &t, F f) {
  along<V>(t.width, threadIdx.x % 32, 32, [&](auto w, int64_t c) { f(w, t.c0 + c, t.lo + threadIdx.x / 32); });
}

// map_columns is for matrices whose elements become others, column by column: columns(w, c) returns an object whose load(r) reads
// and whose store(r, x) writes a piece of row r. Loads of Ahead rows run ahead of stores, which the compiler cannot arrange where
// the output may be an input.
template <int V, int Ahead, class F>
TW_DEV void map_columns(int64_t rows, int64_t cols, F columns) {
  tiles<V>(rows, cols, [&](const Tile &t) {
    tile_columns<V>(t, [&](auto w, int64_t c, int64_t r0) {
      const auto column = columns(w, c);
      for (int64_t r = r0; r < t.hi; r += Ahead * kWarps) {
        decltype(column.load(r)) x[Ahead];
#pragma unroll
        for (int i = 0; i < Ahead; i++)
          if (r + i * kWarps < t.hi) x[i] = column.load(r + i * kWarps);
#pragma unroll
        for (int i = 0; i < Ahead; i++)
          if (r + i * kWarps < t.hi) column.store(r + i * kWarps, x[i]);
      }
    });
  });
}

// Shares are sums over the rows that each warp of a tile has, N for every column.
template <int N, int V>
struct Shares {
  float v[kWarps][N][32 * V];

  template <int W>
  __device__ void put(const Tile &t, int64_t c, const Pack<W> (&sum)[N]) {
#pragma unroll
    for (int n = 0; n < N; n++) store(v[threadIdx.x / 32][n] + (c - t.c0), sum[n]);
  }

  // leave adds up the warps and leaves the sums over the tile in scratch[part][n][c], whose rows have ld floats. All threads must
  // call it.
  __device__ void leave(const Tile &t, float *scratch, int64_t ld) const {
    __syncthreads();
    for (int i = threadIdx.x; i < N * 32 * V; i += kThreads) {
      const int n = i / (32 * V), c = i % (32 * V);
      if (c >= t.width) continue;
      float sum = 0;
#pragma unroll
      for (int k = 0; k < kWarps; k++) sum += v[k][n][c];
      scratch[(t.part * N + n) * ld + t.c0 + c] = sum;
    }
    __syncthreads();
  }
};

// column_sums leaves in scratch[part][n][c], n < N, the sums over the rows of each part of what the object columns(w, c) adds by
// add(r, sum), sum being N pieces. part_sums adds up the parts.
template <int N, int V, class F>
TW_DEV void column_sums(int64_t rows, int64_t cols, void *scratch, F columns) {
  __shared__ __align__(16) Shares<N, V> shares;
  tiles<V>(rows, cols, [&](const Tile &t) {
    tile_columns<V>(t, [&](auto w, int64_t c, int64_t r0) {
      constexpr int W = decltype(w)::value;
      const auto column = columns(w, c);
      Pack<W> sum[N] = {};
#pragma unroll 2
      for (int64_t r = r0; r < t.hi; r += kWarps) column.add(r, sum);
      shares.put(t, c, sum);
    });
    shares.leave(t, static_cast<float *>(scratch), padded(cols));
  });
}

// map_sums is map_columns with sums: store(r, x, sum) adds to the N sums of its columns, whose parts are left in scratch as
// column_sums leaves them, unless that is null.
template <int N, int V, int Ahead, class F>
TW_DEV void map_sums(int64_t rows, int64_t cols, float *scratch, F columns) {
  __shared__ __align__(16) Shares<N, V> shares;
  tiles<V>(rows, cols, [&](const Tile &t) {
    tile_columns<V>(t, [&](auto w, int64_t c, int64_t r0) {
      constexpr int W = decltype(w)::value;
      const auto column = columns(w, c);
      Pack<W> sum[N] = {};
#pragma unroll 1
      for (int64_t r = r0; r < t.hi; r += Ahead * kWarps) {
        decltype(column.load(r)) x[Ahead];
#pragma unroll
        for (int i = 0; i < Ahead; i++)
          if (r + i * kWarps < t.hi) x[i] = column.load(r + i * kWarps);
#pragma unroll
        for (int i = 0; i < Ahead; i++)
          if (r + i * kWarps < t.hi) column.store(r + i * kWarps, x[i], sum);
      }
      shares.put(t, c, sum);
    });
    if (scratch) shares.leave(t, scratch, padded(cols));
  });
}

// part_sums gives put(w, i, c, sum), for each of n×cols sums, the sum over the parts of scratch[part][i][c]; rows of scratch are
// padded. kSumWarps warps share a sum: each adds every kSumWarps-th part in order, then they are added in order. blockDim is
// (32, kSumWarps).
template <int V, class F>
TW_DEV void part_sums(int64_t parts, int64_t n, int64_t cols, const float *scratch, F put) {
  __shared__ __align__(16) float share[kSumWarps][32 * V];
  const int64_t ld = padded(cols), tiles = pieces(cols, 32 * V);
  for (int64_t u = blockIdx.x; u < n * tiles; u += gridDim.x) {
    const int64_t i = u / tiles, c0 = u % tiles * (32 * V), width = cols - c0 < 32 * V ? cols - c0 : 32 * V;
    along<V>(width, threadIdx.x, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      store(share[threadIdx.y] + c, ordered_sum<W>(threadIdx.y, parts, kSumWarps, [&](int64_t p, bool there) { return load_if<W>(scratch + (p * n + i) * ld + c0 + c, there); }));
    });
    __syncthreads();
    if (threadIdx.y == 0)
      along<V>(width, threadIdx.x, 32, [&](auto w, int64_t c) {
        constexpr int W = decltype(w)::value;
        Pack<W> sum = {};
#pragma unroll 8
        for (int k = 0; k < kSumWarps; k++) add(sum, load<W>(share[k] + c));
        put(w, i, c0 + c, sum);
      });
    __syncthreads();
  }
}

