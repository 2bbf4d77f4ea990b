// Rows that a warp passes over more than once, kept in registers.
#pragma once
#include "common.cuh"

enum : int {
  kKept = 6,  // pieces of a row that a lane of a v4 kernel keeps: rows of up to 768 columns
};

// Line is a row that make(c) computes piece by piece, shared by the 32 lanes of a warp. Each lane keeps K pieces, enough for
// 32 K V columns; with K = 0 every pass makes them again, for rows of any length.
template <int V, int K, class F>
struct Line {
  int64_t cols;
  F make;
  decltype(make(0)) kept[K > 0 ? K : 1];

  __device__ Line(int64_t cols, F make) : cols(cols), make(make) {
    each([&](int64_t c, auto &piece) { piece = make(c); });
  }

  // each calls f(c, piece) for the lane's pieces.
  template <class G>
  __device__ void each(G f) {
    const int lane = threadIdx.x % 32;
    if constexpr (K == 0)
      for (int64_t c = V * lane; c < cols; c += 32 * V) f(c, kept[0] = make(c));
    else
#pragma unroll
      for (int k = 0; k < K; k++)
        if ((32 * k + lane) * V < cols) f(static_cast<int64_t>((32 * k + lane) * V), kept[k]);
  }
};

template <int V, int K, class F>
TW_DEV Line<V, K, F> line(int64_t cols, F make) {
  return Line<V, K, F>(cols, make);
}

// Centred is a piece of xhat = (x-mean)*rstd and of what comes beside it.
template <int V>
struct Centred {
  Pack<V> xhat, g;
};

// sums returns the sums over a row of g and of g*xhat, divided by the number of columns.
template <int V, class L>
TW_DEV float2 sums(L &row) {
  float s0 = 0, s1 = 0;
  row.each([&](int64_t, const Centred<V> &p) {
#pragma unroll
    for (int e = 0; e < V; e++) s0 += p.g.v[e], s1 += p.g.v[e] * p.xhat.v[e];
  });
  return make_float2(warp_sum(s0) / row.cols, warp_sum(s1) / row.cols);
}
