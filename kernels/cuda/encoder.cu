// What transformer encoders need beside products, attention and losses: GELU, the end of a post-norm block, gradients of look-ups.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  matrices (R,C) f32 row-major with leading dimensions of their own; bias, gamma, beta, their tangents and gradients (C);
//           mean, rstd (R). Those that gpu/transformer.go says may be absent are null. Columns beyond C are neither read nor
//           written. v4 variants need leading dimensions that are multiples of 4 and aligned addresses, also of the vectors over
//           columns.
//   order   of every sum fixed by the shapes: bitwise repeatable, no atomics. Sums over rows leave parts in scratch, which a
//           second launch adds up (columns.cuh).
//   launch  kThreads threads where blockDim is not said, any grid. Offsets are 64-bit.
//   cost    memory bound; bytes and flops are those of kernels/op.
//   oracle  kernels/ref/encoder.go
#include "lines.cuh"
#include "mathf.cuh"
#include "philox.cuh"
#include "segment.cuh"

// optional is load, or 0 where there is nothing.
template <int W>
TW_DEV Pack<W> optional(const float *p, int64_t c) {
  return p ? load<W>(p + c) : Pack<W>{};
}

template <int W>
TW_DEV Pack<W> optional(const tw_mat &m, int64_t r, int64_t c) {
  return m.p ? load<W>(row(m, r) + c) : Pack<W>{};
}

// ---------------------------------------------------------------- GELU

// Gelu is x*Phi(x) (Hendrycks 2016) and its slope, or the approximation by tanh, in which (1+tanh u)/2 is the sigmoid s of 2u.
struct Gelu {
  float y, slope;
};

TW_DEV Gelu gelu_of(float x, int approximate) {
  if (approximate) {
    constexpr float k = 1.59576912f, c = 0.044715f;  // 2 sqrt(2/pi)
    // Of s and 1-s the smaller one comes from its exponential: both keep their digits.
    const float square = x * x, e = exp_f(-fabsf(k * x * (1 + c * square))), larger = 1 / (1 + e), smaller = e * larger;
    const float s = x < 0 ? smaller : larger;
    return {x * s, s + x * smaller * larger * k * (1 + 3 * c * square)};
  }
  const Normal n = normal_f(x);
  return {x * n.below, n.below + x * n.density};
}

// slopes of GELU at a piece of x + bias.
template <int W>
TW_DEV Pack<W> gelu_slopes(Pack<W> x, const Pack<W> &bias, int approximate) {
#pragma unroll
  for (int e = 0; e < W; e++) x.v[e] = gelu_of(x.v[e] + bias.v[e], approximate).slope;
  return x;
}

// tw_gelu_f32: y = gelu(x + bias).
// launch   columns along x, rows along y and blocks.
// cost     bytes 8*R*C + 4*C, flops 6*R*C, 10*R*C by tanh.
template <int V>
TW_DEV void gelu(const tw_gelu_args &a) {
  cells<V>(a.x.rows, a.x.cols, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> x = load<W>(row(a.x, r) + c);
    const Pack<W> bias = optional<W>(a.bias, c);
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] = gelu_of(x.v[e] + bias.v[e], a.tanh).y;
    store(row(a.y, r) + c, x);
  });
}

// tw_gelu_grad_f32: dx (+)= dy * gelu'(x + bias), and the sums of what was added over the rows of each tile, for
// tw_gelu_grad_parts_f32 to add to dbias.
// alias    dx may be dy.
// scratch  parts × padded C floats; null without dbias.
// cost     bytes 4*(3 + accumulate)*R*C + 12*C, flops 12*R*C, 18*R*C by tanh.
template <int V>
TW_DEV void gelu_grad(const tw_gelu_args &a, void *scratch) {
  map_sums<1, V, 2>(a.x.rows, a.x.cols, static_cast<float *>(scratch), [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct In {
      Pack<W> x, dy, dx;
    };
    struct Column {
      const tw_gelu_args &a;
      int64_t c;
      Pack<W> bias;
      __device__ In load(int64_t r) const {
        return {::load<W>(row(a.x, r) + c), ::load<W>(row(a.dy, r) + c), a.accumulate ? ::load<W>(row(a.dx, r) + c) : Pack<W>{}};
      }
      __device__ void store(int64_t r, In &in, Pack<W> (&sum)[1]) const {
        const Pack<W> slope = gelu_slopes(in.x, bias, a.tanh);
#pragma unroll
        for (int e = 0; e < W; e++) {
          const float d = slope.v[e] * in.dy.v[e];
          sum[0].v[e] += d;
          in.dx.v[e] += d;
        }
        store_whole(row(a.dx, r) + c, in.dx);
      }
    };
    return Column{a, c, optional<W>(a.bias, c)};
  });
}

// tw_gelu_grad_parts_f32: dbias += the parts.
// launch   blockDim (32, kSumWarps).
template <int V>
TW_DEV void gelu_grad_parts(const tw_gelu_args &a, const void *scratch) {
  part_sums<V>(pieces(a.x.rows, kTileRows), 1, a.x.cols, static_cast<const float *>(scratch), [&](auto, int64_t, int64_t c, auto sum) { put(a.dbias + c, sum, 1); });
}

// tw_gelu_tangent_f32: ty = (tx + tbias) * gelu'(x + bias).
// launch   columns along x, rows along y and blocks.
// cost     bytes 12*R*C + 8*C, flops 12*R*C, 18*R*C by tanh.
template <int V>
TW_DEV void gelu_tangent(const tw_gelu_args &a) {
  cells<V>(a.x.rows, a.x.cols, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    const Pack<W> x = load<W>(row(a.x, r) + c), tbias = optional<W>(a.tbias, c);
    Pack<W> t = optional<W>(a.tx, r, c);
    const Pack<W> slope = gelu_slopes(x, optional<W>(a.bias, c), a.tanh);
#pragma unroll
    for (int e = 0; e < W; e++) t.v[e] = slope.v[e] * (t.v[e] + tbias.v[e]);
    store(row(a.ty, r) + c, t);
  });
}

#define TW_GELU(V)                                                                                            \
  TW_KERNEL(kThreads) tw_gelu_v##V##_f32(tw_gelu_args a, void *) { gelu<V>(a); }                              \
  TW_KERNEL(kThreads, 2) tw_gelu_grad_v##V##_f32(tw_gelu_args a, void *scratch) { gelu_grad<V>(a, scratch); } \
  TW_KERNEL(32 * kSumWarps, 1) tw_gelu_grad_parts_v##V##_f32(tw_gelu_args a, void *scratch) { gelu_grad_parts<V>(a, scratch); } \
  TW_KERNEL(kThreads) tw_gelu_tangent_v##V##_f32(tw_gelu_args a, void *) { gelu_tangent<V>(a); }
TW_GELU(4)
TW_GELU(1)

// ---------------------------------------------------------------- the end of a post-norm block

// branch returns a piece of r + dropout(x + bias), of element (i,c) on.
template <int W>
TW_DEV Pack<W> branch(const tw_add_norm_args &a, const Dropout &drop, const tw_mat &x, const float *bias, const tw_mat &r, int64_t i, int64_t c) {
  Pack<W> v = optional<W>(x, i, c);
  add(v, optional<W>(bias, c));
  v = drop.apply(v, static_cast<uint64_t>(i) * a.z.cols + c);
  add(v, optional<W>(r, i, c));
  return v;
}

template <int W>
TW_DEV Pack<W> xhat(const tw_add_norm_args &a, int64_t r, int64_t c) {
  Pack<W> z = load<W>(row(a.z, r) + c);
  const float mean = a.mean[r], rstd = a.rstd[r];
#pragma unroll
  for (int e = 0; e < W; e++) z.v[e] = (z.v[e] - mean) * rstd;
  return z;
}

// tw_add_norm_f32: z = r + dropout(x + bias), y = (z-mean)*rstd*gamma + beta, mean and rstd of each row of z in two passes over
// registers. Dropout takes the numbers of element i*C+c.
// shapes   in the v4 variants C is a multiple of 4 and at most 128*kKept.
// alias    z may be x.
// launch   one warp per row.
// cost     bytes 4*(3 + residual)*R*C + 12*C + 8*R, flops 12*R*C.
template <int V, int K>
TW_DEV void add_norm(const tw_add_norm_args &a) {
  const Dropout drop(a.p, a.stream, a.step, a.seed);
  const int64_t cols = a.z.cols;
  warp_rows(a.z.rows, [&](int64_t i) {
    auto make = [&](int64_t c) {
      const Pack<V> z = branch<V>(a, drop, a.x, a.bias, a.r, i, c);
      store(row(a.z, i) + c, z);
      return z;
    };
    // A row that is not kept comes back from memory: made again it could be from an x that is z by now.
    if constexpr (K == 0)
      for (int64_t c = V * (threadIdx.x % 32); c < cols; c += 32 * V) make(c);
    auto z = line<V, K>(cols, [&](int64_t c) {
      if constexpr (K == 0)
        return load<V>(row(a.z, i) + c);
      else
        return make(c);
    });
    float sum = 0, square = 0;
    z.each([&](int64_t, const Pack<V> &p) {
#pragma unroll
      for (int e = 0; e < V; e++) sum += p.v[e];
    });
    const float mean = warp_sum(sum) / cols;
    z.each([&](int64_t, const Pack<V> &p) {
#pragma unroll
      for (int e = 0; e < V; e++) square += (p.v[e] - mean) * (p.v[e] - mean);
    });
    const float rstd = 1 / sqrtf(warp_sum(square) / cols + static_cast<float>(a.eps));
    if (threadIdx.x % 32 == 0) {
      a.mean[i] = mean;
      a.rstd[i] = rstd;
    }
    z.each([&](int64_t c, Pack<V> y) {
      const Pack<V> gamma = load<V>(a.gamma + c), beta = load<V>(a.beta + c);
#pragma unroll
      for (int e = 0; e < V; e++) y.v[e] = (y.v[e] - mean) * rstd * gamma.v[e] + beta.v[e];
      store(row(a.y, i) + c, y);
    });
  });
}

// Scratch of the gradient: for each row the means of g and of g*xhat, then the parts of three sums of columns.
TW_DEV float *row_means(void *scratch) { return static_cast<float *>(scratch); }
TW_DEV float *column_parts(const tw_add_norm_args &a, void *scratch) { return row_means(scratch) + padded(2 * a.z.rows); }

// tw_add_norm_grad_rows_f32: the means over each row of g = dy*gamma and of g*xhat, xhat = (z-mean)*rstd, in scratch.
// launch   one warp per row.
// cost     bytes 8*R*C, flops 6*R*C.
template <int V>
TW_DEV void add_norm_grad_rows(const tw_add_norm_args &a, void *scratch) {
  warp_rows(a.z.rows, [&](int64_t r) {
    float s0 = 0, s1 = 0;
    along<V>(a.z.cols, threadIdx.x % 32, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      const Pack<W> x = xhat<W>(a, r, c), dy = load<W>(row(a.dy, r) + c), gamma = load<W>(a.gamma + c);
#pragma unroll
      for (int e = 0; e < W; e++) {
        const float g = dy.v[e] * gamma.v[e];
        s0 += g, s1 += g * x.v[e];
      }
    });
    s0 = warp_sum(s0) / a.z.cols, s1 = warp_sum(s1) / a.z.cols;
    if (threadIdx.x % 32 == 0) store(row_means(scratch) + 2 * r, Pack<2>{{s0, s1}});
  });
}

// tw_add_norm_grad_f32: dz = rstd*(dy*gamma - s0 - xhat*s1) with the row's means, dr (+)= dz, dx = dropout(dz), and the sums over
// the rows of each tile of dy, dy*xhat and dx, for tw_add_norm_grad_parts_f32 to add to dbeta, dgamma and dbias.
// alias    dx may be dr without dropout.
// cost     bytes 4*(2 + dx + dr + accumulate)*R*C + 20*C + 16*R, flops 14*R*C; what is read a second time is not counted by kernels/op.
template <int V>
TW_DEV void add_norm_grad(const tw_add_norm_args &a, void *scratch) {
  const Dropout drop(a.p, a.stream, a.step, a.seed);
  const float *means = row_means(scratch);
  map_sums<3, V, 2>(a.z.rows, a.z.cols, column_parts(a, scratch), [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct In {
      Pack<W> xhat, dy, dr;
    };
    struct Column {
      const tw_add_norm_args &a;
      const Dropout &drop;
      const float *means;
      int64_t c;
      Pack<W> gamma;
      __device__ In load(int64_t r) const {
        return {xhat<W>(a, r, c), ::load<W>(row(a.dy, r) + c), a.dr.p && a.accumulate ? ::load<W>(row(a.dr, r) + c) : Pack<W>{}};
      }
      __device__ void store(int64_t r, In &in, Pack<W> (&sum)[3]) const {
        const Pack<2> mean = ::load<2>(means + 2 * r);
        const float rstd = a.rstd[r];
        Pack<W> dz;
#pragma unroll
        for (int e = 0; e < W; e++) {
          sum[0].v[e] += in.dy.v[e];
          sum[1].v[e] += in.dy.v[e] * in.xhat.v[e];
          dz.v[e] = rstd * (in.dy.v[e] * gamma.v[e] - mean.v[0] - in.xhat.v[e] * mean.v[1]);
        }
        if (a.dr.p) {
          add(in.dr, dz);
          store_whole(row(a.dr, r) + c, in.dr);
        }
        dz = drop.apply(dz, static_cast<uint64_t>(r) * a.z.cols + c);
        add(sum[2], dz);
        if (a.dx.p) store_whole(row(a.dx, r) + c, dz);
      }
    };
    return Column{a, drop, means, c, load<W>(a.gamma + c)};
  });
}

// tw_add_norm_grad_parts_f32: dbeta, dgamma and dbias += the parts, which are of Rows rows.
// launch   blockDim (32, kSumWarps).
template <int V, int Rows>
TW_DEV void add_norm_grad_parts(const tw_add_norm_args &a, const float *parts) {
  part_sums<V>(pieces(a.z.rows, Rows), 3, a.z.cols, parts, [&](auto, int64_t n, int64_t c, auto sum) {
    float *to = n == 0 ? a.dbeta : n == 1 ? a.dgamma : a.dbias;
    if (to) put(to + c, sum, 1);
  });
}

// tw_add_norm_grad_whole_f32: all of this in one pass over rows that lanes keep, with the sums over every kPostRows rows.
// shapes   C is a multiple of 4 and at most 128*kKept; leading dimensions and addresses as for v4.
// scratch  pieces of kPostRows rows × 3 × C floats.
// order    a warp adds every kWarps-th row of its block, then the warps are added in order.
// cost     bytes 4*(2 + dx + dr + accumulate)*R*C + 20*C + 8*R + 24*R*C/kPostRows, flops 16*R*C.
enum : int {
  kPostRows = 32,
};

TW_DEV void add_norm_grad_whole(const tw_add_norm_args &a, float *parts) {
  enum : int { most = 32 * kKept };
  __shared__ Pack<4> share[kWarps][2][most];
  const Dropout drop(a.p, a.stream, a.step, a.seed);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t rows = a.z.rows, cols = a.z.cols, width = cols / 4;
  for (int64_t part = blockIdx.x; part * kPostRows < rows; part += gridDim.x) {
    Pack<4>(*sum)[most] = share[warp];
    for (int64_t i = lane; i < width; i += 32) sum[0][i] = sum[1][i] = {};  // only this lane adds to them
    Pack<4> dbias[kKept] = {};
#pragma unroll 1
    for (int64_t r = part * kPostRows + warp; r < rows && r < (part + 1) * kPostRows; r += kWarps) {
      auto pieces = line<4, kKept>(cols, [&](int64_t c) {
        Centred<4> p = {xhat<4>(a, r, c), load<4>(row(a.dy, r) + c)};
        const Pack<4> gamma = load<4>(a.gamma + c);
        Pack<4> s0 = sum[0][c / 4], s1 = sum[1][c / 4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
          s0.v[e] += p.g.v[e], s1.v[e] += p.g.v[e] * p.xhat.v[e];
          p.g.v[e] *= gamma.v[e];
        }
        sum[0][c / 4] = s0, sum[1][c / 4] = s1;
        return p;
      });
      const float2 s = sums<4>(pieces);
      const float rstd = a.rstd[r];
#pragma unroll
      for (int k = 0; k < kKept; k++) {
        const int64_t c = (32 * k + lane) * 4;
        if (c >= cols) continue;
        Pack<4> dz = pieces.kept[k].g;
#pragma unroll
        for (int e = 0; e < 4; e++) dz.v[e] = rstd * (dz.v[e] - s.x - pieces.kept[k].xhat.v[e] * s.y);
        if (a.dr.p) put(row(a.dr, r) + c, dz, a.accumulate);
        dz = drop.apply(dz, static_cast<uint64_t>(r) * cols + c);
        add(dbias[k], dz);
        if (a.dx.p) store(row(a.dx, r) + c, dz);
      }
    }
    // leave adds up n sums of the warps.
    auto leave = [&](int first, int n) {
      __syncthreads();
      for (int64_t i = threadIdx.x; i < n * width; i += kThreads) {
        Pack<4> s = {};
#pragma unroll
        for (int k = 0; k < kWarps; k++) add(s, share[k][i / width][i % width]);
        store(parts + ((3 * part + first) * width + i) * 4, s);
      }
      __syncthreads();
    };
    leave(0, 2);
#pragma unroll
    for (int k = 0; k < kKept; k++)
      if (32 * k + lane < width) sum[0][32 * k + lane] = dbias[k];
    leave(2, 1);
  }
}

// tw_add_norm_tangent_f32: with tz = tr + dropout(tx + tbias), ty = tgamma*xhat + tbeta + gamma*rstd*(tz - s0 - xhat*s1), s0 and
// s1 the row's means of tz and tz*xhat.
// shapes   in the v4 variants C is a multiple of 4 and at most 128*kKept.
// launch   one warp per row.
// cost     bytes 4*(2 + tx + tr)*R*C + 16*C + 8*R, flops 16*R*C.
template <int V, int K>
TW_DEV void add_norm_tangent(const tw_add_norm_args &a) {
  const Dropout drop(a.p, a.stream, a.step, a.seed);
  warp_rows(a.z.rows, [&](int64_t i) {
    auto pieces = line<V, K>(a.z.cols, [&](int64_t c) { return Centred<V>{xhat<V>(a, i, c), branch<V>(a, drop, a.tx, a.tbias, a.tr, i, c)}; });
    const float2 s = sums<V>(pieces);
    pieces.each([&](int64_t c, Centred<V> p) {
      const Pack<V> gamma = load<V>(a.gamma + c), tgamma = optional<V>(a.tgamma, c), tbeta = optional<V>(a.tbeta, c);
#pragma unroll
      for (int e = 0; e < V; e++)
        p.g.v[e] = tgamma.v[e] * p.xhat.v[e] + tbeta.v[e] + gamma.v[e] * a.rstd[i] * (p.g.v[e] - s.x - p.xhat.v[e] * s.y);
      store(row(a.ty, i) + c, p.g);
    });
  });
}

#define TW_ADD_NORM(V, K)                                                                                                              \
  TW_KERNEL(kThreads) tw_add_norm_v##V##_f32(tw_add_norm_args a, void *) { add_norm<V, K>(a); }                                        \
  TW_KERNEL(kThreads) tw_add_norm_grad_rows_v##V##_f32(tw_add_norm_args a, void *scratch) { add_norm_grad_rows<V>(a, scratch); }       \
  TW_KERNEL(kThreads, 2) tw_add_norm_grad_v##V##_f32(tw_add_norm_args a, void *scratch) { add_norm_grad<V>(a, scratch); }              \
  TW_KERNEL(32 * kSumWarps, 1) tw_add_norm_grad_parts_v##V##_f32(tw_add_norm_args a, void *scratch) { add_norm_grad_parts<V, kTileRows>(a, column_parts(a, scratch)); } \
  TW_KERNEL(kThreads, 2) tw_add_norm_tangent_v##V##_f32(tw_add_norm_args a, void *) { add_norm_tangent<V, K>(a); }
TW_ADD_NORM(4, kKept)
TW_ADD_NORM(1, 0)

TW_KERNEL(kThreads, 2) tw_add_norm_grad_whole_f32(tw_add_norm_args a, void *scratch) { add_norm_grad_whole(a, static_cast<float *>(scratch)); }
TW_KERNEL(32 * kSumWarps, 1) tw_add_norm_grad_whole_parts_f32(tw_add_norm_args a, void *scratch) {
  add_norm_grad_parts<4, kPostRows>(a, static_cast<float *>(scratch));
}

// ---------------------------------------------------------------- gradients of look-ups

// tw_scatter_rows_f32: dst[row[r],c] += sum over k in [ptr[r], ptr[r+1]) of w[k] * src[col[k],c].
// shapes   dst (N,C), src (T,C), row (R) i32, all different; w (nnz) or null for ones.
// scratch  of chunks (segment.cuh); null where nnz <= kChunk. tw_scatter_rows_long_f32 then finishes the long rows.
// launch   columns along x, rows and chunks along y and blocks.
// cost     bytes 4*(nnz*C + 2*R*C) + 8*R + 8*nnz, flops up to 2*nnz*C.
struct Scatter {
  const tw_scatter_args &a;
  const tw_csr &csr;
  int64_t cols;
  template <int W>
  __device__ auto edge(Width<W>, int64_t c) const {
    return [this, c](int64_t k, bool there) {
      Pack<W> x = load_if<W>(row(a.src, load_if(csr.col + k, there)) + c, there);
      const float s = load_if(csr.w + k, there && csr.w, 1);
#pragma unroll
      for (int i = 0; i < W; i++) x.v[i] *= s;
      return x;
    };
  }
  template <int W>
  __device__ void put(Width<W>, int64_t r, int64_t c, const Pack<W> &sum) const {
    ::put(row(a.dst, a.row[r]) + c, sum, 1);
  }
};

#define TW_SCATTER_ROWS(V)                                                                                                                          \
  TW_KERNEL(kThreads, 2) tw_scatter_rows_v##V##_f32(tw_scatter_args a, void *scratch) { segment_sum<V>(Scatter{a, a.csr, a.dst.cols}, scratch); } \
  TW_KERNEL(kThreads) tw_scatter_rows_long_v##V##_f32(tw_scatter_args a, void *scratch) { segment_sum_long<V>(Scatter{a, a.csr, a.dst.cols}, scratch); }
TW_SCATTER_ROWS(4)
TW_SCATTER_ROWS(1)

// ---------------------------------------------------------------- rows of a table

// place is where row r of the table lies among n rows that are listed in ascending order, or begin with first; -1 is nowhere.
TW_DEV int64_t place(const int32_t *list, int64_t n, int64_t first, int64_t r) {
  if (!list) return r >= first && r - first < n ? r - first : -1;
  int64_t lo = 0, hi = n;
  while (lo < hi) {
    const int64_t mid = (lo + hi) / 2;
    if (list[mid] < r)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < n && list[lo] == r ? lo : -1;
}

struct Listed {
  const tw_rows_args &a;
  bool by_x;
  __device__ explicit Listed(const tw_rows_args &a) : a(a), by_x(a.xrow || !a.yrow) {}
  __device__ int64_t rows() const { return by_x ? a.x.rows : a.y.rows; }
  // common calls f for the rows of x and y that are the table's row with number u of the list, if there is one, or of x.
  template <class F>
  __device__ void common(int64_t u, F f) const {
    const int32_t *list = by_x ? a.xrow : a.yrow;
    const int64_t r = list ? list[u] : a.xfirst + u;
    const int64_t at = by_x ? place(a.yrow, a.y.rows, a.yfirst, r) : place(nullptr, a.x.rows, a.xfirst, r);
    if (at >= 0) f(row(a.x, by_x ? u : at), row(a.y, by_x ? at : u));
  }
};

// tw_add_rows_f32: y += s*x in the rows of a table that both hold; see gpu.Rows.
// shapes   x (R,C), y (Q,C); xrow (R), yrow (Q) i32, ascending and all different, or null: the rows from xfirst, yfirst on.
// launch   a warp to a row of a list, any grid.
// cost     bytes 12*C for a row that both hold and a search of log2 of the other list for each, flops 2*C.
// oracle   kernels/ref.AddRows
template <int V>
TW_DEV void add_rows(const tw_rows_args &a) {
  const float s = a.s ? *a.s : 1.0f;
  const Listed all(a);
  warp_rows(all.rows(), [&](int64_t u) {
    all.common(u, [&](const float *x, float *y) {
      along<V>(a.x.cols, threadIdx.x % 32, 32, [&](auto w, int64_t c) {
        constexpr int W = decltype(w)::value;
        const Pack<W> from = load<W>(x + c);
        Pack<W> to = load<W>(y + c);
#pragma unroll
        for (int e = 0; e < W; e++) to.v[e] += s * from.v[e];
        store<W>(y + c, to);
      });
    });
  });
}
TW_KERNEL(kThreads) tw_add_rows_v4_f32(tw_rows_args a, void *) { add_rows<4>(a); }
TW_KERNEL(kThreads) tw_add_rows_v1_f32(tw_rows_args a, void *) { add_rows<1>(a); }

// tw_dot_rows_f32: the parts of sum x*y over the rows of a table that both hold in scratch, float64; tw_sum_f32 follows.
// shapes   as in tw_add_rows_f32.  bytes 8*C for a row that both hold, flops 2*C.  order as in tw_dot_mat_f32.
template <int V>
TW_DEV void dot_rows(const tw_rows_args &a, void *scratch) {
  const Listed all(a);
  row_parts<32>(all.rows(), scratch, [&](int64_t u, int lane) {
    double s = 0;
    all.common(u, [&](const float *x, const float *y) {
      along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
        constexpr int W = decltype(w)::value;
        const Pack<W> p = load<W>(x + c), q = load<W>(y + c);
#pragma unroll
        for (int e = 0; e < W; e++) s += static_cast<double>(p.v[e]) * q.v[e];
      });
    });
    return s;
  });
}
TW_KERNEL(kThreads) tw_dot_rows_v4_f32(tw_rows_args a, void *scratch) { dot_rows<4>(a, scratch); }
TW_KERNEL(kThreads) tw_dot_rows_v1_f32(tw_rows_args a, void *scratch) { dot_rows<1>(a, scratch); }
