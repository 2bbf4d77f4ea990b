// Dense matrix products and column sums.
#include "gemm.cuh"
#include "moments.cuh"

// ---------------------------------------------------------------- products
//
// tw_gemm_<math>_<a><b>_f32: c = act(op(a)·op(b) + bias), or c += op(a)·op(b).
//   shapes  op(a) (M,K), op(b) (K,N), c (M,N), bias (N) or null; leading dimensions of their own. <a>, <b>: n as it is, t
//           transposed. v4 variants and all mma variants need all rows aligned to 16 bytes. Columns beyond the last are neither
//           read nor written. M, N, K may be 0. c must not alias a or b; it is read only when accumulated to.
//   panels  grid y > 1 cuts K into that many panels of equal length, whose products go to scratch, one below the other as rows of
//           N floats rounded up to 4; tw_gemm_sum_f32 then adds them up. For few results of long sums: gradients of weights.
//   order   a sum over K is taken in steps of 4 (simt) or 8 (mma), in order; fixed by shape and panels.
//   launch  128 threads, any grid x. shared Product::bytes = stages of a tile of op(a) and one of op(b).
//   cost    bytes 4(MK + KN + MN) once tiles come from L2, flops 2MNK: bound by arithmetic.
//   oracle  kernels/ref.Gemm
//
// tw_gemm_tf32x3_nt_stats_f32: the same, without panels and not accumulated, and the moments of every column of c over its rows, each
// weighted by mult (M), null for ones, as tw_batch_norm_stats_f32 leaves them in scratch: a batch normalisation that follows need not
// read c for them. bytes 4M less than the two.

// finish writes W results of row i from column j on, to where they belong.
template <int W>
TW_DEV void finish(const tw_gemm_args &g, float *partial, int64_t i, int64_t j, Pack<W> v) {
  const int64_t n = g.c.cols;
  if (i >= g.c.rows || j >= n) return;
  if constexpr (W > 1)
    if (j + W > n) {
#pragma unroll
      for (int e = 0; e < W; e++) finish(g, partial, i, j + e, Pack<1>{{v.v[e]}});
      return;
    }
  if (partial) {
    store_whole(partial + i * ((n + 3) / 4 * 4) + j, v);
    return;
  }
#pragma unroll
  for (int e = 0; e < W; e++) {
    if (g.bias) v.v[e] += g.bias[j + e];
    if (g.relu) v.v[e] = v.v[e] > 0 ? v.v[e] : 0;
  }
  put(row(g.c, i) + j, v, g.accumulate);
}

// Bf16: one product of numbers with 8 bits, 16 steps at a time, each factor off by at most 2^-8 of itself.
struct Bf16 {
  struct Unit {
    uint32_t v[2];
  };
  TW_DEV uint32_t pair(float lo, float hi) {
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(hi), "f"(lo));
    return y;
  }
  TW_DEV Unit convert(const float (&u)[4]) { return {{pair(u[0], u[1]), pair(u[2], u[3])}}; }
  TW_DEV void multiply(float (&c)[4], const Unit &x0, const Unit &x1, const Unit &y) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(x0.v[0]), "r"(x1.v[0]), "r"(x0.v[1]), "r"(x1.v[1]), "r"(y.v[0]), "r"(y.v[1]));
  }
};

// stats finishes a tile of results and leaves the moments of its columns. A thread has a piece of every eighth row, as a thread of
// tw_batch_norm_stats_f32 does.
struct tw_gemm_stats_args {
  tw_gemm_args gemm;
  const float *mult;
};

TW_DEV void stats(const tw_gemm_stats_args &a, float *scratch, float *pool, int64_t i0, int64_t j0) {
  enum : int { across = kTileN / 4 };
  const tw_gemm_args &g = a.gemm;
  const int64_t m = g.c.rows, n = g.c.cols;
  const int slot = threadIdx.x / across, j = threadIdx.x % across * 4;
  Pack<4> bias = {};
#pragma unroll
  for (int e = 0; e < 4; e++)
    if (g.bias && j0 + j + e < n) bias.v[e] = g.bias[j0 + j + e];
  auto result = [&](int i) {
    Pack<4> v = load<4>(pool + i * kPitch + j);
#pragma unroll
    for (int e = 0; e < 4; e++) {
      v.v[e] += bias.v[e];
      if (g.relu) v.v[e] = v.v[e] > 0 ? v.v[e] : 0;
    }
    return v;
  };
  ColumnMoments<4> column(result(0));
#pragma unroll 1
  for (int i = slot; i < kTileM; i += kRun * kWarps) {
    Pack<4> x[kRun];
    float w[kRun];
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      const int64_t r = i0 + i + k * kWarps;
      w[k] = r >= m ? 0 : a.mult ? a.mult[r] : 1;
      x[k] = result(i + k * kWarps);
      if (r >= m) continue;
      float *to = row(g.c, r) + j0 + j;
      if (j0 + j + 4 <= n) {
        store_whole(to, x[k]);
      } else {
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (j0 + j + e < n) to[e] = x[k].v[e];
      }
    }
    column.add(x, w);
  }
  __syncthreads();  // all have read their results
  enum : int { square = kTileN, slots = 2 * kTileN, weights = kWarps * slots };
  store(pool + slot * slots + j, column.centre);
  store(pool + slot * slots + square + j, column.square);
  if (j == 0) pool[weights + slot] = column.seen;
  __syncthreads();
  if (threadIdx.x < kTileN && j0 + threadIdx.x < n) {
    const float *p = pool + threadIdx.x;
    const Moments all = join(kWarps, [&](int k) { return Moments{pool[weights + k], p[k * slots], p[k * slots + square]}; });
    const int64_t ld = (n + 3) / 4 * 4;
    float *to = scratch + i0 / kTileM * 3 * ld + j0 + threadIdx.x;
    to[0] = all.weight;
    to[ld] = all.mean;
    to[2 * ld] = all.square;
  }
}

// gemm_plain writes the results, or those of a panel to scratch.
template <class A, class B, class Product, int V, bool TransA>
TW_DEV void gemm_plain(const tw_gemm_args &g, float *scratch) {
  float *partial = gridDim.y > 1 ? scratch + blockIdx.y * g.c.rows * ((g.c.cols + 3) / 4 * 4) : nullptr;
  gemm<A, B, Product, TransA>(g, [&](const float *pool, int64_t i0, int64_t j0) {
#pragma unroll 1
    for (int piece = threadIdx.x; piece < kTileM * kTileN / V; piece += kGemmThreads) {
      const int i = piece / (kTileN / V), j = piece % (kTileN / V) * V;
      finish(g, partial, i0 + i, j0 + j, load<V>(pool + i * kPitch + j));
    }
  });
}

template <bool TA, bool TB, int V>
TW_DEV void gemm_simt(const tw_gemm_args &g, void *scratch) {
  typedef Tile<kTileM, !TA, V> A;
  typedef Tile<kTileN, TB, V> B;
  gemm_plain<A, B, Simt<A, B, !TA, TB>, V, TA>(g, static_cast<float *>(scratch));
}

template <class Math, bool TA, bool TB>
TW_DEV void gemm_mma(const tw_gemm_args &g, void *scratch) {
  typedef Tile<kTileM, !TA, 4> A;
  typedef Tile<kTileN, TB, 4> B;
  gemm_plain<A, B, Mma<Math, A, B, !TA, TB>, 4, TA>(g, static_cast<float *>(scratch));
}

#define TW_SIMT(name, ta, tb, v) \
  TW_KERNEL(kGemmThreads, 3) tw_gemm_simt_##name##_v##v##_f32(tw_gemm_args g, void *scratch) { gemm_simt<ta, tb, v>(g, scratch); }
TW_SIMT(nn, false, false, 4)
TW_SIMT(nn, false, false, 1)
TW_SIMT(nt, false, true, 4)
TW_SIMT(nt, false, true, 1)
TW_SIMT(tn, true, false, 4)
TW_SIMT(tn, true, false, 1)
TW_SIMT(tt, true, true, 4)
TW_SIMT(tt, true, true, 1)

// A product of two transposes does not occur in a network; the ordinary units do it.
#define TW_MMA(math, Math, blocks)                                                                                                    \
  TW_KERNEL(kGemmThreads, blocks) tw_gemm_##math##_nn_f32(tw_gemm_args g, void *scratch) { gemm_mma<Math, false, false>(g, scratch); } \
  TW_KERNEL(kGemmThreads, blocks) tw_gemm_##math##_nt_f32(tw_gemm_args g, void *scratch) { gemm_mma<Math, false, true>(g, scratch); }  \
  TW_KERNEL(kGemmThreads, blocks) tw_gemm_##math##_tn_f32(tw_gemm_args g, void *scratch) { gemm_mma<Math, true, false>(g, scratch); }
TW_MMA(tf32x3, Tf32x3, 2)
TW_MMA(tf32, Tf32, 3)
TW_MMA(bf16, Bf16, 3)

TW_KERNEL(kGemmThreads, 2) tw_gemm_tf32x3_nt_stats_f32(tw_gemm_stats_args a, void *scratch) {
  typedef Tile<kTileM, true, 4> A;
  typedef Tile<kTileN, true, 4> B;
  gemm<A, B, Mma<Tf32x3, A, B, true, true>, false>(a.gemm, [&](float *pool, int64_t i0, int64_t j0) { stats(a, static_cast<float *>(scratch), pool, i0, j0); });
}

// tw_gemm_sum_f32: c = act(sum of the panels + bias), or c += it. a holds the panels one below the other (panels*M, N) with rows
// aligned to 16 bytes; b is not used. v4 needs rows of c aligned to 16 bytes. bytes 4MN(panels + 1), flops MN*panels
// launch as kernels that deal with every element of c.
template <int V>
TW_DEV void gemm_sum(const tw_gemm_args &g) {
  const int64_t panels = g.a.rows / g.c.rows;
  cells<V>(g.c.rows, g.c.cols, [&](auto w, int64_t i, int64_t j) {
    constexpr int W = decltype(w)::value;
    Pack<W> s{};
#pragma unroll 4
    for (int64_t p = 0; p < panels; p++) {
      const Pack<W> x = load<W>(row(g.a, p * g.c.rows + i) + j);
#pragma unroll
      for (int e = 0; e < W; e++) s.v[e] += x.v[e];
    }
    finish(g, nullptr, i, j, s);
  });
}
TW_KERNEL(kThreads) tw_gemm_sum_v4_f32(tw_gemm_args g, void *) { gemm_sum<4>(g); }
TW_KERNEL(kThreads) tw_gemm_sum_v1_f32(tw_gemm_args g, void *) { gemm_sum<1>(g); }

// ---------------------------------------------------------------- column sums

// tw_colsum_f32: dst[c] (+)= sum_r src[r,c] over at most kColRows rows; of more rows, the sum of every kColRows of them is a row of
// scratch, of C floats rounded up to 4, to be summed by the next launch. dst is read only when accumulated to.
// shapes src (N,C) f32, dst (C); v4 needs rows of src aligned to 16 bytes
// order  row r goes to slot r%8 of its part; slots in order   bytes 4NC + 4C, flops NC   oracle kernels/ref.ColSum
// launch 256 threads as 32 along columns × 8 along rows, any grid x.
enum : int {
  kColRows = 256,
};

template <int V>
TW_DEV void colsum(const tw_colsum_args &a, float *scratch) {
  __shared__ Pack<V> part[kWarps][32];
  const int lane = threadIdx.x % 32, slot = threadIdx.x / 32;
  const int64_t n = a.src.cols, across = ceil_div(n, 32 * V), parts = ceil_div(a.src.rows, kColRows);
#pragma unroll 1
  for (int64_t k = blockIdx.x; k < across * (parts > 0 ? parts : 1); k += gridDim.x) {
    const int64_t c = (k % across * 32 + lane) * V, lo = k / across * kColRows;
    const int64_t hi = a.src.rows < lo + kColRows ? a.src.rows : lo + kColRows;
    Pack<V> s{};
    if (c + V <= n) {
#pragma unroll 4
      for (int64_t r = lo + slot; r < hi; r += kWarps) {
        const Pack<V> x = load<V>(row(a.src, r) + c);
#pragma unroll
        for (int e = 0; e < V; e++) s.v[e] += x.v[e];
      }
    } else {
      for (int64_t r = lo + slot; r < hi; r += kWarps)
#pragma unroll
        for (int e = 0; e < V; e++)
          if (c + e < n) s.v[e] += row(a.src, r)[c + e];
    }
    __syncthreads();  // those who still add up the last parts
    part[slot][lane] = s;
    __syncthreads();
    if (slot > 0) continue;
#pragma unroll
    for (int w = 1; w < kWarps; w++)
#pragma unroll
      for (int e = 0; e < V; e++) s.v[e] += part[w][lane].v[e];
#pragma unroll
    for (int e = 0; e < V; e++)
      if (c + e < n) {
        if (parts > 1)
          scratch[k / across * ((n + 3) / 4 * 4) + c + e] = s.v[e];
        else
          put(a.dst + c + e, Pack<1>{{s.v[e]}}, a.accumulate);
      }
  }
}
TW_KERNEL(kThreads) tw_colsum_v4_f32(tw_colsum_args a, void *scratch) { colsum<4>(a, static_cast<float *>(scratch)); }
TW_KERNEL(kThreads) tw_colsum_v1_f32(tw_colsum_args a, void *scratch) { colsum<1>(a, static_cast<float *>(scratch)); }
