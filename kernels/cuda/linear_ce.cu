// Cross entropy of a product with very many columns, whose results are never all in memory.
//
// A tile of logits stays where the product leaves it, in shared memory, until what is wanted of it is known: the largest logit and
// the sum of exponentials of each of its rows (loss), or the slopes of the loss (gradient). How the host goes through blocks of
// logits says linear_ce.go.
//
// Contract of every kernel here
//   shapes  a block of logits: x (M,K), w (N,K), bias (N) or null, target (M) i32, lse (M). Column j is class first+j. v4 variants and
//           the tensor cores' need all rows of x and w aligned to 16 bytes. A row with a negative target counts nothing.
//   order   of sums fixed by the shapes: columns of a tile in order of threads, tiles one after the other, a warp to a row; sums of
//           slopes over rows eight slots at a time, in order.
//   launch  any grid x.
//   oracle  kernels/ref.LinearCE
#include "gemm.cuh"
#include "mathf.cuh"

struct tw_logits_args {
  tw_gemm_args gemm;  // a = x, b = w, c: the shape of the block, and where slopes go
  const int32_t *target;
  int64_t first;
  float *lse;
  const float *up;  // null for 1
  double scale;
  float *sums;    // of slopes over rows, or null
  double *terms;  // of the loss
};

enum : int {
  kAcross = kTileN / 4,                   // threads of a row of a tile
  kSlots = kGemmThreads / kAcross,        // rows that a block has in hand
};

// Logits are what one thread has of a tile: four neighbouring columns of every kSlots-th row.
struct Logits {
  const tw_logits_args &a;
  const float *pool;
  int64_t i0, j;  // first row of the tile, first column of the thread
  int slot;
  Pack<4> bias;   // beyond the last column minus infinity: such a logit changes no maximum and has no weight

  __device__ Logits(const tw_logits_args &a, const float *pool, int64_t i0, int64_t j0)
      : a(a), pool(pool), i0(i0), j(j0 + threadIdx.x % kAcross * 4), slot(threadIdx.x / kAcross) {
#pragma unroll
    for (int e = 0; e < 4; e++) bias.v[e] = j + e >= a.gemm.c.cols ? -infinity() : a.gemm.bias ? a.gemm.bias[j + e] : 0;
  }

  // hit returns which of the thread's columns is the target of row i, if any of 0 to 3 is.
  __device__ int64_t hit(int64_t i) const { return a.target[i] < 0 ? -1 : a.target[i] - a.first - j; }

  // each calls f(i, x) with the thread's logits of row i, which may be beyond the last: threads of a row stay together.
  template <class F>
  __device__ void each(F f) const {
#pragma unroll 2
    for (int k = slot; k < kTileM; k += kSlots) {
      Pack<4> x = load<4>(pool + k * kPitch + threadIdx.x % kAcross * 4);
#pragma unroll
      for (int e = 0; e < 4; e++) x.v[e] += bias.v[e];
      f(i0 + k, x);
    }
  }
};

// across_reduce combines the values of the threads of a row of a tile.
template <class Op>
TW_DEV float across_reduce(float v, Op op) {
#pragma unroll
  for (int d = kAcross / 2; d > 0; d /= 2) v = op(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// Scratch of the loss: for each row and each tile of columns the largest logit and the sum of exponentials above it, then the logit
// of each row's target.
TW_DEV float *ce_parts(const tw_mat &c, void *scratch, int64_t i) { return static_cast<float *>(scratch) + 2 * ceil_div(c.cols, kTileN) * i; }
TW_DEV float *ce_hits(const tw_mat &c, void *scratch) { return ce_parts(c, scratch, c.rows); }

// tw_gemm_<math>_nt_ce_f32: those of every tile.
// shared   as tw_gemm_<math>_nt_f32.
// cost     bytes 4(MK + KN) + 8*M*N/64, flops 2MNK + 4MN: bound by arithmetic.
TW_DEV void ce(const tw_logits_args &a, void *scratch, const float *pool, int64_t i0, int64_t j0) {
  const Logits logits(a, pool, i0, j0);
  logits.each([&](int64_t i, const Pack<4> &x) {
    float top = -infinity(), sum = 0;
#pragma unroll
    for (float v : x.v) top = Max{}(v, top);
    top = across_reduce(top, Max{});
#pragma unroll
    for (float v : x.v) sum += exp_f(v - top);
    sum = across_reduce(sum, Add{});
    if (i >= a.gemm.c.rows) return;
    if (threadIdx.x % kAcross == 0) store(ce_parts(a.gemm.c, scratch, i) + 2 * (j0 / kTileN), Pack<2>{{top, sum}});
    const int64_t hit = logits.hit(i);
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (hit == e) ce_hits(a.gemm.c, scratch)[i] = x.v[e];
  });
}

// tw_linear_ce_f32: lse[i] from the tiles of row i, and the terms scale*(lse[i] - logit[i,target[i]]) of the loss, of kSumRows rows
// each, in float64; tw_sum_f32 adds them up.
// launch   256 threads, one warp per row.
// cost     bytes 8*M*N/64 + 12*M: memory bound.
TW_KERNEL(kThreads) tw_linear_ce_f32(tw_logits_args a, void *scratch) {
  const tw_mat &c = a.gemm.c;
  const int64_t tiles = ceil_div(c.cols, kTileN);
  row_parts<32>(c.rows, a.terms, [&](int64_t i, int lane) {
    const float *parts = ce_parts(c, scratch, i);
    float top = -infinity(), sum = 0;
    for (int64_t t = lane; t < tiles; t += 32) {
      const Pack<2> p = load<2>(parts + 2 * t);
      const float higher = Max{}(p.v[0], top);
      sum = sum * exp_f(top - higher) + p.v[1] * exp_f(p.v[0] - higher);
      top = higher;
    }
    const float mine = top;
    top = warp_reduce(top, Max{});
    sum *= exp_f(mine - top);
    const float above = log_f(warp_sum(sum));
    if (lane > 0) return 0.0;
    a.lse[i] = top + above;
    return a.target[i] < 0 ? 0.0 : a.scale * (static_cast<double>(above) + top - ce_hits(c, scratch)[i]);
  });
}

// tw_gemm_<math>_nt_slopes_f32: c[i,j] = up*scale*(exp(logit[i,j] - lse[i]) - (target[i] = first+j)), 0 in a row that counts nothing,
// and the sums of the rows of each tile, for tw_colsum_f32 to add to the gradient of the bias.
// shapes   rows of c are whole float4, aligned; sums (tiles of M, N), rows ld(c) floats apart.
// shared   as tw_gemm_<math>_nt_f32.
// cost     bytes 4(MK + KN + MN), flops 2MNK + 4MN: bound by arithmetic.
TW_DEV void slopes(const tw_logits_args &a, float *pool, int64_t i0, int64_t j0) {
  const tw_mat &c = a.gemm.c;
  const float scale = static_cast<float>(a.scale * (a.up ? *a.up : 1.0f));
  const Logits logits(a, pool, i0, j0);
  const bool there = logits.j < c.cols;
  Pack<4> sum = {};
  logits.each([&](int64_t i, Pack<4> x) {
    if (i >= c.rows || !there) return;
    const bool counts = a.target[i] >= 0;
    const int64_t hit = logits.hit(i);
    const float lse = a.lse[i];
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const float p = scale * exp_f(x.v[e] - lse);
      x.v[e] = counts ? p - (hit == e ? scale : 0) : 0;
      sum.v[e] += x.v[e];
    }
    store_whole(row(c, i) + logits.j, x);
  });
  if (!a.sums) return;
  __syncthreads();  // all have read their logits
  store(pool + logits.slot * kTileN + threadIdx.x % kAcross * 4, sum);
  __syncthreads();
  if (threadIdx.x < kTileN && j0 + threadIdx.x < c.cols) {
    float all = 0;
#pragma unroll
    for (int s = 0; s < kSlots; s++) all += pool[s * kTileN + threadIdx.x];
    a.sums[i0 / kTileM * c.ld + j0 + threadIdx.x] = all;
  }
}

template <int V>
struct SimtLogits {
  typedef Tile<kTileM, true, V> A;
  typedef Tile<kTileN, true, V> B;
  typedef Simt<A, B, true, true> Product;
};
struct MmaLogits {
  typedef Tile<kTileM, true, 4> A;
  typedef Tile<kTileN, true, 4> B;
  typedef Mma<Tf32x3, A, B, true, true> Product;
};

#define TW_LOGITS(math, suffix, blocks, ...)                                                                                    \
  TW_KERNEL(kGemmThreads, blocks) tw_gemm_##math##_nt_ce##suffix##_f32(tw_logits_args a, void *scratch) {                       \
    typedef __VA_ARGS__ L;                                                                                                      \
    gemm<L::A, L::B, L::Product, false>(a.gemm, [&](float *pool, int64_t i0, int64_t j0) { ce(a, scratch, pool, i0, j0); });    \
  }                                                                                                                             \
  TW_KERNEL(kGemmThreads, blocks) tw_gemm_##math##_nt_slopes##suffix##_f32(tw_logits_args a, void *) {                          \
    typedef __VA_ARGS__ L;                                                                                                      \
    gemm<L::A, L::B, L::Product, false>(a.gemm, [&](float *pool, int64_t i0, int64_t j0) { slopes(a, pool, i0, j0); });         \
  }
TW_LOGITS(tf32x3, , 2, MmaLogits)
TW_LOGITS(simt, _v4, 3, SimtLogits<4>)
TW_LOGITS(simt, _v1, 3, SimtLogits<1>)

// tw_linear_ce_tangent_f32: the parts of sum slopes*(t + tbias), t the tangents of the logits or null; tw_sum_f32 follows.
// shapes   slopes, t (M,N), rows aligned; tbias (N) or null; the v4 variant needs it aligned.
// order    parts of kSumRows rows; in a part warp by warp, lane by lane, in float64.
// launch   256 threads, one warp per row.
// cost     bytes 8MN + 4N, flops 3MN: memory bound.
struct tw_slopes_args {
  tw_mat slopes, t;
  const float *tbias;
};

template <int V>
TW_DEV void linear_ce_tangent(const tw_slopes_args &a, void *scratch) {
  row_parts<32>(a.slopes.rows, scratch, [&](int64_t r, int lane) {
    double s = 0;
    along<V>(a.slopes.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      const Pack<W> d = load<W>(row(a.slopes, r) + c), t = a.t.p ? load<W>(row(a.t, r) + c) : Pack<W>{}, b = a.tbias ? load<W>(a.tbias + c) : Pack<W>{};
#pragma unroll
      for (int e = 0; e < W; e++) s += static_cast<double>(d.v[e]) * (t.v[e] + b.v[e]);
    });
    return s;
  });
}
TW_KERNEL(kThreads, 2) tw_linear_ce_tangent_v4_f32(tw_slopes_args a, void *scratch) { linear_ce_tangent<4>(a, scratch); }
TW_KERNEL(kThreads, 2) tw_linear_ce_tangent_v1_f32(tw_slopes_args a, void *scratch) { linear_ce_tangent<1>(a, scratch); }
