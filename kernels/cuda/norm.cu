// Normalisations.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  x, y, dy, dx, tx, ty (R,C) f32 row-major; gamma, beta, tgamma, tbeta, dgamma, dbeta (C); mult (R) or null for ones;
//           mean, rstd (C) in batch, (R) in layer normalisation; total is the sum of mult. Columns beyond C are neither read nor
//           written. v4 variants need leading dimensions that are multiples of 4 and aligned addresses, also of the vectors over
//           columns.
//   alias   y may be x in the forward pass, dx may be dy.
//   order   of every sum fixed by the shapes: bitwise repeatable, no atomics.
//   launch  kThreads threads, any grid; columns.cuh says how tiles lie. Offsets are 64-bit.
//   cost    memory bound; bytes and flops are those of kernels/op.
//   oracle  kernels/ref/norm.go
#include "columns.cuh"
#include "lines.cuh"
#include "moments.cuh"

// through returns g where the activation lets it pass.
TW_DEV float through(int relu, float y, float g) { return relu && !(y > 0) ? 0 : g; }

TW_DEV float weight(const tw_norm_args &a, int64_t r) { return a.mult ? a.mult[r] : 1.0f; }

// ---------------------------------------------------------------- statistics

// tw_batch_norm_stats_f32: moments of every column over the rows of a tile, read once. Where x is a product, tw_gemm_*_stats_f32
// leaves the same bits.
//   scratch[part] = weights (padded C), means less the tile's first row (padded C), squares (padded C)
// cost     bytes 4*R*C, flops 6*R*C.
template <int V>
TW_DEV void batch_norm_stats(const tw_norm_args &a, void *scratch) {
  __shared__ __align__(16) float share[kWarps][2][32 * V];
  __shared__ float weights[kWarps];
  const int64_t ld = padded(a.x.cols);
  tiles<V>(a.x.rows, a.x.cols, [&](const Tile &t) {
    tile_columns<V>(t, [&](auto w, int64_t c, int64_t r0) {
      constexpr int W = decltype(w)::value;
      ColumnMoments<W> column(load<W>(row(a.x, t.lo) + c));
#pragma unroll 1
      for (int64_t r = r0; r < t.hi; r += kRun * kWarps) {
        Pack<W> x[kRun];
        float m[kRun];
#pragma unroll
        for (int i = 0; i < kRun; i++) {
          const bool there = r + i * kWarps < t.hi;
          x[i] = there ? load<W>(row(a.x, r + i * kWarps) + c) : Pack<W>{};
          m[i] = there ? weight(a, r + i * kWarps) : 0;
        }
        column.add(x, m);
      }
      float(*own)[32 * V] = share[threadIdx.x / 32];
      store(own[0] + (c - t.c0), column.centre);
      store(own[1] + (c - t.c0), column.square);
      if (threadIdx.x % 32 == 0) weights[threadIdx.x / 32] = column.seen;
    });
    __syncthreads();
    for (int c = threadIdx.x; c < t.width; c += kThreads) {
      const Moments m = join(kWarps, [&](int k) { return Moments{weights[k], share[k][0][c], share[k][1][c]}; });
      float *to = static_cast<float *>(scratch) + 3 * t.part * ld + t.c0 + c;
      to[0] = m.weight;
      to[ld] = m.mean;
      to[2 * ld] = m.square;
    }
    __syncthreads();
  });
}

// tw_batch_norm_stats_parts_f32: mean and rstd from the moments of all tiles, taken relative to the first row of all. kSumWarps
// warps share a column, each joins every kSumWarps-th tile, then they are joined.
// launch   blockDim (32, kSumWarps), a block to 32 columns.
TW_DEV void batch_norm_stats_parts(const tw_norm_args &a, const void *scratch) {
  __shared__ float share[3][kSumWarps][32];
  const int64_t ld = padded(a.x.cols);
  const int parts = pieces(a.x.rows, kTileRows), warp = threadIdx.y, lane = threadIdx.x;
  for (int64_t c0 = static_cast<int64_t>(blockIdx.x) * 32; c0 < a.x.cols; c0 += static_cast<int64_t>(gridDim.x) * 32) {
    const int64_t c = c0 + lane;
    if (c < a.x.cols) {
      const float *from = static_cast<const float *>(scratch) + c;
      const Moments m = join((parts - warp + kSumWarps - 1) / kSumWarps, [&](int i) {
        const int64_t part = warp + static_cast<int64_t>(i) * kSumWarps;
        const float *p = from + 3 * part * ld;
        return Moments{p[0], row(a.x, part * kTileRows)[c] - row(a.x, 0)[c] + p[ld], p[2 * ld]};
      });
      share[0][warp][lane] = m.weight;
      share[1][warp][lane] = m.mean;
      share[2][warp][lane] = m.square;
    }
    __syncthreads();
    if (warp == 0 && c < a.x.cols) {
      const Moments m = join(parts < kSumWarps ? parts : kSumWarps, [&](int k) { return Moments{share[0][k][lane], share[1][k][lane], share[2][k][lane]}; });
      a.mean[c] = row(a.x, 0)[c] + m.mean;
      a.rstd[c] = 1 / sqrtf(m.square / static_cast<float>(a.total) + static_cast<float>(a.eps));
    }
    __syncthreads();
  }
}

// ---------------------------------------------------------------- batch normalisation

// tw_batch_norm_f32: y = act((x-mean)*rstd*gamma + beta) (Ioffe 2015).
// cost     bytes 8*R*C + 16*C, flops 4*R*C.
template <int V>
TW_DEV void batch_norm(const tw_norm_args &a) {
  map_columns<V, 4>(a.x.rows, a.x.cols, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct Column {
      const tw_norm_args &a;
      int64_t c;
      Pack<W> mean, rstd, gamma, beta;
      __device__ Pack<W> load(int64_t r) const { return ::load<W>(row(a.x, r) + c); }
      __device__ void store(int64_t r, Pack<W> x) const {
#pragma unroll
        for (int e = 0; e < W; e++) {
          const float v = (x.v[e] - mean.v[e]) * rstd.v[e] * gamma.v[e] + beta.v[e];
          x.v[e] = through(a.relu, v, v);
        }
        store_whole(row(a.y, r) + c, x);
      }
    };
    return Column{a, c, load<W>(a.mean + c), load<W>(a.rstd + c), load<W>(a.gamma + c), load<W>(a.beta + c)};
  });
}

// tw_batch_norm_grad_sums_f32: the sums over rows that the gradient needs: of g = dy where y > 0 or without ReLU, and of g*xhat,
// xhat = (x-mean)*rstd. tw_norm_grad_parts_f32 adds up the parts.
// scratch  parts × 2 × padded C floats, then what tw_norm_grad_parts_f32 leaves.
// cost     bytes 4*(2 + relu)*R*C, flops 5*R*C.
// tw_layer_norm_grad_sums_f32: the same with the mean and rstd of each row.
template <int V, bool PerRow>
TW_DEV void norm_grad_sums(const tw_norm_args &a, void *scratch) {
  column_sums<2, V>(a.x.rows, a.x.cols, scratch, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct Column {
      const tw_norm_args &a;
      int64_t c;
      Pack<W> mean, rstd;
      __device__ void add(int64_t r, Pack<W> *sum) const {
        const Pack<W> x = load<W>(row(a.x, r) + c), dy = load<W>(row(a.dy, r) + c), y = a.relu ? load<W>(row(a.y, r) + c) : Pack<W>{};
#pragma unroll
        for (int e = 0; e < W; e++) {
          const float g = through(a.relu, y.v[e], dy.v[e]);
          sum[0].v[e] += g;
          sum[1].v[e] += g * (PerRow ? (x.v[e] - a.mean[r]) * a.rstd[r] : (x.v[e] - mean.v[e]) * rstd.v[e]);
        }
      }
    };
    return Column{a, c, PerRow ? Pack<W>{} : load<W>(a.mean + c), PerRow ? Pack<W>{} : load<W>(a.rstd + c)};
  });
}

// Totals are the two sums of every column divided by a.total, which follow the parts in scratch.
TW_DEV float *totals(const tw_norm_args &a, void *scratch) { return static_cast<float *>(scratch) + 2 * pieces(a.x.rows, kTileRows) * padded(a.x.cols); }

// tw_norm_grad_parts_f32: dbeta += sum of g, dgamma += sum of g*xhat, and the two totals. Parts are of Rows rows.
template <int V, int Rows = kTileRows>
TW_DEV void norm_grad_parts(const tw_norm_args &a, void *scratch) {
  float *total = totals(a, scratch);
  part_sums<V>(pieces(a.x.rows, Rows), 2, a.x.cols, static_cast<const float *>(scratch), [&](auto w, int64_t n, int64_t c, auto sum) {
    constexpr int W = decltype(w)::value;
    put((n == 0 ? a.dbeta : a.dgamma) + c, sum, 1);
    if (!(a.total > 0)) return;  // layer normalisation has no use for totals
#pragma unroll
    for (int e = 0; e < W; e++) sum.v[e] = static_cast<float>(sum.v[e] / a.total);
    store(total + n * padded(a.x.cols) + c, sum);
  });
}

// tw_batch_norm_grad_f32: dx (+)= gamma*rstd*(g - mult*(s0 + xhat*s1)), where s0, s1 are the totals, 0 with frozen statistics.
// cost     bytes 4*(3 + relu + accumulate)*R*C, flops 8*R*C; without x where frozen.
template <int V>
TW_DEV void batch_norm_grad(const tw_norm_args &a, void *scratch) {
  const float *total = totals(a, scratch);
  map_columns<V, 2>(a.x.rows, a.x.cols, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct In {
      Pack<W> x, y, dy, dx;
    };
    struct Column {
      const tw_norm_args &a;
      int64_t c;
      Pack<W> mean, rstd, gamma, s0, s1;
      __device__ In load(int64_t r) const {
        In in = {};
        if (!a.frozen) in.x = ::load<W>(row(a.x, r) + c);
        if (a.relu) in.y = ::load<W>(row(a.y, r) + c);
        in.dy = ::load<W>(row(a.dy, r) + c);
        if (a.accumulate) in.dx = ::load<W>(row(a.dx, r) + c);
        return in;
      }
      __device__ void store(int64_t r, In &in) const {
        const float m = weight(a, r);
#pragma unroll
        for (int e = 0; e < W; e++) {
          float g = through(a.relu, in.y.v[e], in.dy.v[e]);
          if (!a.frozen) g -= m * (s0.v[e] + (in.x.v[e] - mean.v[e]) * rstd.v[e] * s1.v[e]);
          in.dx.v[e] += gamma.v[e] * rstd.v[e] * g;
        }
        store_whole(row(a.dx, r) + c, in.dx);
      }
    };
    const int64_t ld = padded(a.x.cols);
    return Column{a, c, load<W>(a.mean + c), load<W>(a.rstd + c), load<W>(a.gamma + c), a.frozen ? Pack<W>{} : load<W>(total + c),
                  a.frozen ? Pack<W>{} : load<W>(total + ld + c)};
  });
}

// tw_batch_norm_tangent_sums_f32: sums of mult*tx and mult*tx*xhat; not needed with frozen statistics.
// scratch  as of tw_batch_norm_grad_sums_f32; tw_batch_norm_tangent_parts_f32 makes totals of the parts.
// cost     bytes 8*R*C, flops 6*R*C.
template <int V>
TW_DEV void batch_norm_tangent_sums(const tw_norm_args &a, void *scratch) {
  column_sums<2, V>(a.x.rows, a.x.cols, scratch, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct Column {
      const tw_norm_args &a;
      int64_t c;
      Pack<W> mean, rstd;
      __device__ void add(int64_t r, Pack<W> *sum) const {
        const Pack<W> x = load<W>(row(a.x, r) + c), tx = load<W>(row(a.tx, r) + c);
        const float m = weight(a, r);
#pragma unroll
        for (int e = 0; e < W; e++) {
          const float t = m * tx.v[e];
          sum[0].v[e] += t;
          sum[1].v[e] += t * (x.v[e] - mean.v[e]) * rstd.v[e];
        }
      }
    };
    return Column{a, c, load<W>(a.mean + c), load<W>(a.rstd + c)};
  });
}

template <int V>
TW_DEV void batch_norm_tangent_parts(const tw_norm_args &a, void *scratch) {
  float *total = totals(a, scratch);
  part_sums<V>(pieces(a.x.rows, kTileRows), 2, a.x.cols, static_cast<const float *>(scratch), [&](auto w, int64_t n, int64_t c, auto sum) {
    constexpr int W = decltype(w)::value;
#pragma unroll
    for (int e = 0; e < W; e++) sum.v[e] = static_cast<float>(sum.v[e] / a.total);
    store(total + n * padded(a.x.cols) + c, sum);
  });
}

// tw_batch_norm_tangent_f32: ty = tgamma*xhat + tbeta + gamma*rstd*(tx - s0 - xhat*s1), 0 where ReLU cut y off.
// cost     bytes 4*(3 + relu)*R*C, flops 9*R*C.
template <int V>
TW_DEV void batch_norm_tangent(const tw_norm_args &a, void *scratch) {
  const float *total = totals(a, scratch);
  map_columns<V, 2>(a.x.rows, a.x.cols, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct In {
      Pack<W> x, y, tx;
    };
    struct Column {
      const tw_norm_args &a;
      int64_t c;
      Pack<W> mean, rstd, gamma, tgamma, tbeta, s0, s1;
      __device__ In load(int64_t r) const {
        return {::load<W>(row(a.x, r) + c), a.relu ? ::load<W>(row(a.y, r) + c) : Pack<W>{}, ::load<W>(row(a.tx, r) + c)};
      }
      __device__ void store(int64_t r, In &in) const {
#pragma unroll
        for (int e = 0; e < W; e++) {
          const float xhat = (in.x.v[e] - mean.v[e]) * rstd.v[e];
          const float v = tgamma.v[e] * xhat + tbeta.v[e] + gamma.v[e] * rstd.v[e] * (in.tx.v[e] - s0.v[e] - xhat * s1.v[e]);
          in.tx.v[e] = through(a.relu, in.y.v[e], v);
        }
        store_whole(row(a.ty, r) + c, in.tx);
      }
    };
    const int64_t ld = padded(a.x.cols);
    return Column{a, c, load<W>(a.mean + c), load<W>(a.rstd + c), load<W>(a.gamma + c), load<W>(a.tgamma + c), load<W>(a.tbeta + c),
                  a.frozen ? Pack<W>{} : load<W>(total + c), a.frozen ? Pack<W>{} : load<W>(total + ld + c)};
  });
}

#define TW_BATCH_NORM(V)                                                                                                            \
  TW_KERNEL(kThreads, 2) tw_batch_norm_stats_v##V##_f32(tw_norm_args a, void *scratch) { batch_norm_stats<V>(a, scratch); }            \
  TW_KERNEL(kThreads) tw_batch_norm_v##V##_f32(tw_norm_args a, void *) { batch_norm<V>(a); }                                        \
  TW_KERNEL(kThreads, 2) tw_batch_norm_grad_sums_v##V##_f32(tw_norm_args a, void *scratch) { norm_grad_sums<V, false>(a, scratch); }   \
  TW_KERNEL(32 * kSumWarps, 1) tw_norm_grad_parts_v##V##_f32(tw_norm_args a, void *scratch) { norm_grad_parts<V>(a, scratch); }        \
  TW_KERNEL(kThreads) tw_batch_norm_grad_v##V##_f32(tw_norm_args a, void *scratch) { batch_norm_grad<V>(a, scratch); }              \
  TW_KERNEL(kThreads) tw_batch_norm_tangent_sums_v##V##_f32(tw_norm_args a, void *scratch) { batch_norm_tangent_sums<V>(a, scratch); } \
  TW_KERNEL(32 * kSumWarps, 1) tw_batch_norm_tangent_parts_v##V##_f32(tw_norm_args a, void *scratch) { batch_norm_tangent_parts<V>(a, scratch); } \
  TW_KERNEL(kThreads) tw_batch_norm_tangent_v##V##_f32(tw_norm_args a, void *scratch) { batch_norm_tangent<V>(a, scratch); }
TW_BATCH_NORM(4)
TW_BATCH_NORM(1)

TW_KERNEL(32 * kSumWarps, 1) tw_batch_norm_stats_parts_f32(tw_norm_args a, void *scratch) { batch_norm_stats_parts(a, scratch); }

// tw_running_f32: folds batch statistics into running ones, as PyTorch does (gpu.NormOps).
//   run_mean += m*(mean - run_mean),  run_var += m*(var*total/(total-1) - run_var),  var = 1/rstd^2 - eps
// shapes   all (n). In float64 per element: 1/rstd^2 - eps cancels.
TW_KERNEL(kThreads) tw_running_f32(tw_running_args a, void *) {
#pragma unroll 1
  for (int64_t c = grid_thread(); c < a.n; c += grid_threads()) {
    double var = 1 / (static_cast<double>(a.rstd[c]) * a.rstd[c]) - a.eps;
    if (a.total > 1) var *= a.total / (a.total - 1);
    a.run_mean[c] += static_cast<float>(a.momentum * (a.mean[c] - a.run_mean[c]));
    a.run_var[c] += static_cast<float>(a.momentum * (var - a.run_var[c]));
  }
}

// ---------------------------------------------------------------- layer normalisation

template <int V>
TW_DEV Pack<V> xhat(const tw_norm_args &a, int64_t r, int64_t c) {
  Pack<V> x = load<V>(row(a.x, r) + c);
  const float mean = a.mean[r], rstd = a.rstd[r];
#pragma unroll
  for (int e = 0; e < V; e++) x.v[e] = (x.v[e] - mean) * rstd;
  return x;
}

// tw_layer_norm_f32: y = act((x-mean)*rstd*gamma + beta), mean and rstd of each row (Ba 2016), in two passes over registers.
// shapes   in the v4 variants C is a multiple of 4 and at most 128*kKept.
// launch   one warp per row.
// cost     bytes 8*R*C + 8*C + 8*R, flops 8*R*C.
template <int V, int K>
TW_DEV void layer_norm(const tw_norm_args &a) {
  warp_rows(a.x.rows, [&](int64_t r) {
    auto x = line<V, K>(a.x.cols, [&](int64_t c) { return load<V>(row(a.x, r) + c); });
    float sum = 0, square = 0;
    x.each([&](int64_t, const Pack<V> &p) {
#pragma unroll
      for (int e = 0; e < V; e++) sum += p.v[e];
    });
    const float mean = warp_sum(sum) / a.x.cols;
    x.each([&](int64_t, const Pack<V> &p) {
#pragma unroll
      for (int e = 0; e < V; e++) square += (p.v[e] - mean) * (p.v[e] - mean);
    });
    const float rstd = 1 / sqrtf(warp_sum(square) / a.x.cols + static_cast<float>(a.eps));
    if (threadIdx.x % 32 == 0) {
      a.mean[r] = mean;
      a.rstd[r] = rstd;
    }
    x.each([&](int64_t c, Pack<V> y) {
      const Pack<V> gamma = load<V>(a.gamma + c), beta = load<V>(a.beta + c);
#pragma unroll
      for (int e = 0; e < V; e++) {
        const float v = (y.v[e] - mean) * rstd * gamma.v[e] + beta.v[e];
        y.v[e] = through(a.relu, v, v);
      }
      store(row(a.y, r) + c, y);
    });
  });
}

// layer_norm_grad_row writes dx of a row and shows every piece to seen(c, piece), the gradient not yet times gamma.
//   dx (+)= rstd*(g*gamma - s0 - xhat*s1), s0 and s1 the row's means of g*gamma and g*gamma*xhat
template <int V, int K, class F>
TW_DEV void layer_norm_grad_row(const tw_norm_args &a, int64_t r, F seen) {
  auto pieces = line<V, K>(a.x.cols, [&](int64_t c) {
    Centred<V> p = {xhat<V>(a, r, c), load<V>(row(a.dy, r) + c)};
    const Pack<V> gamma = load<V>(a.gamma + c), y = a.relu ? load<V>(row(a.y, r) + c) : Pack<V>{};
#pragma unroll
    for (int e = 0; e < V; e++) p.g.v[e] = through(a.relu, y.v[e], p.g.v[e]);
    seen(c, p);
#pragma unroll
    for (int e = 0; e < V; e++) p.g.v[e] *= gamma.v[e];
    return p;
  });
  const float2 s = sums<V>(pieces);
  pieces.each([&](int64_t c, Centred<V> p) {
#pragma unroll
    for (int e = 0; e < V; e++) p.g.v[e] = a.rstd[r] * (p.g.v[e] - s.x - p.xhat.v[e] * s.y);
    put(row(a.dx, r) + c, p.g, a.accumulate);
  });
}

// tw_layer_norm_grad_v1_f32: dx; dgamma and dbeta are what tw_layer_norm_grad_sums_f32 and tw_norm_grad_parts_f32 leave, from a pass
// of their own.
// cost     bytes 4*(3 + relu + accumulate)*R*C, flops 10*R*C.
TW_DEV void layer_norm_grad(const tw_norm_args &a) {
  warp_rows(a.x.rows, [&](int64_t r) { layer_norm_grad_row<1, 0>(a, r, [](int64_t, const Centred<1> &) {}); });
}

enum : int {
  kLineRows = 32,  // rows that a block of tw_layer_norm_grad_v4_f32 adds up
};

// tw_layer_norm_grad_v4_f32: dx and, on the way, the sums over every kLineRows rows of g and of g*xhat, which
// tw_layer_norm_grad_parts_f32 adds up to dbeta and dgamma: x, dy and y are read once.
// shapes   C is a multiple of 4 and at most 128*kKept.
// scratch  pieces of kLineRows rows × 2 × C floats.
// order    a warp adds every kWarps-th row of its block, then the warps are added in order.
// cost     bytes 4*(3 + relu + accumulate)*R*C + 16*R*C/kLineRows, flops 13*R*C.
TW_DEV void layer_norm_grad_whole(const tw_norm_args &a, void *scratch) {
  enum : int { most = 32 * kKept };
  __shared__ Pack<4> share[kWarps][2][most];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t rows = a.x.rows, width = a.x.cols / 4;
  for (int64_t part = blockIdx.x; part * kLineRows < rows; part += gridDim.x) {
    Pack<4>(*sum)[most] = share[warp];
    for (int64_t i = lane; i < width; i += 32) sum[0][i] = sum[1][i] = {};  // only this lane adds to them
    for (int64_t r = part * kLineRows + warp; r < rows && r < (part + 1) * kLineRows; r += kWarps)
      layer_norm_grad_row<4, kKept>(a, r, [&](int64_t c, const Centred<4> &p) {
        Pack<4> s0 = sum[0][c / 4], s1 = sum[1][c / 4];
#pragma unroll
        for (int e = 0; e < 4; e++) s0.v[e] += p.g.v[e], s1.v[e] += p.g.v[e] * p.xhat.v[e];
        sum[0][c / 4] = s0, sum[1][c / 4] = s1;
      });
    __syncthreads();
    for (int64_t i = threadIdx.x; i < 2 * width; i += kThreads) {
      Pack<4> s = {};
#pragma unroll
      for (int k = 0; k < kWarps; k++) add(s, share[k][i / width][i % width]);
      store(static_cast<float *>(scratch) + (2 * part * width + i) * 4, s);
    }
    __syncthreads();
  }
}

// tw_layer_norm_tangent_f32: ty = tgamma*xhat + tbeta + gamma*rstd*(tx - s0 - xhat*s1), s0 and s1 the row's means of tx and
// tx*xhat; 0 where ReLU cut y off.
// cost     bytes 4*(3 + relu)*R*C, flops 12*R*C.
template <int V, int K>
TW_DEV void layer_norm_tangent(const tw_norm_args &a) {
  warp_rows(a.x.rows, [&](int64_t r) {
    auto pieces = line<V, K>(a.x.cols, [&](int64_t c) { return Centred<V>{xhat<V>(a, r, c), load<V>(row(a.tx, r) + c)}; });
    const float2 s = sums<V>(pieces);
    pieces.each([&](int64_t c, Centred<V> p) {
      const Pack<V> gamma = load<V>(a.gamma + c), tgamma = load<V>(a.tgamma + c), tbeta = load<V>(a.tbeta + c);
      const Pack<V> y = a.relu ? load<V>(row(a.y, r) + c) : Pack<V>{};
#pragma unroll
      for (int e = 0; e < V; e++) {
        const float v = tgamma.v[e] * p.xhat.v[e] + tbeta.v[e] + gamma.v[e] * a.rstd[r] * (p.g.v[e] - s.x - p.xhat.v[e] * s.y);
        p.g.v[e] = through(a.relu, y.v[e], v);
      }
      store(row(a.ty, r) + c, p.g);
    });
  });
}

#define TW_LAYER_NORM(V, K)                                                                                                       \
  TW_KERNEL(kThreads) tw_layer_norm_v##V##_f32(tw_norm_args a, void *) { layer_norm<V, K>(a); }                                   \
  TW_KERNEL(kThreads) tw_layer_norm_grad_sums_v##V##_f32(tw_norm_args a, void *scratch) { norm_grad_sums<V, true>(a, scratch); }  \
  TW_KERNEL(kThreads) tw_layer_norm_tangent_v##V##_f32(tw_norm_args a, void *) { layer_norm_tangent<V, K>(a); }
TW_LAYER_NORM(4, kKept)
TW_LAYER_NORM(1, 0)

TW_KERNEL(kThreads, 2) tw_layer_norm_grad_v4_f32(tw_norm_args a, void *scratch) { layer_norm_grad_whole(a, scratch); }
TW_KERNEL(kThreads) tw_layer_norm_grad_v1_f32(tw_norm_args a, void *) { layer_norm_grad(a); }
TW_KERNEL(32 * kSumWarps, 1) tw_layer_norm_grad_parts_f32(tw_norm_args a, void *scratch) { norm_grad_parts<4, kLineRows>(a, scratch); }
