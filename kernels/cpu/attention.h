// Attention over packed sequences. Part of kernels.h.
//
// The unit of work is a tile: the scores of at most kQueries queries and kKeys keys of one head, in scratch memory of the thread.
// A sentence is one tile as a rule; longer sequences go over tiles of keys with a running maximum (Dao 2022), so that memory does
// not depend on the length. Tiles are too small for a library's products.

constexpr int64_t kQueries = 64, kKeys = 128;

// transpose writes s*x (n,d) as (d,padded(n)) with zeros behind the n.
inline void transpose(int64_t n, int64_t d, float s, const float *x, int64_t ldx, float *y) {
  for (int64_t i = 0; i < n; i += TW_LANES) turned(std::min<int64_t>(n - i, TW_LANES), d, x + i * ldx, ldx, y + i, padded(n), s);
}

// scale_row is x (d) *= s.
inline void scale_row(int64_t d, float s, float *x) {
  int64_t c = 0;
  for (; c + TW_LANES <= d; c += TW_LANES) store(x + c, load<vec>(x + c) * s);
  for (; c < d; c++) x[c] *= s;
}

// attention_work is one head of the queries [i0,i1) over the keys [lo,hi) of their sequence.
struct attention_work {
  int64_t lo, hi, i0, i1, h;
};

// attention_scratch is what a thread computes on.
struct attention_scratch {
  float *turned[2];  // (d,kKeys) keys or values
  float *tile[2];    // (kQueries,kKeys)
  uint32_t *words;   // (kQueries,kKeys) random ones
  float *row[2];     // per query
  uint64_t block[kQueries * kKeys / 4];
};

// attend runs body(work, scratch) over all heads, sequences and blocks of so many queries, in parallel; sequences of most pairs first,
// or the threads would wait for one at the end. No result is the sum of two pieces of work.
template <class F>
inline void attend(const tw_attention_args *a, int64_t queries, F body) {
  struct item {
    int64_t lo, hi, i0, i1, h0, h1;
  };
  const auto pairs_of = [&](int64_t s) { return int64_t{a->qptr[s + 1] - a->qptr[s]} * (a->ptr[s + 1] - a->ptr[s]); };
  std::vector<int64_t> order(a->sequences);
  for (int64_t s = 0; s < a->sequences; s++) order[s] = s;
  std::stable_sort(order.begin(), order.end(), [&](int64_t s, int64_t t) { return pairs_of(s) > pairs_of(t); });
  std::vector<item> items;
  int64_t cost = 0, rows = kQueries;
  for (int64_t s : order) {
    const int64_t lo = a->ptr[s], hi = a->ptr[s + 1], end = a->qptr[s + 1];
    for (int64_t i0 = a->qptr[s]; i0 < end; i0 += queries) {
      const int64_t i1 = std::min(end, i0 + queries), pairs = (i1 - i0) * (hi - lo), heads = std::max<int64_t>(1, 4096 / pairs);
      cost += pairs * a->q.cols / 4;
      rows = std::max(rows, padded(i1 - i0));
      for (int64_t h = 0; h < a->heads; h += heads) items.push_back({lo, hi, i0, i1, h, std::min(a->heads, h + heads)});
    }
  }
  const int64_t d = a->q.cols / a->heads, count = static_cast<int64_t>(items.size());
  each(count, 1, cost, [&](int64_t n, int64_t) {
    static thread_local std::vector<float> memory;
    static thread_local attention_scratch s;
    const int64_t turned = padded(d) * kKeys, tile = kQueries * kKeys;
    memory.resize(std::max<size_t>(memory.size(), 2 * turned + 3 * tile + 2 * rows + 16));
    float *at = aligned(memory.data());
    for (int i = 0; i < 2; i++) {
      s.turned[i] = at + i * turned;
      s.tile[i] = at + 2 * turned + i * tile;
      s.row[i] = at + 2 * turned + 3 * tile + i * rows;
    }
    s.words = reinterpret_cast<uint32_t *>(at + 2 * turned + 2 * tile);
    const item &t = items[n];
    for (int64_t h = t.h0; h < t.h1; h++) body(attention_work{t.lo, t.hi, t.i0, t.i1, h}, s);
  });
}

// head is the rows from i on of head h.
inline float *head(const tw_attention_args *a, const tw_mat &m, int64_t i, int64_t h) { return row(m, i) + h * (a->q.cols / a->heads); }

// dropout of a tile: which of the probabilities are kept.
struct attention_dropout {
  bool on;
  int32_t least;  // of the upper 24 bits of the word of an element that is kept
  float scale;    // of what is kept
  const uint32_t *words = nullptr;
  int64_t stride = 0;

  explicit attention_dropout(const tw_attention_args *a)
      : on(a->p > 0), least(static_cast<int32_t>(std::ceil(a->p * (1 << 24)))), scale(static_cast<float>(1 / (1 - a->p))) {}

  // draw makes the words of queries [i0,i1) and the n keys from the j0-th of their sequence on; j0 is a multiple of 4.
  void draw(const tw_attention_args *a, int64_t i0, int64_t i1, int64_t j0, int64_t n, int64_t h, attention_scratch &s) {
    if (!on) return;
    const int64_t across = chunks(n, 4);
    for (int64_t i = i0; i < i1; i++) {
      const uint64_t from = static_cast<uint64_t>(i * a->heads + h) * (65536 / 4) + j0 / 4;
      for (int64_t b = 0; b < across; b++) s.block[(i - i0) * across + b] = from + b;
    }
    random_words((i1 - i0) * across, s.block, a->seed, a->step, a->stream, s.words);
    words = s.words;
    stride = 4 * across;
  }

  // keep is x where the element of row r from column j on is kept, else 0.
  vec keep(vec x, int64_t r, int64_t j) const {
    return (ivec)(load<uvec>(words + r * stride + j) >> 8) >= least ? x : vec{};
  }
};

void attention(const tw_attention_args *a) {
  const int64_t d = a->q.cols / a->heads;
  const float scale = static_cast<float>(a->scale);
  attend(a, kQueries, [&](const attention_work &w, attention_scratch &s) {
    const int64_t nq = w.i1 - w.i0;
    attention_dropout drop(a);
    float *out = head(a, a->out, w.i0, w.h), *top = s.row[0], *sum = s.row[1];
    for (int64_t r = 0; r < nq; r++) top[r] = -INFINITY, sum[r] = 0;
    for (int64_t j0 = w.lo; j0 < w.hi; j0 += kKeys) {
      const int64_t nk = std::min(kKeys, w.hi - j0), ld = padded(nk), tail = nk - ld + TW_LANES;
      transpose(nk, d, scale, head(a, a->k, j0, w.h), a->k.ld, s.turned[0]);
      small_product<false>(nq, ld, d, head(a, a->q, w.i0, w.h), a->q.ld, s.turned[0], ld, s.tile[0], ld, false);
      drop.draw(a, w.i0, w.i1, j0 - w.lo, nk, w.h, s);
      for (int64_t r = 0; r < nq; r++) {
        float *x = s.tile[0] + r * ld;
        // Behind the last key there are zeros.
        store(x + ld - TW_LANES, kLane < static_cast<int32_t>(tail) ? load<vec>(x + ld - TW_LANES) : vec{} - INFINITY);
        vec most = load<vec>(x);
        for (int64_t j = TW_LANES; j < ld; j += TW_LANES) most = larger(most, load<vec>(x + j));
        const float before = top[r], now = std::max(before, largest(most));
        vec all = {};
        for (int64_t j = 0; j < ld; j += TW_LANES) {
          const vec p = fast_exp(load<vec>(x + j) - now);
          all += p;
          store(x + j, drop.on ? drop.keep(p, r, j) : p);
        }
        top[r] = now;
        if (j0 == w.lo) {
          sum[r] = total(all);
        } else {
          const float shrink = std::exp(before - now);
          sum[r] = sum[r] * shrink + total(all);
          scale_row(d, shrink, out + r * a->out.ld);
        }
      }
      small_product<false>(nq, d, nk, s.tile[0], ld, head(a, a->v, j0, w.h), a->v.ld, out, a->out.ld, j0 > w.lo);
    }
    for (int64_t r = 0; r < nq; r++) {
      scale_row(d, drop.scale / sum[r], out + r * a->out.ld);
      row(a->lse, w.i0 + r)[w.h] = top[r] + std::log(sum[r]);
    }
  });
}

// The gradient goes over all tiles of a head at once: every sum over the rows of a sequence has one owner. Keys that no query sees are
// in none.
void attention_grad(const tw_attention_args *a) {
  const int64_t d = a->q.cols / a->heads;
  const float scale = static_cast<float>(a->scale);
  for (int64_t s = 0; s < a->sequences; s++)
    for (int64_t j = a->ptr[s]; j < a->ptr[s + 1] && a->qptr[s] == a->qptr[s + 1]; j++)
      for (const tw_mat *m : {&a->dk, &a->dv}) std::fill_n(row(*m, j), m->cols, 0.f);
  attend(a, INT64_MAX / 2, [&](const attention_work &w, attention_scratch &s) {
    attention_dropout drop(a);
    float *mean = s.row[0];
    for (int64_t i = w.i0; i < w.i1; i++) mean[i - w.i0] = dot(head(a, a->dout, i, w.h), head(a, a->out, i, w.h), d);
    for (int64_t j0 = w.lo; j0 < w.hi; j0 += kKeys) {
      const int64_t nk = std::min(kKeys, w.hi - j0), ld = padded(nk);
      transpose(nk, d, scale, head(a, a->k, j0, w.h), a->k.ld, s.turned[0]);
      transpose(nk, d, 1, head(a, a->v, j0, w.h), a->v.ld, s.turned[1]);
      for (int64_t i0 = w.i0; i0 < w.i1; i0 += kQueries) {
        const int64_t nq = std::min(kQueries, w.i1 - i0);
        const float *q = head(a, a->q, i0, w.h), *g = head(a, a->dout, i0, w.h);
        float *p = s.tile[0], *dp = s.tile[1];
        small_product<false>(nq, ld, d, q, a->q.ld, s.turned[0], ld, p, ld, false);
        small_product<false>(nq, ld, d, g, a->dout.ld, s.turned[1], ld, dp, ld, false);
        drop.draw(a, i0, i0 + nq, j0 - w.lo, nk, w.h, s);
        for (int64_t r = 0; r < nq; r++) {
          const float lse = row(a->lse, i0 + r)[w.h], m = mean[i0 - w.i0 + r];
          for (int64_t j = r * ld; j < (r + 1) * ld; j += TW_LANES) {
            const vec y = fast_exp(load<vec>(p + j) - lse);
            vec kept = y, x = load<vec>(dp + j);
            if (drop.on) {
              kept = drop.keep(y * drop.scale, r, j - r * ld);
              x = drop.keep(x * drop.scale, r, j - r * ld);
            }
            store(p + j, kept);
            store(dp + j, y * scale * (x - m));
          }
        }
        small_product<true>(nk, d, nq, p, ld, g, a->dout.ld, head(a, a->dv, j0, w.h), a->dv.ld, i0 > w.i0);
        small_product<true>(nk, d, nq, dp, ld, q, a->q.ld, head(a, a->dk, j0, w.h), a->dk.ld, i0 > w.i0);
        small_product<false>(nq, d, nk, dp, ld, head(a, a->k, j0, w.h), a->k.ld, head(a, a->dq, i0, w.h), a->dq.ld, j0 > w.lo);
      }
    }
  });
}

void attention_tangent(const tw_attention_args *a) {
  const int64_t d = a->q.cols / a->heads;
  const float scale = static_cast<float>(a->scale);
  attend(a, kQueries, [&](const attention_work &w, attention_scratch &s) {
    const int64_t nq = w.i1 - w.i0;
    attention_dropout drop(a);
    float *out = head(a, a->tout, w.i0, w.h), *mean = s.row[0];
    for (int64_t r = 0; r < nq; r++) mean[r] = 0;
    for (int64_t j0 = w.lo; j0 < w.hi; j0 += kKeys) {
      const int64_t nk = std::min(kKeys, w.hi - j0), ld = padded(nk), tail = nk - ld + TW_LANES;
      float *p = s.tile[0], *t = s.tile[1];
      transpose(nk, d, scale, head(a, a->k, j0, w.h), a->k.ld, s.turned[0]);
      transpose(nk, d, scale, head(a, a->tk, j0, w.h), a->tk.ld, s.turned[1]);
      small_product<false>(nq, ld, d, head(a, a->q, w.i0, w.h), a->q.ld, s.turned[0], ld, p, ld, false);
      small_product<false>(nq, ld, d, head(a, a->tq, w.i0, w.h), a->tq.ld, s.turned[0], ld, t, ld, false);
      small_product<false>(nq, ld, d, head(a, a->q, w.i0, w.h), a->q.ld, s.turned[1], ld, t, ld, true);
      drop.draw(a, w.i0, w.i1, j0 - w.lo, nk, w.h, s);
      for (int64_t r = 0; r < nq; r++) {
        const float lse = row(a->lse, w.i0 + r)[w.h];
        vec all = {};
        for (int64_t j = 0; j < ld; j += TW_LANES) {
          vec y = fast_exp(load<vec>(p + r * ld + j) - lse);
          if (j == ld - TW_LANES) y = kLane < static_cast<int32_t>(tail) ? y : vec{};
          vec x = y * load<vec>(t + r * ld + j);
          all += x;
          if (drop.on) {
            y = drop.keep(y, r, j);
            x = drop.keep(x, r, j);
          }
          store(p + r * ld + j, y);
          store(t + r * ld + j, x);
        }
        mean[r] += total(all);
      }
      small_product<false>(nq, d, nk, t, ld, head(a, a->v, j0, w.h), a->v.ld, out, a->tout.ld, j0 > w.lo);
      small_product<false>(nq, d, nk, p, ld, head(a, a->tv, j0, w.h), a->tv.ld, out, a->tout.ld, true);
    }
    for (int64_t r = 0; r < nq; r++) {
      const float *y = head(a, a->out, w.i0 + r, w.h);
      float *t = out + r * a->tout.ld;
      for (int64_t c = 0; c < d; c++) t[c] = t[c] * drop.scale - mean[r] * y[c];
    }
  });
}
