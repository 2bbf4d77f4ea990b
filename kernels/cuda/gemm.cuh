// Tiles of dense products, for kernels that do something of their own with each tile of results before anything is written.
//
// A block computes tiles of 128×64. Slices of 16 of K travel to shared memory by cp.async, three in flight, while the one before
// is multiplied.
#pragma once
#include "common.cuh"

enum : int {
  kTileM = 128,
  kTileN = 64,
  kTileK = 16,
  kStages = 3,
  kPitch = kTileN + 8,  // floats of a row of results in shared memory; a tile of them fits the stages
  kGemmThreads = 128,
};

// Tile is a slice of one operand in shared memory: Rows rows (of op(a), or columns of op(b)) by kTileK steps of the sum. Its order
// is that of global memory, since cp.async moves 16 bytes as they are: Lines, where consecutive elements follow the sum (each row a
// line), or columns, where they follow the rows.
//
// Lines are 64 bytes; their four pieces are exchanged by the row's number, so that reading one piece of 8 rows (ldmatrix)
// touches every bank once. Columns are spaced by 8 floats more than they have, so that 4 steps × 8 rows touch every bank once.
template <int Rows, bool Lines, int V>
struct Tile {
  enum : int { pitch = Lines ? kTileK : Rows + 8, floats = Lines ? Rows * kTileK : kTileK * (Rows + 8) };

  // at is where row i, step k lies; 4 elements from a multiple of 4 on follow each other, in k (Lines) or in i.
  TW_DEV int at(int i, int k) { return Lines ? i * pitch + ((k / 4 ^ i / 2 % 4) * 4 | k % 4) : k * pitch + i; }

  // fetch starts copying rows [i0, i0+Rows) and steps [k0, k0+kTileK); what lies beyond rows and depth becomes 0.
  TW_DEV void fetch(uint32_t to, const tw_mat &m, int64_t i0, int64_t rows, int64_t k0, int64_t depth) {
    enum : int { across = Lines ? kTileK / 4 : Rows / 4, step = kGemmThreads / across, height = Lines ? Rows : kTileK };
    // Counted along and across the lines or columns: a thread copies one piece of every step-th of them.
    const int line = threadIdx.x / across, at = threadIdx.x % across * 4;
    const int64_t lines = Lines ? rows - i0 : depth - k0, length = (Lines ? depth - k0 : rows - i0) - at;
    const int count = lines < height ? static_cast<int>(lines) : height, n = length <= 0 ? 0 : length < 4 ? static_cast<int>(length) : 4;
    const float *from = m.p + (Lines ? i0 * m.ld + k0 : k0 * m.ld + i0) + line * m.ld + at;
#pragma unroll
    for (int l = line; l < height; l += step, from += step * m.ld) {
      const uint32_t there = to + 4 * (Lines ? Tile::at(l, at) : Tile::at(at, l));
      const int bytes = l < count ? 4 * n : 0;
      // Where nothing is read the address still has to be one that could be.
      if constexpr (V == 4) {
        copy_async<4>(there, bytes ? from : m.p, bytes);
      } else {
#pragma unroll
        for (int e = 0; e < 4; e++) copy_async<1>(there + 4 * e, 4 * e < bytes ? from + e : m.p, 4 * e < bytes ? 4 : 0);
      }
    }
  }
};

// Simt multiplies in float32 on the ordinary units. A thread has 8×8 results: rows and columns in two fours where the operand lies
// in columns (one float4 is four rows of one step), spread evenly where it lies in lines (one float2 is two steps of one row).
template <class A, class B, bool LinesA, bool LinesB>
struct Simt {
  float sum[8][8] = {};

  // Warps lie 2×2, threads of a warp 8×4: 16 threads along M, 8 along N.
  TW_DEV int thread_m() { return threadIdx.x / 64 * 8 + threadIdx.x % 32 / 4; }
  TW_DEV int thread_n() { return threadIdx.x / 32 % 2 * 4 + threadIdx.x % 4; }

  template <bool Lines, int Count>
  TW_DEV int place(int thread, int i) {
    return Lines ? i * Count + thread : i / 4 * (4 * Count) + thread * 4 + i % 4;
  }

  // take reads the thread's 8 rows and steps k and k+1.
  template <class T, bool Lines, int Count>
  TW_DEV void take(float (&to)[8][2], const float *tile, int thread, int k) {
    if constexpr (Lines) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const Pack<2> p = load<2>(tile + T::at(place<true, Count>(thread, i), k));
        to[i][0] = p.v[0], to[i][1] = p.v[1];
      }
    } else {
#pragma unroll
      for (int e = 0; e < 2; e++)
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
          const Pack<4> p = load<4>(tile + T::at(place<false, Count>(thread, i), k + e));
          to[i][e] = p.v[0], to[i + 1][e] = p.v[1], to[i + 2][e] = p.v[2], to[i + 3][e] = p.v[3];
        }
    }
  }

  __device__ void multiply(const float *a, const float *b) {
#pragma unroll 2
    for (int k = 0; k < kTileK; k += 2) {
      float x[8][2], y[8][2];
      take<A, LinesA, 16>(x, a, thread_m(), k);
      take<B, LinesB, 8>(y, b, thread_n(), k);
#pragma unroll
      for (int e = 0; e < 2; e++)
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
          for (int j = 0; j < 8; j++) sum[i][j] += x[i][e] * y[j][e];
    }
  }

  // write puts the results into a tile of rows of kPitch floats.
  __device__ void write(float *tile) const {
    constexpr int W = LinesB ? 1 : 4;
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
      for (int j = 0; j < 8; j += W) {
        Pack<W> v;
#pragma unroll
        for (int e = 0; e < W; e++) v.v[e] = sum[i][j + e];
        store(tile + place<LinesA, 16>(thread_m(), i) * kPitch + place<LinesB, 8>(thread_n(), j), v);
      }
  }
};

// Mma multiplies on the tensor cores, in the numbers of Math. A warp has 64×32 results as 4×4 fragments of 16×8.
//
// Fragments are put together from units of 8 rows × 16 steps: lane l holds row l/4, steps l%4 + 4q for q = 0..3. Math maps steps to
// places in its instruction; any map will do that is the same for both operands.
template <class Math, class A, class B, bool LinesA, bool LinesB>
struct Mma {
  float sum[4][4][4] = {};

  TW_DEV int warp_m() { return threadIdx.x / 64 * 64; }
  TW_DEV int warp_n() { return threadIdx.x / 32 % 2 * 32; }

  template <class T, bool Lines>
  TW_DEV void unit(float (&to)[4], const float *tile, int i) {
    const int lane = threadIdx.x % 32;
    if constexpr (Lines) {
      // Four 8×8 matrices of 16 bits are four pieces of 8 rows of 4 floats.
      uint32_t r[4];
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                   : "r"(shared_address(tile + T::at(i + lane % 8, lane / 8 * 4)))
                   : "memory");
#pragma unroll
      for (int q = 0; q < 4; q++) to[q] = __uint_as_float(r[q]);
    } else {
#pragma unroll
      for (int q = 0; q < 4; q++) to[q] = tile[T::at(i + lane / 4, lane % 4 + 4 * q)];
    }
  }

  __device__ void multiply(const float *a, const float *b) {
    typename Math::Unit y[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      float u[4];
      unit<B, LinesB>(u, b, warp_n() + 8 * j);
      y[j] = Math::convert(u);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float u[2][4];
      unit<A, LinesA>(u[0], a, warp_m() + 16 * i);
      unit<A, LinesA>(u[1], a, warp_m() + 16 * i + 8);
      const typename Math::Unit x0 = Math::convert(u[0]), x1 = Math::convert(u[1]);
      __syncwarp();  // keeps the compiler from reading all fragments at once, for which there are no registers
#pragma unroll
      for (int j = 0; j < 4; j++) Math::multiply(sum[i][j], x0, x1, y[j]);
    }
  }

  __device__ void write(float *tile) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int h = 0; h < 2; h++)
          store(tile + (warp_m() + 16 * i + 8 * h + lane / 4) * kPitch + warp_n() + 8 * j + lane % 4 * 2,
                Pack<2>{{sum[i][j][2 * h], sum[i][j][2 * h + 1]}});
  }
};

TW_DEV uint32_t tf32(float x) {
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

TW_DEV void mma_tf32(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Tf32: one product of numbers with 11 bits, each factor off by at most 2^-11 of itself.
struct Tf32 {
  struct Unit {
    uint32_t v[4];
  };
  TW_DEV Unit convert(const float (&u)[4]) { return {{tf32(u[0]), tf32(u[1]), tf32(u[2]), tf32(u[3])}}; }
  TW_DEV void multiply(float (&c)[4], const Unit &x0, const Unit &x1, const Unit &y) {
#pragma unroll
    for (int k = 0; k < 4; k += 2) mma_tf32(c, x0.v[k], x1.v[k], x0.v[k + 1], x1.v[k + 1], y.v[k], y.v[k + 1]);
  }
};

// Tf32x3: float32 as a sum of two such numbers, x = hi + lo + 2^-22 x or less, and three products: lo·lo is left out. Tensor cores
// round sums towards zero, an error that grows with the length of the sum; so 16 steps are summed by themselves, small products
// first, and added to the rest by the ordinary units.
struct Tf32x3 {
  struct Unit {
    uint32_t hi[4], lo[4];
  };
  TW_DEV Unit convert(const float (&u)[4]) {
    Unit x;
#pragma unroll
    for (int q = 0; q < 4; q++) {
      x.hi[q] = tf32(u[q]);
      x.lo[q] = tf32(u[q] - __uint_as_float(x.hi[q]));
    }
    return x;
  }
  TW_DEV void multiply(float (&c)[4], const Unit &x0, const Unit &x1, const Unit &y) {
    float d[4] = {};
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
      mma_tf32(d, x0.lo[k], x1.lo[k], x0.lo[k + 1], x1.lo[k + 1], y.hi[k], y.hi[k + 1]);
      mma_tf32(d, x0.hi[k], x1.hi[k], x0.hi[k + 1], x1.hi[k + 1], y.lo[k], y.lo[k + 1]);
    }
#pragma unroll
    for (int k = 0; k < 4; k += 2) mma_tf32(d, x0.hi[k], x1.hi[k], x0.hi[k + 1], x1.hi[k + 1], y.hi[k], y.hi[k + 1]);
#pragma unroll
    for (int e = 0; e < 4; e++) c[e] += d[e];
  }
};

TW_DEV int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// gemm runs the tiles of a block through a Product (Simt or Mma). finish(pool, i0, j0) takes the results of a tile.
template <class A, class B, class Product, bool TransA, class F>
TW_DEV void gemm(const tw_gemm_args &g, F finish) {
  extern __shared__ float4 stages[];
  constexpr int stage = A::floats + B::floats;
  static_assert(kTileM * kPitch <= kStages * stage, "the results do not fit the stages");
  float *pool = reinterpret_cast<float *>(stages);
  const uint32_t base = shared_address(pool);
  const int64_t m = g.c.rows, n = g.c.cols, k = TransA ? g.a.rows : g.a.cols;
  const int64_t panels = gridDim.y, length = ceil_div(ceil_div(k, panels), kTileK) * kTileK;
  const int64_t k0 = blockIdx.y * length, depth = k < k0 + length ? k : k0 + length;
  const int steps = depth > k0 ? static_cast<int>(ceil_div(depth - k0, kTileK)) : 0;
  const int64_t down = ceil_div(m, kTileM), across = ceil_div(n, kTileN), tiles = down * across;
#pragma unroll 1
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    // Along the shorter side first: what of it the tiles share stays in the caches.
    const int64_t i0 = (down < across ? tile % down : tile / across) * kTileM, j0 = (down < across ? tile / down : tile % across) * kTileN;
    auto fetch = [&](int step) {
      if (step < steps) {
        const uint32_t to = base + step % kStages * (4 * stage);
        A::fetch(to, g.a, i0, m, k0 + step * kTileK, depth);
        B::fetch(to + 4 * A::floats, g.b, j0, n, k0 + step * kTileK, depth);
      }
      commit();
    };
    Product product;
    __syncthreads();  // those who still write the last tile
#pragma unroll 1
    for (int step = 1 - kStages; step < steps; step++) {
      if (step >= 0) {
        wait<kStages - 2>();
        __syncthreads();  // the copies of all threads are there, and all are done with the stage that is filled next
      }
      fetch(step + kStages - 1);
      if (step >= 0) product.multiply(pool + step % kStages * stage, pool + step % kStages * stage + A::floats);
    }
    wait<0>();
    __syncthreads();
    // The results change places in shared memory, for rows of them to be written in one piece.
    product.write(pool);
    __syncthreads();
    finish(pool, i0, j0);
  }
}
