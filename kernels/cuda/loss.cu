// Losses with their gradients for unit upstream gradient.
//
// Contract of every kernel here
//   shapes  x, dx (N,C) f32 row-major with leading dimensions of their own. v4 variants need all rows aligned to 16 bytes. Columns
//           beyond C are neither read nor written; dx is overwritten without being read.
//   loss    the parts of the loss are left in scratch as float64; tw_sum_f32 then adds them to *loss.
//   order   parts of kSumRows rows, a warp to a row (warp variants), or a block to a row (block variants); fixed by the shape.
//   launch  256 threads, any grid along x. shared: C floats, rounded up to whole float4, for each row that a block has in hand.
//   oracle  kernels/ref/loss.go
#include "mathf.cuh"

// softmax_row writes d = w*softmax(x) - w at the target and returns w*(logsumexp(x) - x[target]) to the thread of rank 0, 0 to the
// others. Column skip is left out (its gradient is 0); -1 skips none.
template <int Group, int V>
TW_DEV double softmax_row(const float *x, float *d, int64_t n, int64_t skip, int64_t target, float w, int rank) {
  const Kept<Group> kept(x, n);
  float top = -infinity(), sum = 0;
  along<V>(n, rank, Group, [&](auto width, int64_t c) {
    constexpr int W = decltype(width)::value;
    const Pack<W> p = kept.template first<W>(c);
#pragma unroll
    for (int e = 0; e < W; e++)
      if (c + e != skip) top = Max{}(p.v[e], top);
  });
  top = group_reduce<Group>(top, Max{});
  // The exponentials take the place of the row, or where that was not kept wait in the destination.
  float *place = kept.slot ? kept.slot : d;
  along<V>(n, rank, Group, [&](auto width, int64_t c) {
    constexpr int W = decltype(width)::value;
    Pack<W> p = kept.template again<W>(c);
#pragma unroll
    for (int e = 0; e < W; e++) {
      p.v[e] = c + e == skip ? 0 : exp_f(p.v[e] - top);
      sum += p.v[e];
    }
    store(place + c, p);
  });
  sum = group_reduce<Group>(sum, Add{});
  const float k = w / sum;
  along<V>(n, rank, Group, [&](auto width, int64_t c) {
    constexpr int W = decltype(width)::value;
    Pack<W> p = load<W>(place + c);
#pragma unroll
    for (int e = 0; e < W; e++) p.v[e] = c + e == target ? p.v[e] * k - w : p.v[e] * k;
    store(d + c, p);
  });
  return rank == 0 ? static_cast<double>(w) * (static_cast<double>(log_f(sum)) + top - x[target]) : 0;
}

// Both sizes of rows and both widths of a kernel.
#define TW_ROWS(name)                                                                                               \
  TW_KERNEL(kThreads, 4) tw_##name##_warp_v4_f32(tw_loss_args a, void *scratch) { name<32, 4>(a, scratch); }        \
  TW_KERNEL(kThreads, 4) tw_##name##_warp_v1_f32(tw_loss_args a, void *scratch) { name<32, 1>(a, scratch); }        \
  TW_KERNEL(kThreads, 4) tw_##name##_block_v4_f32(tw_loss_args a, void *scratch) { name<kThreads, 4>(a, scratch); } \
  TW_KERNEL(kThreads, 4) tw_##name##_block_v1_f32(tw_loss_args a, void *scratch) { name<kThreads, 1>(a, scratch); }

// tw_softmax_ce_f32: loss += scale * sum_r w[r]*(logsumexp(x_r) - x_r[target[r]]). target (N) i32, a negative one gives 0; w (N) or
// null. bytes 8NC+8N, flops 6NC
template <int Group, int V>
TW_DEV void softmax_ce(const tw_loss_args &a, void *scratch) {
  row_parts<Group>(a.x.rows, scratch, [&](int64_t r, int rank) {
    const int32_t target = a.target[r];
    if (target < 0) {
      along<V>(a.x.cols, rank, Group, [&](auto w, int64_t c) { store(row(a.dx, r) + c, Pack<decltype(w)::value>{}); });
      return 0.0;
    }
    const float w = static_cast<float>(a.w ? a.scale * a.w[r] : a.scale);
    return softmax_row<Group, V>(row(a.x, r), row(a.dx, r), a.x.cols, -1, target, w, rank);
  });
}
TW_ROWS(softmax_ce)

// tw_ntxent_f32: x (2B,2B); loss += scale * sum_r (logsumexp over c != r of x_rc - x_rp), p = (r+B) mod 2B. bytes 8NN, flops 6NN
// source Chen 2020
template <int Group, int V>
TW_DEV void ntxent(const tw_loss_args &a, void *scratch) {
  const int64_t n = a.x.rows;
  row_parts<Group>(n, scratch, [&](int64_t r, int rank) {
    const int64_t pair = r + n / 2 < n ? r + n / 2 : r - n / 2;
    return softmax_row<Group, V>(row(a.x, r), row(a.dx, r), n, r, pair, static_cast<float>(a.scale), rank);
  });
}
TW_ROWS(ntxent)

// tw_element_loss_f32: loss += scale * sum w*l(x,t), l the logistic loss or (x-t)^2. t, w (N*C) without padding; w may be null.
// Where w is 0, t is not looked at and dx is 0. bytes 16NC, flops 10NC
TW_KERNEL(kThreads) tw_element_loss_f32(tw_loss_args a, void *scratch) {
  const float scale = static_cast<float>(a.scale);
  row_parts<32>(a.x.rows, scratch, [&](int64_t r, int lane) {
    double total = 0;
    for (int64_t c = lane; c < a.x.cols; c += 32) {
      const int64_t i = r * a.x.cols + c;
      const float k = a.w ? scale * a.w[i] : scale;
      float d = 0;
      if (k != 0) {
        const float x = row(a.x, r)[c], t = a.t[i];
        if (a.mse) {
          d = 2 * k * (x - t);
          total += static_cast<double>(k) * (x - t) * (x - t);
        } else {
          // log(1+e^x) - x t = max(x,0) - x t + log(1+e^-|x|), which does not overflow.
          const float e = exp_f(-fabsf(x));
          d = k * ((x >= 0 ? 1 : e) / (1 + e) - t);
          total += static_cast<double>(k) * (static_cast<double>(x > 0 ? x : 0) - static_cast<double>(x) * t + log1p_f(e));
        }
      }
      row(a.dx, r)[c] = d;
    }
    return total;
  });
}

// tw_pair_distance_f32: loss += scale * sum_r sqrt(|x_r-b_r|^2 + eps); dx, db the gradients. bytes 16NC, flops 6NC
template <int V>
TW_DEV void pair_distance(const tw_loss_args &a, void *scratch) {
  row_parts<32>(a.x.rows, scratch, [&](int64_t r, int lane) {
    const Kept<32> kept(nullptr, a.x.cols);
    auto difference = [&](auto width, int64_t c) {
      constexpr int W = decltype(width)::value;
      Pack<W> x = load<W>(row(a.x, r) + c);
      const Pack<W> b = load<W>(row(a.b, r) + c);
#pragma unroll
      for (int e = 0; e < W; e++) x.v[e] -= b.v[e];
      return x;
    };
    float s = 0;
    along<V>(a.x.cols, lane, 32, [&](auto width, int64_t c) {
      const auto p = difference(width, c);
#pragma unroll
      for (float v : p.v) s += v * v;
      kept.keep(c, p);
    });
    const float distance = sqrtf(warp_sum(s) + static_cast<float>(a.eps)), k = static_cast<float>(a.scale) / distance;
    along<V>(a.x.cols, lane, 32, [&](auto width, int64_t c) {
      constexpr int W = decltype(width)::value;
      Pack<W> p = kept.slot ? kept.template again<W>(c) : difference(width, c), minus;
#pragma unroll
      for (int e = 0; e < W; e++) {
        p.v[e] *= k;
        minus.v[e] = -p.v[e];
      }
      store(row(a.dx, r) + c, p);
      store(row(a.db, r) + c, minus);
    });
    return lane == 0 ? a.scale * distance : 0;
  });
}
TW_KERNEL(kThreads) tw_pair_distance_v4_f32(tw_loss_args a, void *scratch) { pair_distance<4>(a, scratch); }
TW_KERNEL(kThreads) tw_pair_distance_v1_f32(tw_loss_args a, void *scratch) { pair_distance<1>(a, scratch); }
