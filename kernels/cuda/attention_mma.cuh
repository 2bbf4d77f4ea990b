// Attention on tensor cores, in bfloat16 with sums in float32. Part of attention.cu.
//
// A block has 64 rows of a head, queries or keys, and goes over the others of their sequence, 32 columns at a time. A warp has 16 rows, whose fragments stay
// in registers. Columns travel as float32 by cp.async while those before are multiplied, each thread's pieces to a place of its own,
// and become bfloat16 on their way to where ldmatrix reads them.
#pragma once

enum : int {
  kMmaRows = 64,
  kMmaColumns = 32,
  kMmaStats = 2 * kMmaColumns, // floats: log-sum-exp and mean of every column
};

// log2e turns logarithms into those of base 2, whose exponential the card has.
TW_DEV float log2e() { return 1.44269504f; }

TW_DEV float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

TW_DEV uint32_t bf16_pair(float lo, float hi) {
  uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(hi), "f"(lo));
  return y;
}

TW_DEV void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <bool Transposed>
TW_DEV void ldmatrix(uint32_t (&r)[4], uint32_t from) {
  if constexpr (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
}

// Half is 32 rows of D channels in bfloat16, at an address of shared memory, and the float32 on their way there.
template <int D>
struct Half {
  enum : int { bytes = 2 * 32 * D, staged = 4 * 32 * D, across = D / 4, turns = 32 * across / kAttentionThreads };
  typedef uint32_t Rows[D / 16][4]; // 16 rows as fragments
  typedef float Sum[D / 8][4];      // results for them
  typedef float Pairs[4][4];        // 16 rows × 32 columns

  // at is where row r, channel c lies. Pieces of 8 channels are exchanged by the row's number, so that one piece of 8 rows touches
  // every bank once.
  TW_DEV uint32_t at(int r, int c) { return 2 * (r * D + (c / 8 ^ (D == 64 ? r % 8 : r / 2 % 4)) * 8 + c % 8); }

  // fetch starts copying d channels of the rows from i on that lie before end; the rest becomes 0.
  TW_DEV void fetch(uint32_t stage, const tw_attention_args &a, const tw_mat &m, int64_t i, int64_t end, int64_t h) {
    const int c = threadIdx.x % across * 4, count = c < a.q.cols / a.heads ? at_most(end - i, 32) : 0;
    const float *from = head(a, m, i, h) + c;
#pragma unroll 1
    for (int k = 0; k < turns; k++) {
      const int r = (k * kAttentionThreads + threadIdx.x) / across;
      copy_async<4>(stage + 16 * (k * kAttentionThreads + threadIdx.x), r < count ? from + r * m.ld : m.p, r < count ? 16 : 0);
    }
  }

  // convert puts what this thread fetched into a tile.
  TW_DEV void convert(uint32_t tile, uint32_t stage) {
#pragma unroll
    for (int k = 0; k < turns; k++) {
      const int piece = k * kAttentionThreads + threadIdx.x;
      float x[4];
      asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3]) : "r"(stage + 16 * piece) : "memory");
      asm volatile("st.shared.v2.b32 [%0], {%1,%2};" ::"r"(tile + at(piece / across, piece % across * 4)), "r"(bf16_pair(x[0], x[1])), "r"(bf16_pair(x[2], x[3])) : "memory");
    }
  }

  // rows reads the 16 rows from r on.
  TW_DEV void rows(Rows &x, uint32_t tile, int r) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < D / 16; k++) ldmatrix<false>(x[k], tile + at(r + lane % 16, 16 * k + lane / 16 * 8));
  }

  // products adds <x, u> to s, for the 32 columns of a tile.
  TW_DEV void products(Pairs &s, const Rows &x, uint32_t u) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        uint32_t b[4];
        ldmatrix<false>(b, u + at(8 * n + lane / 16 * 8 + lane % 8, 16 * k + lane / 8 % 2 * 8));
        mma_bf16(s[n], x[k], b[0], b[1]);
        mma_bf16(s[n + 1], x[k], b[2], b[3]);
      }
  }

  // accumulate adds the rows of a tile by weights, which lie in registers as the fragments of a product need them.
  TW_DEV void accumulate(Sum &s, const Pairs &w, uint32_t u) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      const uint32_t x[4] = {bf16_pair(w[n][0], w[n][1]), bf16_pair(w[n][2], w[n][3]), bf16_pair(w[n + 1][0], w[n + 1][1]), bf16_pair(w[n + 1][2], w[n + 1][3])};
#pragma unroll
      for (int c = 0; c < D / 8; c += 2) {
        uint32_t b[4];
        ldmatrix<true>(b, u + at(8 * n + lane % 16, 8 * c + lane / 16 * 8));
        mma_bf16(s[c], x, b[0], b[1]);
        mma_bf16(s[c + 1], x, b[2], b[3]);
      }
    }
  }

  // write stores results of the 16 rows from i on that lie before end, times a factor of each half.
  TW_DEV void write(const Sum &s, const tw_attention_args &a, const tw_mat &m, int64_t i, int64_t end, int64_t h, float low, float high) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++)
      if (const int64_t r = i + lane / 4 + 8 * half; r < end) {
        const float factor = half ? high : low;
        float *to = head(a, m, r, h) + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
          if (8 * n + lane % 4 * 2 < a.q.cols / a.heads) store(to + 8 * n, Pack<2>{{s[n][2 * half] * factor, s[n][2 * half + 1] * factor}});
      }
  }
};

// Mask says which of a lane's pairs dropout keeps: rows lane/4 + 8*half, columns 8n + lane%4*2 + e. Lanes that share a block of
// Philox share its making.
struct Mask {
  int row[2] = {0xffff, 0xffff}; // bit 4n + e

  // queries in the rows from i on, keys from j on in the columns; first is the first key of the sequence.
  __device__ void queries(const PairDropout &drop, int64_t i, int64_t j, int64_t first, int64_t h) {
    const int lane = threadIdx.x % 32, odd = lane % 2;
    int own = 0;
#pragma unroll
    for (int n = 0; n < 4; n++) own |= four(drop, drop.pairs(i + lane / 4 + 8 * odd, j - first + 8 * n + lane % 4 / 2 * 4, h)) << 4 * n;
    const int other = __shfl_xor_sync(0xffffffffu, own, 1);
    row[0] = (odd ? other : own) >> 2 * odd;
    row[1] = (odd ? own : other) >> 2 * odd;
  }

  // keys in the rows, queries in the columns.
  __device__ void keys(const PairDropout &drop, int64_t i, int64_t j, int64_t first, int64_t h) {
    const int lane = threadIdx.x % 32, mine = lane / 4 % 4;
    int own = 0;
#pragma unroll
    for (int k = 0; k < 4; k++) own |= four(drop, drop.pairs(j + 8 * mine + lane % 4 * 2 + k % 2, i - first + lane / 16 * 4 + k / 2 * 8, h)) << 4 * k;
    row[0] = row[1] = 0;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const int from = __shfl_sync(0xffffffffu, own, lane / 16 * 16 + 4 * n + lane % 4) >> mine;
#pragma unroll
      for (int k = 0; k < 4; k++) row[k / 2] |= (from >> 4 * k & 1) << (4 * n + k % 2);
    }
  }

  __device__ bool at(int half, int n, int e) const { return row[half] >> (4 * n + e) & 1; }

  static __device__ int four(const PairDropout &drop, const Philox &w) {
    int bits = 0;
#pragma unroll
    for (int k = 0; k < 4; k++) bits |= static_cast<int>(drop.keeps(w.word[k])) << k;
    return bits;
  }
};

// quad_reduce combines the values of the four lanes of a row.
template <class Op>
TW_DEV float quad_reduce(float v, Op op) {
  v = op(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return op(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

// columns calls f() for every 32 columns from lo on, with those of u and w in the two tiles; also calls also(j) when nobody reads
// the tiles.
template <int D, class Also, class F>
TW_DEV void columns(const tw_attention_args &a, const tw_mat &u, const tw_mat &w, int64_t lo, int64_t hi, int64_t h, uint32_t stage, uint32_t tile, Also also, F f) {
  typedef Half<D> H;
  auto fetch = [&](int64_t j) {
    H::fetch(stage, a, u, j, hi, h);
    H::fetch(stage + H::staged, a, w, j, hi, h);
    commit();
  };
  if (lo < hi) fetch(lo); // for keys that no query sees nobody would wait
#pragma unroll 1
  for (int64_t j = lo; j < hi; j += kMmaColumns) {
    wait<0>();
    __syncthreads(); // all are done with the columns before
    H::convert(tile, stage);
    H::convert(tile + H::bytes, stage + H::staged);
    also(j);
    if (j + kMmaColumns < hi) fetch(j + kMmaColumns);
    __syncthreads();
    f(j);
  }
}

// rows_of reads this warp's 16 of the 64 rows from i on that lie before end, through the two tiles.
template <int D>
TW_DEV void rows_of(typename Half<D>::Rows &x, const tw_attention_args &a, const tw_mat &m, int64_t i, int64_t end, int64_t h, uint32_t stage, uint32_t tile) {
  typedef Half<D> H;
  H::fetch(stage, a, m, i, end, h);
  H::fetch(stage + H::staged, a, m, i + 32, end, h);
  commit();
  wait<0>();
  __syncthreads(); // those who still read the last tiles
  H::convert(tile, stage);
  H::convert(tile + H::bytes, stage + H::staged);
  __syncthreads();
  H::rows(x, tile, threadIdx.x / 32 * 16);
}

template <int D>
TW_DEV void attention_mma(const tw_attention_args &a) {
  typedef Half<D> H;
  extern __shared__ float4 pool[];
  const uint32_t stage = shared_address(pool), tile = stage + 2 * H::staged;
  const PairDropout drop(a);
  const float scale = static_cast<float>(a.scale) * log2e();
  const int lane = threadIdx.x % 32;
  row_tiles<false>(a, kMmaRows, [&](int i, int end, int64_t s, int h) {
    const int lo = a.ptr[s], hi = a.ptr[s + 1];
    const int first = i + threadIdx.x / 32 * 16; // row of this warp
    typename H::Rows q;
    rows_of<D>(q, a, a.q, i, end, h, stage, tile);
    typename H::Sum out = {};
    float top[2] = {-infinity(), -infinity()}, sum[2] = {};
    columns<D>(a, a.k, a.v, lo, hi, h, stage, tile, [](int64_t) {}, [&](int64_t j) {
      if (first >= end) return;
      typename H::Pairs s = {};
      H::products(s, q, tile);
      Mask kept;
      if (drop.on) kept.queries(drop, first, j, lo, h);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float most = top[half];
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float &x = s[n][2 * half + e];
            x = j + 8 * n + lane % 4 * 2 + e < hi ? x * scale : -infinity();
            most = x > most ? x : most;
          }
        most = quad_reduce(most, Max{});
        const float shrink = exp2_fast(top[half] - most);
        top[half] = most;
        sum[half] *= shrink;
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float &x = s[n][2 * half + e];
            x = exp2_fast(x - most);
            sum[half] += x;
            if (!kept.at(half, n, e)) x = 0;
          }
#pragma unroll
        for (int n = 0; n < D / 8; n++) out[n][2 * half] *= shrink, out[n][2 * half + 1] *= shrink;
      }
      H::accumulate(out, s, tile + H::bytes);
    });
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      sum[half] = quad_reduce(sum[half], Add{});
      factor[half] = drop.scale / sum[half];
      if (const int64_t r = first + lane / 4 + 8 * half; r < end && lane % 4 == 0) row(a.lse, r)[h] = top[half] / log2e() + log_f(sum[half]);
    }
    H::write(out, a, a.out, first, end, h, factor[0], factor[1]);
  });
}

// attention_grad_mma is attention_grad.
template <int D, bool Keys>
TW_DEV void attention_grad_mma(const tw_attention_args &a, float *means) {
  typedef Half<D> H;
  extern __shared__ float4 pool[];
  const uint32_t stage = shared_address(pool), tile = stage + 2 * H::staged;
  float *stats = reinterpret_cast<float *>(pool) + (2 * H::staged + 2 * H::bytes) / 4;
  const tw_mat &xs = Keys ? a.k : a.q, &ys = Keys ? a.v : a.dout, &us = Keys ? a.q : a.k, &ws = Keys ? a.dout : a.v;
  const PairDropout drop(a);
  const float scale = static_cast<float>(a.scale);
  const int lane = threadIdx.x % 32;
  row_tiles<Keys>(a, kMmaRows, [&](int i, int end, int64_t s, int h) {
    const int32_t *others = Keys ? a.qptr : a.ptr;
    const int lo = others[s], hi = others[s + 1];
    const int first = i + threadIdx.x / 32 * 16;
    typename H::Rows x, y;
    rows_of<D>(x, a, xs, i, end, h, stage, tile);
    rows_of<D>(y, a, ys, i, end, h, stage, tile);
    typename H::Sum sum = {}, sum_v = {};
    float lse[2] = {}, mean[2] = {}; // of the queries in the rows
    if constexpr (!Keys) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int64_t r = first + lane / 4 + 8 * half;
        if (r < end) {
          for (int c = lane % 4 * 4; c < a.q.cols / a.heads; c += 16) {
            const Pack<4> o = load<4>(head(a, a.out, r, h) + c), g = load<4>(head(a, a.dout, r, h) + c);
#pragma unroll
            for (int e = 0; e < 4; e++) mean[half] += o.v[e] * g.v[e];
          }
          lse[half] = row(a.lse, r)[h] * log2e();
        }
        mean[half] = quad_reduce(mean[half], Add{});
        if (r < end && lane % 4 == 0) means[r * a.heads + h] = mean[half];
      }
    }
    // Of the queries in the columns; those that are not there have no probabilities.
    auto also = [&](int64_t j) {
      if (Keys && threadIdx.x < kMmaColumns) {
        const int64_t r = j + threadIdx.x;
        stats[threadIdx.x] = r < hi ? row(a.lse, r)[h] * log2e() : infinity();
        stats[kMmaColumns + threadIdx.x] = r < hi ? means[r * a.heads + h] : 0;
      }
    };
    columns<D>(a, us, ws, lo, hi, h, stage, tile, also, [&](int64_t j) {
      if (first >= end) return;
      typename H::Pairs p = {}, dp = {};
      H::products(p, x, tile);
      H::products(dp, y, tile + H::bytes);
      Mask kept;
      if (drop.on) {
        if constexpr (Keys)
          kept.keys(drop, first, j, a.ptr[s], h);
        else
          kept.queries(drop, first, j, lo, h);
      }
#pragma unroll
      for (int n = 0; n < 4; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const int c = 8 * n + lane % 4 * 2 + e;
          const bool there = Keys || j + c < hi;
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float &one = p[n][2 * half + e], &grad = dp[n][2 * half + e];
            const float factor = kept.at(half, n, e) ? drop.scale : 0;
            one = there ? exp2_fast(one * (scale * log2e()) - (Keys ? stats[c] : lse[half])) : 0;
            grad = one * (factor * grad - (Keys ? stats[kMmaColumns + c] : mean[half]));
            one *= factor;
          }
        }
      H::accumulate(sum, dp, tile);
      if constexpr (Keys) H::accumulate(sum_v, p, tile + H::bytes);
    });
    H::write(sum, a, Keys ? a.dk : a.dq, first, end, h, scale, scale);
    if constexpr (Keys) H::write(sum_v, a, a.dv, first, end, h, 1, 1);
  });
}
