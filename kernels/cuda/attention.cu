// Attention over packed sequences: tw_attention_args, see gpu.Attention.
//
// Contract of every kernel here
//   shapes  q, out, dout, dq, tq, tout (N,C), k, v, dk, dv, tk, tv (T,C) f32 with leading dimensions of their own, C = heads*d;
//           lse (N,heads); qptr, ptr (sequences+1): where the queries, and the keys, of a sequence begin. A sequence with queries has
//           keys. Columns beyond C are neither read nor written. Results are overwritten and not read.
//   kernels plain: any d, any alignment. d32, d64: d a multiple of 4 up to that, all rows aligned to 16 bytes. bf16: the same, with the
//           factors of all products rounded to bfloat16, 8 bits, on the way into shared memory, and probabilities and their gradients
//           before they weigh rows; sums, log-sum-exp and the mean are float32. Never for tangents.
//   memory  nothing of the size of a matrix of pairs: probabilities are made tile by tile, in the gradient and the tangent again from lse
//           (Dao 2022). The gradient is two sweeps: grad_q over tiles of queries, which leaves <dout,out> of every query and head in
//           scratch (N,heads), then grad_kv over tiles of keys. Every sum has one owner.
//   order   keys, or queries, ascending; fixed by the shapes. No atomics.
//   dropout element (i*heads+h)*65536 + j of the stream, j from the first key of the sequence: a block of Philox is four keys of a query.
//   launch  plain: 256 threads, a warp to a row of a head. d32, d64: 128 threads, a block to a tile of 32 rows of a head; bf16: of 64.
//           Any grid x. Offsets are 64-bit.
//   cost    forward bytes 4(2NC + 2TC + N heads), flops 4C a pair; gradient bytes 4(6NC + 6TC + 2N heads), flops 14C a pair, in one
//           sweep 4(4NC + 4TC + N heads) and 10C; tangent bytes 4(4NC + 4TC + N heads), flops 10C a pair. Keys and values of a sequence
//           come from L2 for all tiles but the first. Bound by arithmetic from sequences of some tens of rows on.
//   oracle  kernels/ref/attention.go
#include "mathf.cuh"
#include "philox.cuh"

// PairDropout says which probabilities are kept.
struct PairDropout : Dropout {
  const tw_attention_args &a;

  __device__ explicit PairDropout(const tw_attention_args &a) : Dropout(a.p, a.stream, a.step, a.seed), a(a) {}

  // pairs are the words of the four keys around the j-th of its sequence, for query i.
  __device__ Philox pairs(int64_t i, int64_t j, int64_t h) const { return words((static_cast<uint64_t>(i) * a.heads + h) * (65536 / 4) + j / 4); }

  // factor is what the probability of the j-th key is multiplied by.
  __device__ float factor(int64_t i, int64_t j, int64_t h) const { return !on || keeps(pairs(i, j, h).at(j % 4)) ? scale : 0; }
};

TW_DEV float *head(const tw_attention_args &a, const tw_mat &m, int64_t i, int64_t h) { return row(m, i) + h * (a.q.cols / a.heads); }

// ---------------------------------------------------------------- any head
//
// A warp has a row of one head, a query or a key, and goes over the others of its sequence 32 at a time, one to a lane.

// heads_of calls f(i, h, s) for every query, or, with Keys, every key, i and head h; s is its sequence.
template <bool Keys, class F>
TW_DEV void heads_of(const tw_attention_args &a, F f) {
  const int32_t *ptr = Keys ? a.ptr : a.qptr;
  warp_rows((Keys ? a.k.rows : a.q.rows) * a.heads, [&](int64_t w) {
    const int64_t i = w / a.heads;
    int64_t s = 0, end = a.sequences; // ptr[s] <= i < ptr[end]
    while (end - s > 1) {
      const int64_t middle = (s + end) / 2;
      (ptr[middle] <= i ? s : end) = middle;
    }
    f(i, w % a.heads, s);
  });
}

// product is <x_i, y_j> over the channels of a head, by one lane.
TW_DEV float product(const tw_attention_args &a, const tw_mat &x, int64_t i, const tw_mat &y, int64_t j, int64_t h) {
  const float *u = head(a, x, i, h), *v = head(a, y, j, h);
  float s = 0;
#pragma unroll 2
  for (int64_t c = 0; c < a.q.cols / a.heads; c++) s += u[c] * v[c];
  return s;
}

TW_DEV float probability(const tw_attention_args &a, int64_t i, int64_t j, int64_t h) {
  return exp_f(static_cast<float>(a.scale) * product(a, a.q, i, a.k, j, h) - row(a.lse, i)[h]);
}

// score_grad is the gradient of the score of a pair but for the scale; first is the first key of the sequence, mean is <dout_i, out_i>.
TW_DEV float score_grad(const tw_attention_args &a, const PairDropout &drop, int64_t i, int64_t j, int64_t h, int64_t first, float mean) {
  return probability(a, i, j, h) * (drop.factor(i, j - first, h) * product(a, a.dout, i, a.v, j, h) - mean);
}

// score_tangent is the tangent of the score of a pair.
TW_DEV float score_tangent(const tw_attention_args &a, int64_t i, int64_t j, int64_t h) {
  return static_cast<float>(a.scale) * (product(a, a.tq, i, a.k, j, h) + product(a, a.q, i, a.tk, j, h));
}

// weighted calls write(c, s) for every channel of a head with s = sum over rows j in [lo,hi) of weight(j)*x[j,c].
template <class F, class G>
TW_DEV void weighted(const tw_attention_args &a, const tw_mat &x, int64_t lo, int64_t hi, int64_t h, F weight, G write) {
  const int lane = threadIdx.x % 32;
  const int64_t d = a.q.cols / a.heads;
#pragma unroll 1
  for (int64_t c = lane; c < d + lane; c += 128) {
    float s[4] = {};
#pragma unroll 1
    for (int64_t j0 = lo; j0 < hi; j0 += 32) {
      const float w = j0 + lane < hi ? weight(j0 + lane) : 0;
      const int n = hi - j0 < 32 ? static_cast<int>(hi - j0) : 32;
      for (int k = 0; k < n; k++) {
        const float *from = head(a, x, j0 + k, h), one = __shfl_sync(0xffffffffu, w, k);
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (c + 32 * e < d) s[e] += one * from[c + 32 * e];
      }
    }
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (c + 32 * e < d) write(c + 32 * e, s[e]);
  }
}

TW_KERNEL(kThreads, 2) tw_attention_plain_f32(tw_attention_args a, void *) {
  const PairDropout drop(a);
  heads_of<false>(a, [&](int64_t i, int64_t h, int64_t s) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    float top = -infinity(), sum = 0;
    for (int64_t j = lo + threadIdx.x % 32; j < hi; j += 32) {
      const float s = static_cast<float>(a.scale) * product(a, a.q, i, a.k, j, h), now = s > top ? s : top;
      sum = sum * exp_f(top - now) + exp_f(s - now);
      top = now;
    }
    const float all = warp_reduce(top, Max{});
    const float lse = all + log_f(warp_sum(sum * exp_f(top - all)));
    if (threadIdx.x % 32 == 0) row(a.lse, i)[h] = lse;
    weighted(
        a, a.v, lo, hi, h,
        [&](int64_t j) { return exp_f(static_cast<float>(a.scale) * product(a, a.q, i, a.k, j, h) - lse) * drop.factor(i, j - lo, h); },
        [&](int64_t c, float s) { head(a, a.out, i, h)[c] = s; });
  });
}

TW_KERNEL(kThreads, 2) tw_attention_grad_q_plain_f32(tw_attention_args a, void *scratch) {
  const PairDropout drop(a);
  heads_of<false>(a, [&](int64_t i, int64_t h, int64_t s) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    const float mean = product(a, a.dout, i, a.out, i, h);
    if (threadIdx.x % 32 == 0) static_cast<float *>(scratch)[i * a.heads + h] = mean;
    weighted(
        a, a.k, lo, hi, h, [&](int64_t j) { return score_grad(a, drop, i, j, h, lo, mean); },
        [&](int64_t c, float s) { head(a, a.dq, i, h)[c] = static_cast<float>(a.scale) * s; });
  });
}

TW_KERNEL(kThreads, 2) tw_attention_grad_kv_plain_f32(tw_attention_args a, void *scratch) {
  const PairDropout drop(a);
  heads_of<true>(a, [&](int64_t j, int64_t h, int64_t s) {
    const int lo = a.qptr[s], hi = a.qptr[s + 1], first = a.ptr[s];
    weighted(
        a, a.q, lo, hi, h, [&](int64_t i) { return score_grad(a, drop, i, j, h, first, static_cast<float *>(scratch)[i * a.heads + h]); },
        [&](int64_t c, float s) { head(a, a.dk, j, h)[c] = static_cast<float>(a.scale) * s; });
    weighted(
        a, a.dout, lo, hi, h, [&](int64_t i) { return probability(a, i, j, h) * drop.factor(i, j - first, h); },
        [&](int64_t c, float s) { head(a, a.dv, j, h)[c] = s; });
  });
}

TW_KERNEL(kThreads, 2) tw_attention_tangent_plain_f32(tw_attention_args a, void *) {
  const PairDropout drop(a);
  heads_of<false>(a, [&](int64_t i, int64_t h, int64_t s) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    float mean = 0;
    for (int64_t j = lo + threadIdx.x % 32; j < hi; j += 32) mean += probability(a, i, j, h) * score_tangent(a, i, j, h);
    mean = warp_sum(mean);
    float *tout = head(a, a.tout, i, h);
    const float *out = head(a, a.out, i, h);
    weighted(
        a, a.v, lo, hi, h, [&](int64_t j) { return probability(a, i, j, h) * drop.factor(i, j - lo, h) * score_tangent(a, i, j, h); },
        [&](int64_t c, float s) { tout[c] = s - mean * out[c]; });
    weighted(
        a, a.tv, lo, hi, h, [&](int64_t j) { return probability(a, i, j, h) * drop.factor(i, j - lo, h); },
        [&](int64_t c, float s) { tout[c] += s; }); // a channel is the same lane's in both
  });
}

// ---------------------------------------------------------------- heads of up to 32 or 64 channels
//
// A block has 32 rows of a head, queries or keys, and goes over the others of their sequence, 32 columns at a time. A thread has the pairs of rows 2y, 2y+1
// and columns 4x..4x+3, and of the results of these rows channels 4x..4x+3 of every 32. A warp has 8 rows, so that weights pass from
// those who make them to those who use them within the warp.
enum : int {
  kAttentionThreads = 128,
  kPairs = 32,       // rows and columns of a tile
  kPairPitch = 36,   // floats of a row of weights in shared memory
};

TW_DEV int at_most(int64_t n, int most) { return n < most ? static_cast<int>(n) : most; }

TW_DEV int pair_x() { return threadIdx.x % 8; }
TW_DEV int pair_y() { return threadIdx.x / 8; }

// Side is 32 rows of D channels in shared memory: eight rows 4 floats wide touch every bank once. As columns, row j lies where the
// eight threads that read rows 4x+c of one c find neighbours.
template <int D>
struct Side {
  enum : int { pitch = D + 4, floats = kPairs * pitch };

  TW_DEV int column(int j) { return (j % 4 * 8 + j / 4) * pitch; }

  // fetch starts copying d channels of the rows from i on that lie before end; the rest becomes 0.
  template <bool Columns>
  TW_DEV void fetch(float *to, const tw_attention_args &a, const tw_mat &m, int64_t i, int64_t end, int64_t h) {
    enum : int { across = D / 4, step = kAttentionThreads / across };
    const int c = threadIdx.x % across * 4, r0 = threadIdx.x / across, count = c < a.q.cols / a.heads ? at_most(end - i, kPairs) : 0;
    const float *from = head(a, m, i, h) + c;
    const uint32_t there = shared_address(to + c);
    // Nothing is read where nothing is there, but the address still has to be one that could be. A loop, for registers.
#pragma unroll 1
    for (int r = r0; r < kPairs; r += step)
      copy_async<4>(there + 4 * (Columns ? column(r) : r * pitch), r < count ? from + r * m.ld : m.p, r < count ? 16 : 0);
  }

  // products adds <x, u> of this thread's pairs to s.
  TW_DEV void products(float (&s)[2][4], const float *x, const float *u) {
    x += 2 * pair_y() * pitch;
    u += pair_x() * pitch;
#pragma unroll 2
    for (int k = 0; k < D; k += 4) {
      const Pack<4> l[2] = {load<4>(x + k), load<4>(x + pitch + k)};
#pragma unroll
      for (int c = 0; c < 4; c++) {
        const Pack<4> m = load<4>(u + c * 8 * pitch + k);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
          for (int r = 0; r < 2; r++) s[r][c] += l[r].v[e] * m.v[e];
      }
    }
  }

  // Sum is this thread's part of 32 rows of results.
  typedef Pack<4> Sum[2][D / 32];

  // accumulate adds the rows of u, of which there are n, by the weights of a tile.
  TW_DEV void accumulate(Sum &s, const float *weights, const float *u, int n) {
    weights += 2 * pair_y() * kPairPitch;
    u += 4 * pair_x();
#pragma unroll 1
    for (int j = 0; j < n; j += 4) {
      const Pack<4> w[2] = {load<4>(weights + j), load<4>(weights + kPairPitch + j)};
#pragma unroll
      for (int e = 0; e < 4; e++)
#pragma unroll
        for (int k = 0; k < D / 32; k++) {
          const Pack<4> v = load<4>(u + column(e) + j / 4 * pitch + 32 * k);
#pragma unroll
          for (int r = 0; r < 2; r++)
#pragma unroll
            for (int f = 0; f < 4; f++) s[r][k].v[f] += w[r].v[e] * v.v[f];
        }
    }
  }

  // write calls f(r, c, s) for the pieces of results of rows before end.
  template <class F>
  TW_DEV void write(const Sum &s, const tw_attention_args &a, int64_t i, int64_t end, F f) {
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
      for (int k = 0; k < D / 32; k++)
        if (const int c = 4 * pair_x() + 32 * k; i + 2 * pair_y() + r < end && c < a.q.cols / a.heads) f(r, c, s[r][k]);
  }
};

// share puts this thread's weights where accumulate finds them.
TW_DEV void share(float *weights, const float (&w)[2][4]) {
  __syncwarp(); // those who still read the last ones
#pragma unroll
  for (int r = 0; r < 2; r++) store(weights + (2 * pair_y() + r) * kPairPitch + 4 * pair_x(), Pack<4>{{w[r][0], w[r][1], w[r][2], w[r][3]}});
  __syncwarp();
}

// pair_reduce combines the values of the eight threads of a row.
template <class Op>
TW_DEV float pair_reduce(float v, Op op) {
#pragma unroll
  for (int d = 4; d > 0; d /= 2) v = op(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// kept returns bit 4r+c for the pair of row i+2y+r and column j+4x+c, unless dropout takes it. Rows are queries, or, with Keys, keys;
// first is the first key.
template <bool Keys>
TW_DEV uint32_t kept(const PairDropout &drop, int64_t i, int64_t j, int64_t first, int64_t h) {
  uint32_t bits = 0xff;
  if (!drop.on) return bits;
  i += 2 * pair_y(), j += 4 * pair_x();
  if constexpr (Keys) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const Philox w = drop.pairs(j + c, i - first, h);
#pragma unroll
      for (int r = 0; r < 2; r++)
        if (!drop.keeps(w.at((i - first) % 4 + r))) bits &= ~(1u << (4 * r + c));
    }
  } else {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const Philox w = drop.pairs(i + r, j - first, h);
#pragma unroll
      for (int c = 0; c < 4; c++)
        if (!drop.keeps(w.word[c])) bits &= ~(1u << (4 * r + c));
    }
  }
  return bits;
}

// row_tiles calls f(i, end, s, h) for every size rows [i,end) or, at the end of a sequence s, fewer, and every head h. Rows are
// queries, or, with Keys, keys.
template <bool Keys, class F>
TW_DEV void row_tiles(const tw_attention_args &a, int size, F f) {
  const int32_t *ptr = Keys ? a.ptr : a.qptr;
  const int64_t across = ((Keys ? a.longest : a.longest_q) + size - 1) / size, all = a.sequences * across * a.heads;
#pragma unroll 1
  for (int64_t w = blockIdx.x; w < all; w += gridDim.x) {
    const int64_t s = w / a.heads / across, i = ptr[s] + w / a.heads % across * size;
    const int end = ptr[s + 1];
    if (i < end) f(i, end, s, w % a.heads);
  }
}

template <int D>
TW_DEV void attention(const tw_attention_args &a) {
  typedef Side<D> S;
  extern __shared__ float4 pool[];
  float *q = reinterpret_cast<float *>(pool), *k = q + S::floats, *v = k + S::floats, *weights = v + S::floats;
  const PairDropout drop(a);
  const float scale = static_cast<float>(a.scale);
  row_tiles<false>(a, kPairs, [&](int i, int end, int64_t s, int h) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    const bool mine = i + threadIdx.x / 32 * 8 < end; // has this warp any row?
    float top[2] = {-infinity(), -infinity()}, sum[2] = {};
    typename S::Sum out = {};
    __syncthreads(); // those who still read the last tiles
    S::template fetch<false>(q, a, a.q, i, end, h);
    S::template fetch<true>(k, a, a.k, lo, hi, h);
    commit();
    S::template fetch<true>(v, a, a.v, lo, hi, h);
    commit();
#pragma unroll 1
    for (int64_t j = lo; j < hi; j += kPairs) {
      wait<1>();
      __syncthreads(); // keys are there, values may be under way
      if (mine) {
        float s[2][4] = {};
        S::products(s, q, k);
        const uint32_t bits = kept<false>(drop, i, j, lo, h);
#pragma unroll
        for (int r = 0; r < 2; r++) {
          float most = top[r];
#pragma unroll
          for (int c = 0; c < 4; c++) {
            s[r][c] = j + 4 * pair_x() + c < hi ? s[r][c] * scale : -infinity();
            most = s[r][c] > most ? s[r][c] : most;
          }
          most = pair_reduce(most, Max{});
          const float shrink = exp_f(top[r] - most);
          top[r] = most;
          sum[r] *= shrink;
#pragma unroll
          for (int c = 0; c < 4; c++) {
            const float p = exp_f(s[r][c] - most);
            sum[r] += p;
            s[r][c] = bits >> (4 * r + c) & 1 ? p : 0;
          }
#pragma unroll
          for (int n = 0; n < D / 32; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) out[r][n].v[e] *= shrink;
        }
        share(weights, s);
      }
      wait<0>();
      __syncthreads(); // values are there, keys are done with
      if (j + kPairs < hi) S::template fetch<true>(k, a, a.k, j + kPairs, hi, h);
      commit();
      if (mine) S::accumulate(out, weights, v, at_most(hi - j, kPairs));
      __syncthreads();
      if (j + kPairs < hi) S::template fetch<true>(v, a, a.v, j + kPairs, hi, h);
      commit();
    }
    i += 2 * pair_y();
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      sum[r] = pair_reduce(sum[r], Add{});
      factor[r] = drop.scale / sum[r];
      if (pair_x() == 0 && i + r < end) row(a.lse, i + r)[h] = top[r] + log_f(sum[r]);
    }
    S::write(out, a, i - 2 * pair_y(), end, [&](int r, int c, Pack<4> y) {
#pragma unroll
      for (int e = 0; e < 4; e++) y.v[e] *= factor[r];
      store_whole(head(a, a.out, i + r, h) + c, y);
    });
  });
}

// attention_grad has queries in its rows and writes dq, or, with Keys, keys and dk and dv: x and y are the rows of the two products
// that make a tile, of scores and of their gradients, u and w its columns.
template <int D, bool Keys>
TW_DEV void attention_grad(const tw_attention_args &a, float *means) {
  typedef Side<D> S;
  extern __shared__ float4 pool[];
  float *x = reinterpret_cast<float *>(pool), *y = x + S::floats, *u = y + S::floats, *w = u + S::floats, *weights = w + S::floats;
  const tw_mat &xs = Keys ? a.k : a.q, &ys = Keys ? a.v : a.dout, &us = Keys ? a.q : a.k, &ws = Keys ? a.dout : a.v;
  const PairDropout drop(a);
  const float scale = static_cast<float>(a.scale);
  row_tiles<Keys>(a, kPairs, [&](int i, int end, int64_t s, int h) {
    const int32_t *others = Keys ? a.qptr : a.ptr;
    const int lo = others[s], hi = others[s + 1];
    const bool mine = i + threadIdx.x / 32 * 8 < end;
    const int64_t first = i + 2 * pair_y();
    typename S::Sum sum = {}, sum_v = {};
    float lse[2], mean[2]; // of the queries in the rows
    __syncthreads();       // those who still read the last tiles
    if (lo < hi) { // for keys that no query sees nobody would wait
      S::template fetch<false>(x, a, xs, i, end, h);
      S::template fetch<false>(y, a, ys, i, end, h);
    }
#pragma unroll 1
    for (int64_t j = lo; j < hi; j += kPairs) {
      S::template fetch<true>(u, a, us, j, hi, h);
      S::template fetch<true>(w, a, ws, j, hi, h);
      commit();
      wait<0>();
      __syncthreads();
      if (!Keys && mine && j == lo) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const bool there = first + r < end;
          mean[r] = 0;
          for (int c = 4 * pair_x(); c < a.q.cols / a.heads && there; c += 32) {
            const Pack<4> o = load<4>(head(a, a.out, first + r, h) + c), g = load<4>(y + (2 * pair_y() + r) * S::pitch + c);
#pragma unroll
            for (int e = 0; e < 4; e++) mean[r] += o.v[e] * g.v[e];
          }
          mean[r] = pair_reduce(mean[r], Add{});
          lse[r] = there ? row(a.lse, first + r)[h] : 0;
          if (there && pair_x() == 0) means[(first + r) * a.heads + h] = mean[r];
        }
      }
      if (mine) {
        float p[2][4] = {}, dp[2][4] = {};
        S::products(p, x, u);
        S::products(dp, y, w);
        const uint32_t bits = kept<Keys>(drop, i, j, a.ptr[s], h);
#pragma unroll
        for (int c = 0; c < 4; c++) {
          const int64_t column = j + 4 * pair_x() + c;
          const bool there = column < hi;
          const float lse_c = Keys && there ? row(a.lse, column)[h] : 0, mean_c = Keys && there ? means[column * a.heads + h] : 0;
#pragma unroll
          for (int r = 0; r < 2; r++) {
            const float one = there ? exp_f(p[r][c] * scale - (Keys ? lse_c : lse[r])) : 0, factor = bits >> (4 * r + c) & 1 ? drop.scale : 0;
            p[r][c] = one * factor;
            dp[r][c] = one * (factor * dp[r][c] - (Keys ? mean_c : mean[r]));
          }
        }
        const int n = at_most(hi - j, kPairs);
        share(weights, dp);
        S::accumulate(sum, weights, u, n);
        if constexpr (Keys) {
          share(weights, p);
          S::accumulate(sum_v, weights, w, n);
        }
      }
      __syncthreads(); // all are done with these columns
    }
    S::write(sum, a, i, end, [&](int r, int c, Pack<4> s) {
#pragma unroll
      for (int e = 0; e < 4; e++) s.v[e] *= scale;
      store_whole(head(a, Keys ? a.dk : a.dq, first + r, h) + c, s);
    });
    if constexpr (Keys) S::write(sum_v, a, i, end, [&](int r, int c, Pack<4> s) { store_whole(head(a, a.dv, first + r, h) + c, s); });
  });
}

template <int D>
TW_DEV void attention_tangent(const tw_attention_args &a) {
  typedef Side<D> S;
  extern __shared__ float4 pool[];
  float *q = reinterpret_cast<float *>(pool), *tq = q + S::floats, *u = tq + S::floats, *w = u + S::floats, *weights = w + S::floats;
  const PairDropout drop(a);
  const float scale = static_cast<float>(a.scale);
  row_tiles<false>(a, kPairs, [&](int i, int end, int64_t s, int h) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    const bool mine = i + threadIdx.x / 32 * 8 < end;
    const int64_t first = i + 2 * pair_y();
    typename S::Sum sum = {};
    float lse[2], mean[2] = {};
#pragma unroll
    for (int r = 0; r < 2; r++) lse[r] = first + r < end ? row(a.lse, first + r)[h] : 0;
    __syncthreads(); // those who still read the last tiles
    S::template fetch<false>(q, a, a.q, i, end, h);
    S::template fetch<false>(tq, a, a.tq, i, end, h);
#pragma unroll 1
    for (int64_t j = lo; j < hi; j += kPairs) {
      S::template fetch<true>(u, a, a.k, j, hi, h);
      S::template fetch<true>(w, a, a.tk, j, hi, h);
      commit();
      wait<0>();
      __syncthreads();
      float p[2][4] = {}, t[2][4] = {};
      if (mine) {
        S::products(p, q, u);
        S::products(t, tq, u);
        S::products(t, q, w);
        const uint32_t bits = kept<false>(drop, i, j, lo, h);
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
          for (int c = 0; c < 4; c++) {
            const float one = j + 4 * pair_x() + c < hi ? exp_f(p[r][c] * scale - lse[r]) : 0, factor = bits >> (4 * r + c) & 1 ? drop.scale : 0;
            t[r][c] *= scale * one;
            mean[r] += t[r][c];
            t[r][c] *= factor;
            p[r][c] = one * factor;
          }
      }
      __syncthreads(); // keys are done with
      S::template fetch<true>(u, a, a.v, j, hi, h);
      S::template fetch<true>(w, a, a.tv, j, hi, h);
      commit();
      wait<0>();
      __syncthreads();
      if (mine) {
        const int n = at_most(hi - j, kPairs);
        share(weights, t);
        S::accumulate(sum, weights, u, n);
        share(weights, p);
        S::accumulate(sum, weights, w, n);
      }
      __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) mean[r] = pair_reduce(mean[r], Add{});
    S::write(sum, a, i, end, [&](int r, int c, Pack<4> s) {
      const Pack<4> y = load<4>(head(a, a.out, first + r, h) + c);
#pragma unroll
      for (int e = 0; e < 4; e++) s.v[e] -= mean[r] * y.v[e];
      store_whole(head(a, a.tout, first + r, h) + c, s);
    });
  });
}

#include "attention_mma.cuh"

#define TW_HEADS(d)                                                                                             \
  TW_KERNEL(kAttentionThreads, 4) tw_attention_d##d##_f32(tw_attention_args a, void *) { attention<d>(a); } \
  TW_KERNEL(kAttentionThreads, 4) tw_attention_grad_q_d##d##_f32(tw_attention_args a, void *means) {        \
    attention_grad<d, false>(a, static_cast<float *>(means));                                                    \
  }                                                                                                              \
  TW_KERNEL(kAttentionThreads, 4) tw_attention_grad_kv_d##d##_f32(tw_attention_args a, void *means) {       \
    attention_grad<d, true>(a, static_cast<float *>(means));                                                     \
  }                                                                                                              \
  TW_KERNEL(kAttentionThreads, 4) tw_attention_tangent_d##d##_f32(tw_attention_args a, void *) { attention_tangent<d>(a); }
TW_HEADS(32)
TW_HEADS(64)

#define TW_HEADS_MMA(d, q, kv)                                                                                       \
  TW_KERNEL(kAttentionThreads, 4) tw_attention_bf16_d##d##_f32(tw_attention_args a, void *) { attention_mma<d>(a); } \
  TW_KERNEL(kAttentionThreads, q) tw_attention_grad_q_bf16_d##d##_f32(tw_attention_args a, void *means) {            \
    attention_grad_mma<d, false>(a, static_cast<float *>(means));                                                    \
  }                                                                                                                  \
  TW_KERNEL(kAttentionThreads, kv) tw_attention_grad_kv_bf16_d##d##_f32(tw_attention_args a, void *means) {          \
    attention_grad_mma<d, true>(a, static_cast<float *>(means));                                                     \
  }
TW_HEADS_MMA(32, 3, 3)
TW_HEADS_MMA(64, 3, 2)
