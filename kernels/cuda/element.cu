// Element-wise and row-wise operations on matrices.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  y, x, z (N,C) f32 row-major with leading dimensions of their own; v (N). v4 variants need all rows aligned to 16
//           bytes, v1 variants to 4. Columns beyond C are neither read nor written.
//   alias   y may be x: an element is read before it is written, by the same thread.
//   launch  elements: any block of at most 256 threads with columns along x and rows along y; rows: 256 threads, a warp to a row.
//           Any grid of blocks along x. Offsets are 64-bit.
//   oracle  kernels/ref/element.go
#include "mathf.cuh"
#include "philox.cuh"

// Numbers of gpu.Act.
enum Act : int { kIdentity, kReLU, kSigmoid, kTanh, kLeakyReLU };

TW_DEV float leak() { return 0.2f; }

TW_DEV float activation(int act, float x) {
  switch (act) {
    case kReLU: return x > 0 ? x : 0;
    case kSigmoid: return sigmoid_f(x);
    case kTanh: return tanh_f(x);
    case kLeakyReLU: return x < 0 ? leak() * x : x;
    default: return x;
  }
}

// slope is the derivative of an activation where its value is y.
TW_DEV float slope(int act, float y) {
  switch (act) {
    case kReLU: return y > 0 ? 1 : 0;
    case kSigmoid: return y * (1 - y);
    case kTanh: return 1 - y * y;
    case kLeakyReLU: return y < 0 ? leak() : 1;
    default: return 1;
  }
}

// each writes y (+)= f(W, r, c), where f gives a Pack<W> of row r from column c on.
template <int V, class F>
TW_DEV void each(const tw_element_args &a, int accumulate, F f) {
  cells<V>(a.x.rows, a.x.cols, [&](auto w, int64_t r, int64_t c) { put(row(a.y, r) + c, f(w, r, c), accumulate); });
}

// Both widths of a kernel of this file.
#define TW_BOTH(name)                                                                     \
  TW_KERNEL(kThreads) tw_##name##_v4_f32(tw_element_args a, void *) { name<4>(a); } \
  TW_KERNEL(kThreads) tw_##name##_v1_f32(tw_element_args a, void *) { name<1>(a); }

// tw_activate_f32: y = act(x). bytes 8NC
template <int V>
TW_DEV void activate(const tw_element_args &a) {
  each<V>(a, 0, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> x = load<W>(row(a.x, r) + c);
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] = activation(a.act, x.v[e]);
    return x;
  });
}
TW_BOTH(activate)

// tw_activate_grad_f32: y (+)= x * act'(z); x the gradient, z the saved value. bytes 12NC, 16NC added
template <int V>
TW_DEV void activate_grad(const tw_element_args &a) {
  each<V>(a, a.accumulate, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> x = load<W>(row(a.x, r) + c);
    const Pack<W> z = load<W>(row(a.z, r) + c);
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] *= slope(a.act, z.v[e]);
    return x;
  });
}
TW_BOTH(activate_grad)

// tw_dropout_f32: y (+)= x/(1-p) or 0, see Dropout in philox.cuh, for element r*C+c. bytes 8NC, 12NC added
template <int V>
TW_DEV void dropout(const tw_element_args &a) {
  const Dropout drop(a.p, a.stream, a.step, a.seed);
  each<V>(a, a.accumulate, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    return drop.apply(load<W>(row(a.x, r) + c), static_cast<uint64_t>(r) * a.x.cols + c);
  });
}
TW_BOTH(dropout)

// tw_add_scaled_f32: y += s*x. bytes 12NC, flops 2NC
template <int V>
TW_DEV void add_scaled(const tw_element_args &a) {
  const float s = static_cast<float>(a.s);
  cells<V>(a.x.rows, a.x.cols, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    const Pack<W> x = load<W>(row(a.x, r) + c);
    Pack<W> y = load<W>(row(a.y, r) + c);
#pragma unroll
    for (int e = 0; e < W; e++) y.v[e] += s * x.v[e];
    store<W>(row(a.y, r) + c, y);
  });
}
TW_BOTH(add_scaled)

// tw_copy_mat_f32: y = x. bytes 8NC
template <int V>
TW_DEV void copy_mat(const tw_element_args &a) {
  each<V>(a, 0, [&](auto w, int64_t r, int64_t c) { return load<decltype(w)::value>(row(a.x, r) + c); });
}
TW_BOTH(copy_mat)

// tw_scale_mat_f32: y = s*v[0]*x; v may be null (1), y may be x. bytes 8NC, flops NC
template <int V>
TW_DEV void scale_mat(const tw_element_args &a) {
  const float s = static_cast<float>(a.s * (a.v ? *a.v : 1.0f));
  each<V>(a, 0, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> x = load<W>(row(a.x, r) + c);
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] *= s;
    return x;
  });
}
TW_BOTH(scale_mat)

// tw_row_scale_f32: y_r (+)= s*v[r]*x_r. bytes 8NC+4N, 12NC+4N added; flops NC
template <int V>
TW_DEV void row_scale(const tw_element_args &a) {
  const float s = static_cast<float>(a.s);
  each<V>(a, a.accumulate, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> x = load<W>(row(a.x, r) + c);
    const float k = s * a.v[r];
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] *= k;
    return x;
  });
}
TW_BOTH(row_scale)

// ---------------------------------------------------------------- rows

// dot_piece is the dot product of two pieces.
template <int W>
TW_DEV float dot_piece(const Pack<W> &x, const Pack<W> &z) {
  float s = x.v[0] * z.v[0];
#pragma unroll
  for (int e = 1; e < W; e++) s += x.v[e] * z.v[e];
  return s;
}

// tw_row_dot_f32: v[r] (+)= s*<x_r,z_r>. bytes 8NC+4N, flops 2NC. order: lane by lane, then a butterfly.
template <int V>
TW_DEV void row_dot(const tw_element_args &a) {
  const float scale = static_cast<float>(a.s);
  warp_rows(a.x.rows, [&](int64_t r) {
    const float *x = row(a.x, r), *z = row(a.z, r);
    const int lane = threadIdx.x % 32;
    float s = 0;
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      s += dot_piece(load<W>(x + c), load<W>(z + c));
    });
    s = scale * warp_sum(s);
    if (lane == 0) put(a.v + r, Pack<1>{{s}}, a.accumulate);
  });
}
TW_BOTH(row_dot)

// tw_row_normalize_f32: v[r] = sqrt(|x_r|^2 + s), y_r = x_r/v[r]. bytes 8NC+4N, flops 3NC
// shared  8 rows of C floats where C <= kWarpColumns
template <int V>
TW_DEV void row_normalize(const tw_element_args &a) {
  warp_rows(a.x.rows, [&](int64_t r) {
    const Kept<32> x(row(a.x, r), a.x.cols);
    const int lane = threadIdx.x % 32;
    float s = 0;
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      const Pack<W> p = x.template first<W>(c);
      s += dot_piece(p, p);
    });
    const float norm = sqrtf(warp_sum(s) + static_cast<float>(a.s)), inverse = 1 / norm;
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      Pack<W> p = x.template again<W>(c);
#pragma unroll
      for (int e = 0; e < W; e++) p.v[e] *= inverse;
      store<W>(row(a.y, r) + c, p);
    });
    if (lane == 0) a.v[r] = norm;
  });
}
TW_BOTH(row_normalize)

// tw_row_normalize_jac_f32: y_r (+)= (x_r - z_r<z_r,x_r>)/v[r]; z the normalised rows, v their norms.
// bytes 12NC+4N, 16NC+4N added; flops 5NC. shared 16 rows of C floats where C <= kWarpColumns
template <int V>
TW_DEV void row_normalize_jac(const tw_element_args &a) {
  warp_rows(a.x.rows, [&](int64_t r) {
    const Kept<32> x(row(a.x, r), a.x.cols, 0, 2), z(row(a.z, r), a.x.cols, 1, 2);
    const int lane = threadIdx.x % 32;
    float s = 0;
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      s += dot_piece(x.template first<W>(c), z.template first<W>(c));
    });
    s = warp_sum(s);
    const float inverse = 1 / a.v[r];
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      Pack<W> p = x.template again<W>(c);
      const Pack<W> u = z.template again<W>(c);
#pragma unroll
      for (int e = 0; e < W; e++) p.v[e] = (p.v[e] - u.v[e] * s) * inverse;
      put(row(a.y, r) + c, p, a.accumulate);
    });
  });
}
TW_BOTH(row_normalize_jac)

// tw_dot_mat_f32: the parts of sum x*z in scratch, float64; tw_sum_f32 follows. bytes 8NC, flops 2NC
// order: parts of kSumRows rows; in a part warp by warp, lane by lane.
template <int V>
TW_DEV void dot_mat(const tw_element_args &a, void *scratch) {
  row_parts<32>(a.x.rows, scratch, [&](int64_t r, int lane) {
    double s = 0;
    along<V>(a.x.cols, lane, 32, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      const Pack<W> x = load<W>(row(a.x, r) + c), z = load<W>(row(a.z, r) + c);
#pragma unroll
      for (int e = 0; e < W; e++) s += static_cast<double>(x.v[e]) * z.v[e];
    });
    return s;
  });
}
TW_KERNEL(kThreads) tw_dot_mat_v4_f32(tw_element_args a, void *scratch) { dot_mat<4>(a, scratch); }
TW_KERNEL(kThreads) tw_dot_mat_v1_f32(tw_element_args a, void *scratch) { dot_mat<1>(a, scratch); }
