// Graph attention with edge embeddings (Veličković 2018; Hu 2020).
//
// Contract of every kernel here, unless it says otherwise
//   shapes  x (N,HC) f32 row-major, H heads of C channels side by side; e (codes,HC); att (H,2C), of which the first C go with the
//           receiving node and the others with the message; out, dout, tout (R,HC); alpha, score, dscore (nnz,H);
//           ptr (R+1), col, code (nnz), self (R) i32. Columns beyond those are neither read nor written. v4 variants need C and
//           leading dimensions that are multiples of 4, and aligned addresses.
//   alias   no output is an input.
//   order   of every sum fixed by the shapes and the graph: bitwise repeatable, no atomics.
//   launch  any grid; kernels of one warp per row and head have kThreads threads. Offsets are 64-bit.
//   cost    memory bound; bytes and flops are those of kernels/op.
//   oracle  kernels/ref/sparse.go (GAT)
#include "mathf.cuh"
#include "segment.cuh"

TW_DEV uint32_t channels(const tw_gat_args &a) { return static_cast<uint32_t>(a.x.cols) / static_cast<uint32_t>(a.heads); }

// Place is where a column lies: its head and the channel there.
struct Place {
  uint32_t h, j;
};
TW_DEV Place place(const tw_gat_args &a, int64_t c) {
  const uint32_t n = channels(a), h = static_cast<uint32_t>(c) / n;
  return {h, static_cast<uint32_t>(c) - h * n};
}

TW_DEV float leaky(float score, float v) { return score < 0 ? 0.2f * v : v; }

// Head is one row and one head, the work of one warp.
template <int V>
struct Head {
  const tw_gat_args &a;
  int64_t r, h, c, lo, hi;  // row, head, channels, edges
  int lane;

  // dot returns <u, v> over the channels of the head; v(j) makes its piece at channel j.
  template <class F>
  __device__ float dot(const float *u, F v) const {
    float s = 0;
#pragma unroll 2
    for (int64_t j = V * lane; j < c; j += 32 * V) {
      const Pack<V> p = load<V>(u + j), q = v(j);
#pragma unroll
      for (int e = 0; e < V; e++) s += p.v[e] * q.v[e];
    }
    return warp_sum(s);
  }

  // node is a piece of a row of x or of its tangent, message that of edge k: x[col[k]] + e[code[k]].
  __device__ Pack<V> node(const tw_mat &x, int64_t i, int64_t j) const { return load<V>(row(x, i) + h * c + j); }
  __device__ Pack<V> message(const tw_mat &x, const tw_mat &e, int64_t k, int64_t j, bool there = true) const {
    Pack<V> m = load_if<V>(row(x, load_if(a.csr.col + k, there)) + h * c + j, there);
    add(m, load_if<V>(row(e, load_if(a.csr.code + k, there)) + h * c + j, there));
    return m;
  }

  // weighted_sum writes to out the sum over the edges of term(k, j, true), a piece at channel j.
  template <class F>
  __device__ void weighted_sum(const tw_mat &out, F term) const {
#pragma unroll 1
    for (int64_t j = V * lane; j < c; j += 32 * V)
      store(row(out, r) + h * c + j, ordered_sum<V, 2>(lo, hi, 1, [&](int64_t k, bool there) { return term(k, j, there); }));
  }
};

template <int V, class F>
TW_DEV void heads(const tw_gat_args &a, F f) {
  warp_rows(a.csr.rows * a.heads, [&](int64_t u) {
    const int64_t r = u / a.heads;
    f(Head<V>{a, r, u - r * a.heads, channels(a), a.csr.ptr[r], a.csr.ptr[r + 1], static_cast<int>(threadIdx.x % 32)});
  });
}

// tw_gat_f32: attention and the weighted sum of messages m_k = x[col[k]] + e[code[k]].
//   score[k,h] = <att[h,:C], x[self[r],h]> + <att[h,C:], m_k[h]>,  alpha = softmax over the row of leaky_0.2(score)
//   out[r,h] = sum over k in row r of alpha[k,h] m_k[h]
// empty    a row without edges gets 0.
// cost     bytes 4*(2*nnz*HC + 2*R*HC + codes*HC + 2*HC + 3*nnz*H) + 4*(2*R+1+2*nnz), flops 6*nnz*HC + 2*R*HC + 7*nnz*H.
template <int V>
TW_DEV void gat(const tw_gat_args &a) {
  heads<V>(a, [&](const Head<V> &w) {
    const float *att = row(a.att, w.h);
    const float own = w.dot(att, [&](int64_t j) { return w.node(a.x, a.self[w.r], j); });
    for (int64_t k = w.lo; k < w.hi; k++) {
      const float s = own + w.dot(att + w.c, [&](int64_t j) { return w.message(a.x, a.e, k, j); });
      if (w.lane == 0) row(a.score, k)[w.h] = s;
    }
    __syncwarp();
    float top = -3.402823466e38f, sum = 0;
    for (int64_t k = w.lo + w.lane; k < w.hi; k += 32) {
      const float s = row(a.score, k)[w.h];
      top = fmaxf(top, leaky(s, s));
    }
    top = warp_reduce(top, Max{});
    for (int64_t k = w.lo + w.lane; k < w.hi; k += 32) {
      const float s = row(a.score, k)[w.h], p = exp_f(leaky(s, s) - top);
      row(a.alpha, k)[w.h] = p;
      sum += p;
    }
    sum = warp_sum(sum);
    for (int64_t k = w.lo + w.lane; k < w.hi; k += 32) row(a.alpha, k)[w.h] /= sum;
    __syncwarp();
    w.weighted_sum(a.out, [&](int64_t k, int64_t j, bool there) {
      Pack<V> m = {};
      add_scaled(m, there ? row(a.alpha, k)[w.h] : 0, w.message(a.x, a.e, k, j, there));
      return m;
    });
  });
}

// tw_gat_tangent_f32: derivative of out along (tx, te, tatt).
//   s'_k = leaky'(<tatt, (x[self], m_k)> + <att, (tx[self], m'_k)>),  a'_k = alpha_k (s'_k - sum_j alpha_j s'_j)
//   tout = sum of a'_k m_k + alpha_k m'_k
// scratch  nnz × H floats, for s'.
// cost     bytes 4*(4*nnz*HC + 3*R*HC + 2*codes*HC + 4*HC + 2*nnz*H) + 4*(2*R+1+2*nnz), flops 12*nnz*HC + 4*R*HC + 6*nnz*H.
template <int V>
TW_DEV void gat_tangent(const tw_gat_args &a, float *slope) {
  heads<V>(a, [&](const Head<V> &w) {
    const float *att = row(a.att, w.h), *tatt = row(a.tatt, w.h);
    const float own = w.dot(tatt, [&](int64_t j) { return w.node(a.x, a.self[w.r], j); }) +
                      w.dot(att, [&](int64_t j) { return w.node(a.tx, a.self[w.r], j); });
    float mean = 0;
    for (int64_t k = w.lo; k < w.hi; k++) {
      float t = own + w.dot(tatt + w.c, [&](int64_t j) { return w.message(a.x, a.e, k, j); }) +
                w.dot(att + w.c, [&](int64_t j) { return w.message(a.tx, a.te, k, j); });
      t = leaky(row(a.score, k)[w.h], t);
      mean += row(a.alpha, k)[w.h] * t;
      if (w.lane == 0) slope[k * a.heads + w.h] = t;
    }
    __syncwarp();
    w.weighted_sum(a.tout, [&](int64_t k, int64_t j, bool there) {
      const float alpha = load_if(row(a.alpha, k) + w.h, there, 0), t = there ? slope[k * a.heads + w.h] : 0;
      Pack<V> m = {};
      add_scaled(m, alpha * (t - mean), w.message(a.x, a.e, k, j, there));
      add_scaled(m, alpha, w.message(a.tx, a.te, k, j, there));
      return m;
    });
  });
}

// ---------------------------------------------------------------- gradient

// The gradient goes through sums per node, so that no edge's message is gathered for the gradient of att:
//   d_k = dscore[k], D_r = sum of d_k over row r; for every node v: S_v = sum of D_r over rows with self[r] = v,
//   T_v = sum of d_k over edges with col[k] = v; for every code: F = sum of d_k over its edges. Each for every head. Then
//   dx[v]    += sum over edges k with col[k] = v of alpha_k dout[row of k]  +  T_v att[C:] + S_v att[:C]
//   de[code] += sum over its edges of alpha_k dout[row of k]                +  F_code att[C:]
//   datt[:C] += sum over v of S_v x[v],   datt[C:] += sum over v of T_v x[v] + sum over codes of F_code e[code]
// Scratch holds first what several of its kernels need.
struct GatScratch {
  int32_t *from;                   // (nnz) the row of each edge
  float *rows, *own, *sent, *code; // D (R,H), S and T (N,H), F (codes,H)
  float *rest;                     // chunks and parts of the sums, one after the other
};

TW_DEV GatScratch gat_scratch(const tw_gat_args &a, void *scratch) {
  float *p = static_cast<float *>(scratch);
  auto take = [&](int64_t n) {
    float *q = p;
    p += (n + 63) / 64 * 64;
    return q;
  };
  GatScratch s;
  s.from = reinterpret_cast<int32_t *>(take(a.csr.nnz));
  s.rows = take(a.csr.rows * a.heads);
  s.own = take(a.x.rows * a.heads);
  s.sent = take(a.x.rows * a.heads);
  s.code = take(a.e.rows * a.heads);
  s.rest = p;
  return s;
}

// tw_gat_grad_scores_f32: dscore[k,h] = leaky'(score) alpha_k (<dout[r,h], m_k[h]> - sum over the row of alpha_j <dout[r,h], m_j[h]>),
// D_r, and the row of each edge.
template <int V>
TW_DEV void gat_grad_scores(const tw_gat_args &a, const GatScratch &s) {
  heads<V>(a, [&](const Head<V> &w) {
    float mean = 0, sum = 0;
    for (int64_t k = w.lo; k < w.hi; k++) {
      const float d = w.dot(row(a.dout, w.r) + w.h * w.c, [&](int64_t j) { return w.message(a.x, a.e, k, j); });
      mean += row(a.alpha, k)[w.h] * d;
      if (w.lane == 0) row(a.dscore, k)[w.h] = d;
    }
    __syncwarp();
    for (int64_t k = w.lo + w.lane; k < w.hi; k += 32) {
      const float d = leaky(row(a.score, k)[w.h], row(a.alpha, k)[w.h] * (row(a.dscore, k)[w.h] - mean));
      row(a.dscore, k)[w.h] = d;
      sum += d;
      if (w.h == 0) s.from[k] = static_cast<int32_t>(w.r);
    }
    sum = warp_sum(sum);
    if (w.lane == 0) s.rows[w.r * a.heads + w.h] = sum;
  });
}

// tw_gat_grad_nodes_f32: S and T, one warp per node and head.
TW_DEV void gat_grad_nodes(const tw_gat_args &a, const GatScratch &s) {
  warp_rows(a.x.rows * a.heads, [&](int64_t u) {
    const int64_t v = u / a.heads, h = u % a.heads;
    const int lane = threadIdx.x % 32;
    const auto own = ordered_sum<1>(a.tself.ptr[v] + lane, a.tself.ptr[v + 1], 32, [&](int64_t i, bool there) {
      return load_if<1>(s.rows + load_if(a.tself.col + i, there) * a.heads + h, there);
    });
    const auto sent = ordered_sum<1>(a.t.ptr[v] + lane, a.t.ptr[v + 1], 32, [&](int64_t i, bool there) {
      return load_if<1>(row(a.dscore, load_if(a.t.col + i, there)) + h, there);
    });
    const float total_own = warp_sum(own.v[0]), total_sent = warp_sum(sent.v[0]);
    if (lane == 0) {
      s.own[u] = total_own;
      s.sent[u] = total_sent;
    }
  });
}

// tw_gat_grad_x_f32: dx, a segment sum over the transposed structure; tw_gat_grad_x_long_f32 finishes its long rows.
struct GatGradX {
  const tw_gat_args &a;
  const tw_csr &csr;
  int64_t cols;
  GatScratch s;
  template <int W>
  __device__ auto edge(Width<W>, int64_t c) const {
    return [this, c, h = place(a, c).h](int64_t i, bool there) {
      const int64_t k = load_if(csr.col + i, there);
      Pack<W> x = {};
      add_scaled(x, load_if(row(a.alpha, k) + h, there, 0), load_if<W>(row(a.dout, load_if(s.from + k, there)) + c, there));
      return x;
    };
  }
  template <int W>
  __device__ void put(Width<W>, int64_t v, int64_t c, Pack<W> sum) const {
    const Place p = place(a, c);
    const float *att = row(a.att, p.h) + p.j;
    add_scaled(sum, s.own[v * a.heads + p.h], load<W>(att));
    add_scaled(sum, s.sent[v * a.heads + p.h], load<W>(att + channels(a)));
    ::put(row(a.dx, v) + c, sum, 1);
  }
};

// tw_gat_grad_e_f32: de and, as H more columns of the table, F; tw_gat_grad_e_parts_f32 adds up the parts.
struct GatGradE {
  const tw_gat_args &a;
  int64_t rows, table, cols;
  GatScratch s;
  __device__ int64_t begin(int64_t r) const { return a.csr.ptr[r]; }
  __device__ int64_t end(int64_t r) const { return a.csr.ptr[r + 1]; }
  __device__ int32_t code(int64_t k) const { return a.csr.code[k]; }
  template <int W>
  struct Column {
    const tw_gat_args &a;
    int64_t c, h;  // h >= heads: column c-HC of F
    Pack<W> att;
    __device__ Pack<W> value(int64_t r) const { return h < a.heads ? load<W>(row(a.dout, r) + c) : Pack<W>{}; }
    __device__ void add(Pack<W> &sum, int64_t k, const Pack<W> &x) const {
      if (h < a.heads) {
        add_scaled(sum, row(a.alpha, k)[h], x);
        add_scaled(sum, row(a.dscore, k)[h], att);
        return;
      }
#pragma unroll
      for (int i = 0; i < W; i++) sum.v[i] += row(a.dscore, k)[c - a.e.cols + i];
    }
  };
  template <int W>
  __device__ Column<W> column(Width<W>, int64_t c) const {
    const Place p = place(a, c);
    return {a, c, p.h, p.h < a.heads ? load<W>(row(a.att, p.h) + channels(a) + p.j) : Pack<W>{}};
  }
  template <int W>
  __device__ void put(Width<W>, int64_t t, int64_t c, const Pack<W> &sum) const {
    if (c < a.e.cols) return ::put(row(a.de, t) + c, sum, 1);
#pragma unroll
    for (int i = 0; i < W; i++) s.code[t * a.heads + c - a.e.cols + i] = sum.v[i];
  }
};

// tw_gat_grad_att_f32: datt as sums over columns of x and e; tw_gat_grad_att_parts_f32 adds up the parts.
template <int V>
TW_DEV void gat_grad_att(const tw_gat_args &a, const GatScratch &s) {
  const int64_t nodes = a.x.rows;
  column_sums<2, V>(nodes + a.e.rows, a.x.cols, s.rest, [&](auto w, int64_t c) {
    constexpr int W = decltype(w)::value;
    struct Column {
      const tw_gat_args &a;
      const GatScratch &s;
      int64_t c, h;
      __device__ void add(int64_t i, Pack<W> *sum) const {
        const int64_t code = i - a.x.rows;
        const Pack<W> x = load<W>((code < 0 ? row(a.x, i) : row(a.e, code)) + c);
        if (code < 0) add_scaled(sum[0], s.own[i * a.heads + h], x);
        add_scaled(sum[1], code < 0 ? s.sent[i * a.heads + h] : s.code[code * a.heads + h], x);
      }
    };
    return Column{a, s, c, place(a, c).h};
  });
}

template <int V>
TW_DEV void gat_grad_att_parts(const tw_gat_args &a, const GatScratch &s) {
  part_sums<V>(pieces(a.x.rows + a.e.rows, kTileRows), 2, a.x.cols, s.rest, [&](auto, int64_t n, int64_t c, auto sum) {
    const Place p = place(a, c);
    put(row(a.datt, p.h) + n * channels(a) + p.j, sum, 1);
  });
}

#define TW_GAT(V)                                                                                                                   \
  TW_KERNEL(kThreads, 2) tw_gat_v##V##_f32(tw_gat_args a, void *) { gat<V>(a); }                                                       \
  TW_KERNEL(kThreads, 2) tw_gat_tangent_v##V##_f32(tw_gat_args a, void *scratch) { gat_tangent<V>(a, static_cast<float *>(scratch)); } \
  TW_KERNEL(kThreads, 2) tw_gat_grad_scores_v##V##_f32(tw_gat_args a, void *scratch) { gat_grad_scores<V>(a, gat_scratch(a, scratch)); } \
  TW_KERNEL(kThreads, 2) tw_gat_grad_x_v##V##_f32(tw_gat_args a, void *scratch) {                                                      \
    const GatScratch s = gat_scratch(a, scratch);                                                                                   \
    segment_sum<V>(GatGradX{a, a.t, a.dx.cols, s}, s.rest);                                                                         \
  }                                                                                                                                 \
  TW_KERNEL(kThreads, 2) tw_gat_grad_x_long_v##V##_f32(tw_gat_args a, void *scratch) {                                                 \
    const GatScratch s = gat_scratch(a, scratch);                                                                                   \
    segment_sum_long<V>(GatGradX{a, a.t, a.dx.cols, s}, s.rest);                                                                    \
  }                                                                                                                                 \
  TW_KERNEL(kThreads, 2) tw_gat_grad_e_v##V##_f32(tw_gat_args a, void *scratch) {                                                      \
    const GatScratch s = gat_scratch(a, scratch);                                                                                   \
    table_sum<V>(GatGradE{a, a.csr.rows, a.e.rows, a.e.cols + a.heads, s}, s.rest);                                                 \
  }                                                                                                                                 \
  TW_KERNEL(32 * kSumWarps, 1) tw_gat_grad_e_parts_v##V##_f32(tw_gat_args a, void *scratch) {                                          \
    const GatScratch s = gat_scratch(a, scratch);                                                                                   \
    table_parts<V>(GatGradE{a, a.csr.rows, a.e.rows, a.e.cols + a.heads, s}, s.rest);                                               \
  }                                                                                                                                 \
  TW_KERNEL(kThreads, 2) tw_gat_grad_att_v##V##_f32(tw_gat_args a, void *scratch) { gat_grad_att<V>(a, gat_scratch(a, scratch)); }     \
  TW_KERNEL(32 * kSumWarps, 1) tw_gat_grad_att_parts_v##V##_f32(tw_gat_args a, void *scratch) { gat_grad_att_parts<V>(a, gat_scratch(a, scratch)); }
TW_GAT(4)
TW_GAT(1)

TW_KERNEL(kThreads) tw_gat_grad_nodes_f32(tw_gat_args a, void *scratch) { gat_grad_nodes(a, gat_scratch(a, scratch)); }
