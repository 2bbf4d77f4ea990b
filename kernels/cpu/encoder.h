// Operations of transformer encoders. Part of kernels.h.

constexpr int64_t kTokens = 32;  // rows of a chunk

// sum_chunks runs body(lo, hi, acc) over chunks of rows, each with width partial sums acc of its own, and adds these to out in
// order.
template <class F>
inline void sum_chunks(int64_t rows, int64_t width, int64_t cost, double *out, F body) {
  float *partial = scratch<float>(chunks(rows, kTokens) * width);
  each(rows, kTokens, cost, [&](int64_t lo, int64_t hi) { body(lo, hi, partial + lo / kTokens * width); });
  for (int64_t j = 0; j < width; j++) out[j] = 0;
  for (int64_t p = 0; p < chunks(rows, kTokens); p++)
    for (int64_t j = 0; j < width; j++) out[j] += partial[p * width + j];
}

inline void add_to(float *dst, const double *sum, int64_t n) {
  if (dst)
    for (int64_t j = 0; j < n; j++) dst[j] += static_cast<float>(sum[j]);
}

// ---------------------------------------------------------------- GELU

// The normal distribution by its Mills ratio: Phi(-a) = exp(-a^2/2) p(t), t = 1/(1+0.34 a), for a >= 0. The polynomial is a minimax
// fit of the absolute error of a Phi(-a): 2e-8. The same exponential gives the density.
struct gelu_exact {
  static inline void both(float x, float *y, float *slope) {
    // std::fabs is not inlined under other optimisation options, and a call keeps the loop from being vectorised.
    const float a = __builtin_fabsf(x), e = fast_exp(-0.5f * x * x), t = 1 / (1 + 0.34f * a);
    float p = 0.04377686232328415f;
    p = p * t - 0.19606119394302368f;
    p = p * t + 0.25638121366500854f;
    p = p * t - 0.023894760757684708f;
    p = p * t + 0.15331904590129852f;
    p = p * t + 0.13052600622177124f;
    p = p * t + 0.13595281541347504f;
    const float tail = e * (p * t), phi = x > 0 ? 1 - tail : tail;
    *y = x * phi;
    *slope = phi + x * (e * 0.39894228040143268f);
  }
};

// 0.5(1+tanh(u)) is the logistic function of 2u.
struct gelu_tanh {
  static inline void both(float x, float *y, float *slope) {
    constexpr float k = 0.79788456080286536f, c = 0.044715f;
    const float e = fast_exp(-2 * k * (x + c * x * x * x)), s = 1 / (1 + e);
    *y = x * s;
    *slope = s + 2 * x * s * (e * s) * k * (1 + 3 * c * x * x);
  }
};

// zeros returns v, or n zeros where it is absent.
inline const float *zeros(const float *v, int64_t n, std::vector<float> *memory) {
  if (v) return v;
  memory->resize(n);
  return memory->data();
}

template <class Form>
inline void gelu_of(const tw_gelu_args *a) {
  const int64_t n = a->x.cols;
  std::vector<float> none;
  const float *bias = zeros(a->bias, n, &none);
  each(a->x.rows, kTokens, a->x.rows * n * 8, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r);
      float *y = row(a->y, r);
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        float v, slope;
        Form::both(x[j] + bias[j], &v, &slope);
        y[j] = v;
      }
    }
  });
}

template <class Form>
inline void gelu_grad_of(const tw_gelu_args *a) {
  const int64_t n = a->x.cols;
  std::vector<float> none;
  std::vector<double> sum(n);
  const float *bias = zeros(a->bias, n, &none);
  sum_chunks(a->x.rows, n, a->x.rows * n * 8, sum.data(), [&](int64_t lo, int64_t hi, float *acc) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *dy = row(a->dy, r);
      float *dx = row(a->dx, r);
      auto put = [&](auto old) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
          float y, slope;
          Form::both(x[j] + bias[j], &y, &slope);
          const float d = slope * dy[j];
          acc[j] += d;
          dx[j] = old(dx[j]) + d;
        }
      };
      a->accumulate ? put([](float v) { return v; }) : put([](float) { return 0.0f; });
    }
  });
  add_to(a->dbias, sum.data(), n);
}

template <class Form>
inline void gelu_tangent_of(const tw_gelu_args *a) {
  const int64_t n = a->x.cols;
  std::vector<float> none, still, fixed;
  const float *bias = zeros(a->bias, n, &none), *tb = zeros(a->tbias, n, &fixed), *zero = zeros(nullptr, n, &still);
  each(a->x.rows, kTokens, a->x.rows * n * 8, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *t = a->tx.p ? row(a->tx, r) : zero;
      float *ty = row(a->ty, r);
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        float y, slope;
        Form::both(x[j] + bias[j], &y, &slope);
        ty[j] = slope * (t[j] + tb[j]);
      }
    }
  });
}

void gelu(const tw_gelu_args *a) { a->tanh ? gelu_of<gelu_tanh>(a) : gelu_of<gelu_exact>(a); }
void gelu_grad(const tw_gelu_args *a) { a->tanh ? gelu_grad_of<gelu_tanh>(a) : gelu_grad_of<gelu_exact>(a); }
void gelu_tangent(const tw_gelu_args *a) { a->tanh ? gelu_tangent_of<gelu_tanh>(a) : gelu_tangent_of<gelu_exact>(a); }

// ---------------------------------------------------------------- AddNorm

// branch writes z = r + dropout(x + bias) and returns the sum of z.
inline float branch(const dropper &drop, int64_t i, float *z, const float *r, const float *x, const float *bias) {
  const uint32_t *w = drop.words(i);
  float s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < drop.n; j++) {
    const float v = r[j] + drop(w[j], x[j] + bias[j]);
    z[j] = v;
    s += v;
  }
  return s;
}

void add_norm(const tw_add_norm_args *a) {
  const int64_t n = a->z.cols;
  const dropper drop(a, n);
  std::vector<float> none, alone;
  const float *bias = zeros(a->bias, n, &none), *zero = zeros(nullptr, n, &alone);
  each(a->z.rows, kTokens, a->z.rows * n * 4, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++) {
      float *z = row(a->z, i), *y = row(a->y, i), q = 0;
      const float mean = branch(drop, i, z, a->r.p ? row(a->r, i) : zero, row(a->x, i), bias) / n;
#pragma omp simd reduction(+ : q)
      for (int64_t j = 0; j < n; j++) q += (z[j] - mean) * (z[j] - mean);
      const float rstd = static_cast<float>(1 / std::sqrt(static_cast<double>(q) / n + a->eps));
      a->mean[i] = mean;
      a->rstd[i] = rstd;
      const float *__restrict gamma = a->gamma, *__restrict beta = a->beta;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) y[j] = (z[j] - mean) * rstd * gamma[j] + beta[j];
    }
  });
}

void add_norm_grad(const tw_add_norm_args *a) {
  const int64_t n = a->z.cols;
  const dropper drop(a, n);
  std::vector<double> sum(3 * n);
  sum_chunks(a->z.rows, 3 * n, a->z.rows * n * 4, sum.data(), [&](int64_t lo, int64_t hi, float *acc) {
    std::vector<float> spare(2 * n);
    const float *gamma = a->gamma;  // here: a pointer captured by reference is read for every element, which nothing vectorises
    float *__restrict dgamma = acc, *__restrict dbeta = acc + n, *__restrict dbias = acc + 2 * n;
    for (int64_t i = lo; i < hi; i++) {
      const float *z = row(a->z, i), *dy = row(a->dy, i), mean = a->mean[i], rstd = a->rstd[i];
      float *dx = a->dx.p ? row(a->dx, i) : spare.data(), *dz = a->dr.p && !a->accumulate ? row(a->dr, i) : spare.data() + n, s0 = 0, s1 = 0;
#pragma omp simd reduction(+ : s0, s1)
      for (int64_t j = 0; j < n; j++) {
        const float g = dy[j] * gamma[j];
        s0 += g;
        s1 += g * ((z[j] - mean) * rstd);
      }
      s0 /= n;
      s1 /= n;
      const uint32_t *w = drop.words(i);
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float xhat = (z[j] - mean) * rstd, v = rstd * (dy[j] * gamma[j] - s0 - xhat * s1), d = drop(w[j], v);
        dgamma[j] += dy[j] * xhat;
        dbeta[j] += dy[j];
        dbias[j] += d;
        dx[j] = d;
        dz[j] = v;
      }
      if (a->dr.p && a->accumulate) {
        float *__restrict dr = row(a->dr, i);
        for (int64_t j = 0; j < n; j++) dr[j] += dz[j];
      }
    }
  });
  add_to(a->dgamma, sum.data(), n);
  add_to(a->dbeta, sum.data() + n, n);
  add_to(a->dbias, sum.data() + 2 * n, n);
}

void add_norm_tangent(const tw_add_norm_args *a) {
  const int64_t n = a->z.cols;
  const dropper drop(a, n);
  std::vector<float> none, still, steady, alone;
  const float *bias = zeros(a->tbias, n, &none), *tgamma = zeros(a->tgamma, n, &still), *tbeta = zeros(a->tbeta, n, &steady),
              *zero = zeros(nullptr, n, &alone);
  each(a->z.rows, kTokens, a->z.rows * n * 4, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++) {
      const float *z = row(a->z, i), mean = a->mean[i], rstd = a->rstd[i];
      float *t = row(a->ty, i), s1 = 0;
      const float s0 = branch(drop, i, t, a->tr.p ? row(a->tr, i) : zero, a->tx.p ? row(a->tx, i) : zero, bias) / n;
#pragma omp simd reduction(+ : s1)
      for (int64_t j = 0; j < n; j++) s1 += t[j] * (z[j] - mean) * rstd;
      s1 /= n;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float xhat = (z[j] - mean) * rstd;
        t[j] = tgamma[j] * xhat + tbeta[j] + a->gamma[j] * rstd * (t[j] - s0 - xhat * s1);
      }
    }
  });
}

// ---------------------------------------------------------------- LinearCE

constexpr int64_t kBatch = 128;  // rows of X at a time, at most: logits are computed with a row in every lane

// classes cuts the rows of X into batches and the vocabulary into tiles, whose logits and rows of W stay in the cache, and tiles into
// groups, which are what threads share out and sum over. It depends on the shapes alone.
struct classes {
  int64_t n, inner, vocabulary, tile, group, batch;  // batch, a multiple of the lanes, is also the row length of a tile's logits

  explicit classes(const tw_linear_ce_args *a) : n(a->x.rows), inner(a->x.cols), vocabulary(a->w.rows) {
    tile = inner <= 192 ? 512 : inner <= 384 ? 256 : 128;
    group = n <= kBatch ? 512 : 1024;
    batch = padded(chunks(std::max<int64_t>(n, 1), std::max<int64_t>(chunks(n, kBatch), 1)));
  }
  int64_t groups() const { return chunks(vocabulary, group); }
  int64_t batches() const { return chunks(n, batch); }
  int64_t rows(int64_t b) const { return std::min(batch, n - b * batch); }

  // transposed returns X as (inner, batch) for each batch, in a place of its own.
  template <int Place>
  const float *transposed(const tw_mat &x) const {
    float *t = room<float, Place>(batches() * inner * batch);
    each(batches(), 1, n * inner, [&](int64_t b, int64_t) {
      float *to = t + b * inner * batch;
      for (int64_t j = 0; j < inner; j++)
        for (int64_t i = 0; i < batch; i++) to[j * batch + i] = i < rows(b) ? row(x, b * batch + i)[j] : 0;
    });
    return t;
  }

  // product is W·Xᵀ of the classes [lo, hi) and a batch, from X transposed.
  void product(const tw_mat &w, int64_t lo, int64_t hi, const float *xt, int64_t b, float *to, bool add) const {
    small_product<false>(hi - lo, padded(rows(b)), inner, row(w, lo), w.ld, xt + b * inner * batch, batch, to, batch, add);
  }

  // over runs body(group, lo, hi, batch, logits) for every tile and batch; a group's come in order on one thread.
  template <class F>
  void over(const tw_mat &w, const float *xt, F body) const {
    each(groups(), 1, n * vocabulary * inner, [&](int64_t g, int64_t) {
      const int64_t end = std::min(vocabulary, (g + 1) * group);
      for (int64_t lo = g * group; lo < end; lo += tile)
        for (int64_t b = 0; b < batches(); b++) {
          const int64_t hi = std::min(end, lo + tile);
          float *l = room<float, 3>(tile * batch);
          product(w, lo, hi, xt, b, l, false);
          body(g, lo, hi, b, l);
        }
    });
  }
};

// Every group keeps the maximum of the logits and the sum of their exponentials that it has seen so far, for every row.
void linear_ce(const tw_linear_ce_args *a) {
  const classes c(a);
  const int64_t width = c.batches() * c.batch;
  float *top = room<float, 5>(2 * c.groups() * width + c.n), *sum = top + c.groups() * width, *hit = sum + c.groups() * width;
  std::fill_n(top, c.groups() * width, -INFINITY);
  std::fill_n(sum, c.groups() * width, 0.0f);
  c.over(a->w, c.transposed<4>(a->x), [&](int64_t g, int64_t lo, int64_t hi, int64_t b, float *l) {
    const int64_t n = padded(c.rows(b)), ld = c.batch;
    float *__restrict m = top + g * width + b * ld, *__restrict s = sum + g * width + b * ld, last[kBatch];
    std::copy_n(m, n, last);
    for (int64_t v = lo; v < hi; v++) {
      float *__restrict x = l + (v - lo) * ld;
      const float bias = a->bias ? a->bias[v] : 0;
      for (int64_t i = 0; i < n; i++) {
        x[i] += bias;
        m[i] = x[i] > m[i] ? x[i] : m[i];
      }
    }
    for (int64_t i = 0; i < n; i++) s[i] *= fast_exp(last[i] - m[i]);
    for (int64_t v = lo; v < hi; v++) {
      const float *__restrict x = l + (v - lo) * ld;
      for (int64_t i = 0; i < n; i++) s[i] += fast_exp(x[i] - m[i]);
    }
    for (int64_t i = 0; i < c.rows(b); i++) {
      const int32_t t = a->target[b * ld + i];
      if (t >= lo && t < hi) hit[b * ld + i] = l[(t - lo) * ld + i];
    }
  });
  double total = 0;
  for (int64_t i = 0; i < c.n; i++) {
    float m = -INFINITY;
    double s = 0;
    for (int64_t g = 0; g < c.groups(); g++) m = std::max(m, top[g * width + i]);
    for (int64_t g = 0; g < c.groups(); g++) s += sum[g * width + i] * std::exp(static_cast<double>(top[g * width + i]) - m);
    const double lse = m + std::log(s);
    a->lse[i] = static_cast<float>(lse);
    if (a->target[i] >= 0) total += a->scale * (lse - hit[i]);
  }
  a->loss[0] += static_cast<float>(total);
}

// slopes turns the logits of a tile into the derivatives of factor times the loss.
inline void slopes(const tw_linear_ce_args *a, const classes &c, float factor, float *l, int64_t lo, int64_t hi, int64_t b) {
  const int64_t n = padded(c.rows(b)), ld = c.batch;
  float k[kBatch], lse[kBatch];
  for (int64_t i = 0; i < n; i++) {
    const bool counts = i < c.rows(b) && a->target[b * ld + i] >= 0;
    k[i] = counts ? factor : 0;
    lse[i] = counts ? a->lse[b * ld + i] : 0;
  }
  for (int64_t v = lo; v < hi; v++) {
    float *__restrict x = l + (v - lo) * ld;
    const float bias = a->bias ? a->bias[v] : 0;
    for (int64_t i = 0; i < n; i++) x[i] = k[i] * fast_exp(x[i] + bias - lse[i]);
  }
  for (int64_t i = 0; i < c.rows(b); i++) {
    const int32_t t = a->target[b * ld + i];
    if (t >= lo && t < hi) l[(t - lo) * ld + i] -= factor;
  }
}

void linear_ce_grad(const tw_linear_ce_args *a) {
  const classes c(a);
  const float factor = static_cast<float>(a->up ? a->scale * *a->up : a->scale);
  float *partial = a->dx.p ? room<float, 5>(c.groups() * c.n * c.inner) : nullptr;  // of DX, one for each group
  c.over(a->w, c.transposed<4>(a->x), [&](int64_t g, int64_t lo, int64_t hi, int64_t b, float *d) {
    const int64_t rows = c.rows(b), ld = c.batch, first = b * ld;
    slopes(a, c, factor, d, lo, hi, b);
    if (a->dbias)
      for (int64_t v = lo; v < hi; v++) {
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (int64_t i = 0; i < rows; i++) s += d[(v - lo) * ld + i];
        a->dbias[v] += s;
      }
    if (a->dw.p) small_product<false>(hi - lo, c.inner, rows, d, ld, row(a->x, first), a->x.ld, row(a->dw, lo), a->dw.ld, true);
    if (partial)
      small_product<true>(rows, c.inner, hi - lo, d, ld, row(a->w, lo), a->w.ld, partial + (g * c.n + first) * c.inner, c.inner, lo % c.group != 0);
  });
  if (!partial) return;
  each(c.n, 1, c.groups() * c.n * c.inner, [&](int64_t i, int64_t) {
    float *__restrict dx = row(a->dx, i);
    for (int64_t j = 0; j < c.inner && !a->accumulate; j++) dx[j] = 0;
    for (int64_t g = 0; g < c.groups(); g++) {
      const float *__restrict from = partial + (g * c.n + i) * c.inner;
      for (int64_t j = 0; j < c.inner; j++) dx[j] += from[j];
    }
  });
}

void linear_ce_tangent(const tw_linear_ce_args *a) {
  const classes c(a);
  const float *xt = c.transposed<4>(a->x), *txt = a->tx.p ? c.transposed<6>(a->tx) : nullptr;
  std::vector<double> part(c.groups());
  c.over(a->w, xt, [&](int64_t g, int64_t lo, int64_t hi, int64_t b, float *d) {
    float *t = room<float, 7>(c.tile * c.batch);
    slopes(a, c, static_cast<float>(a->scale), d, lo, hi, b);
    for (int64_t v = lo; v < hi; v++) std::fill_n(t + (v - lo) * c.batch, c.batch, a->tbias ? a->tbias[v] : 0.0f);
    if (txt) c.product(a->w, lo, hi, txt, b, t, true);
    if (a->tw.p) c.product(a->tw, lo, hi, xt, b, t, true);
    for (int64_t v = 0; v < hi - lo; v++) part[g] += dot(d + v * c.batch, t + v * c.batch, c.rows(b));
  });
  double s = 0;
  for (double p : part) s += p;
  a->out[0] += static_cast<float>(a->c * s);
}

// ---------------------------------------------------------------- look-up

void scatter_rows(const tw_scatter_args *a) {
  const int64_t n = a->dst.cols;
  const tw_csr &s = a->csr;
  each(s.rows, 8, (s.nnz + s.rows) * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      float *__restrict d = row(a->dst, a->row[r]);
      for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
        const float *__restrict x = row(a->src, s.col[k]);
        const float w = s.w ? s.w[k] : 1.0f;
        for (int64_t j = 0; j < n; j++) d[j] += w * x[j];
      }
    }
  });
}

// ---------------------------------------------------------------- rows of a table

// place is where row r of the table lies among n rows that are listed in ascending order, or begin with first; -1 is nowhere.
inline int64_t place(const int32_t *list, int64_t n, int64_t first, int64_t r) {
  if (!list) return r >= first && r - first < n ? r - first : -1;
  const int32_t *at = std::lower_bound(list, list + n, static_cast<int32_t>(r));
  return at < list + n && *at == r ? at - list : -1;
}

constexpr int64_t kListed = 8;  // rows in a chunk

// common calls body(chunk, i, j) for row i of x and row j of y wherever they are the same row of the table. It goes over a list,
// if there is one, and looks the rows up in the other.
template <class F>
inline void common(const tw_rows_args *a, F body) {
  const bool by_x = a->xrow || !a->yrow;
  const int32_t *list = by_x ? a->xrow : a->yrow;
  const int64_t n = by_x ? a->x.rows : a->y.rows;
  each(n, kListed, n * a->x.cols, [&](int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; u++) {
      const int64_t r = list ? list[u] : a->xfirst + u;
      const int64_t at = by_x ? place(a->yrow, a->y.rows, a->yfirst, r) : place(nullptr, a->x.rows, a->xfirst, r);
      if (at >= 0) body(lo / kListed, by_x ? u : at, by_x ? at : u);
    }
  });
}

void add_rows(const tw_rows_args *a) {
  const float s = a->s ? *a->s : 1.0f;
  common(a, [&](int64_t, int64_t i, int64_t j) {
    const float *__restrict x = row(a->x, i);
    float *__restrict y = row(a->y, j);
    for (int64_t c = 0; c < a->x.cols; c++) y[c] += s * x[c];
  });
}

void dot_rows(const tw_rows_args *a) {
  std::vector<double> part(chunks(std::max(a->x.rows, a->y.rows), kListed));
  common(a, [&](int64_t chunk, int64_t i, int64_t j) { part[chunk] += dot_part(row(a->x, i), row(a->y, j), 0, a->x.cols); });
  double s = 0;
  for (double v : part) s += v;
  a->v[0] += static_cast<float>(a->c * s);
}
