// Element-wise kernels, losses and flat vectors. Part of kernels.h.

// over runs body(i) for every row.
template <class F>
inline void over(int64_t rows, int64_t cost, F body) {
  each(rows, kRows, cost, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) body(r);
  });
}

void activate(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *y = row(a->y, r);
    switch (a->act) {
      case 1:
        for (int64_t j = 0; j < n; j++) y[j] = x[j] > 0 ? x[j] : 0;
        break;
      case 2:
        for (int64_t j = 0; j < n; j++) y[j] = 1 / (1 + fast_exp(-x[j]));
        break;
      case 3:
        for (int64_t j = 0; j < n; j++) y[j] = std::tanh(x[j]);
        break;
      case 4:
        for (int64_t j = 0; j < n; j++) y[j] = x[j] < 0 ? kLeak * x[j] : x[j];
        break;
      default:
        for (int64_t j = 0; j < n; j++) y[j] = x[j];
    }
  });
}

// x = dy, y = dx, z = saved output.
void activate_grad(const tw_element_args *a) {
  const int64_t n = a->z.cols;
  over(a->z.rows, a->z.rows * n, [&](int64_t r) {
    const float *g = row(a->x, r), *y = row(a->z, r);
    float *d = row(a->y, r);
    auto put = [&](auto slope) {
      if (a->accumulate)
        for (int64_t j = 0; j < n; j++) d[j] += g[j] * slope(y[j]);
      else
        for (int64_t j = 0; j < n; j++) d[j] = g[j] * slope(y[j]);
    };
    switch (a->act) {
      case 1: put([](float v) { return v > 0 ? 1.0f : 0.0f; }); break;
      case 2: put([](float v) { return v * (1 - v); }); break;
      case 3: put([](float v) { return 1 - v * v; }); break;
      case 4: put([](float v) { return v < 0 ? kLeak : 1.0f; }); break;
      default: put([](float) { return 1.0f; });
    }
  });
}

// dropper tells which elements of rows of n dropout keeps: those whose word is not below the threshold.
struct dropper {
  int64_t n;
  uint64_t seed;
  uint32_t step, stream;
  int32_t threshold;  // of the upper 24 bits: u < p exactly where word>>8 < ceil(p 2^24)
  float scale;

  template <class Args>
  dropper(const Args *a, int64_t cols)
      : n(cols), seed(a->seed), step(a->step), stream(a->stream), threshold(static_cast<int32_t>(std::ceil(a->p * (1 << 24)))),
        scale(static_cast<float>(1 / (1 - a->p))) {}

  // words of row r, which live until the calling thread asks for the next.
  const uint32_t *words(int64_t r) const {
    const uint64_t from = static_cast<uint64_t>(r) * n;
    const int64_t blocks = padded(chunks(from % 4 + n, 4));
    uint32_t *w = room<uint32_t, 1>(4 * blocks);
    if (threshold > 0) {
      uint64_t *block = room<uint64_t, 1>(blocks);
      for (int64_t t = 0; t < blocks; t++) block[t] = from / 4 + t;
      random_words(blocks, block, seed, step, stream, w);
    } else {
      std::fill_n(w, 4 * blocks, 0u);
    }
    return w + from % 4;
  }
  float operator()(uint32_t word, float v) const {
    const float kept = v * scale;
    return static_cast<int32_t>(word >> 8) < threshold ? 0 : kept;
  }
};

void dropout(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  const dropper drop(a, n);
  over(a->x.rows, a->x.rows * n * 8, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *y = row(a->y, r);
    const uint32_t *w = drop.words(r);
    if (a->accumulate) {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) y[j] += drop(w[j], x[j]);
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) y[j] = drop(w[j], x[j]);
    }
  });
}

void add_scaled(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  const float s = static_cast<float>(a->s);
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *__restrict x = row(a->x, r);
    float *__restrict y = row(a->y, r);
    for (int64_t j = 0; j < n; j++) y[j] += s * x[j];
  });
}

void copy_mat(const tw_element_args *a) {
  over(a->x.rows, a->x.rows * a->x.cols, [&](int64_t r) { memmove(row(a->y, r), row(a->x, r), a->x.cols * sizeof(float)); });
}

// y = s v[0] x; y may be x
void scale_mat(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  const float s = static_cast<float>(a->s * (a->v ? *a->v : 1.0f));
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *y = row(a->y, r);
    for (int64_t j = 0; j < n; j++) y[j] = s * x[j];
  });
}

// v[i] (+)= s <x_i, z_i>
void row_dot(const tw_element_args *a) {
  over(a->x.rows, a->x.rows * a->x.cols, [&](int64_t r) {
    const float d = static_cast<float>(a->s) * dot(row(a->x, r), row(a->z, r), a->x.cols);
    a->v[r] = a->accumulate ? a->v[r] + d : d;
  });
}

// y_i (+)= s v[i] x_i
void row_scale(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float s = static_cast<float>(a->s) * a->v[r];
    const float *__restrict x = row(a->x, r);
    float *__restrict y = row(a->y, r);
    if (a->accumulate)
      for (int64_t j = 0; j < n; j++) y[j] += s * x[j];
    else
      for (int64_t j = 0; j < n; j++) y[j] = s * x[j];
  });
}

void row_normalize(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *y = row(a->y, r);
    a->v[r] = static_cast<float>(std::sqrt(static_cast<double>(dot(x, x, n)) + a->s));
    const float inv = 1 / a->v[r];
    for (int64_t j = 0; j < n; j++) y[j] = x[j] * inv;
  });
}

// y = out, x = in, z = the normalised rows, v = norms
void row_normalize_jac(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  over(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r), *u = row(a->z, r);
    float *y = row(a->y, r);
    const float s = dot(x, u, n), inv = 1 / a->v[r];
    if (a->accumulate)
      for (int64_t j = 0; j < n; j++) y[j] += (x[j] - u[j] * s) * inv;
    else
      for (int64_t j = 0; j < n; j++) y[j] = (x[j] - u[j] * s) * inv;
  });
}

// rows_sum returns the sum of body(i) over rows, taken row by row in order.
template <class F>
inline double rows_sum(int64_t rows, int64_t cost, F body) {
  std::vector<double> part(rows);
  over(rows, cost, [&](int64_t r) { part[r] = body(r); });
  double s = 0;
  for (double v : part) s += v;
  return s;
}

void dot_mat(const tw_element_args *a) {
  const int64_t n = a->x.cols;
  const double s = a->s * rows_sum(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r), *z = row(a->z, r);
    double d = 0;
#pragma omp simd reduction(+ : d)
    for (int64_t j = 0; j < n; j++) d += static_cast<double>(x[j]) * z[j];
    return d;
  });
  a->v[0] = static_cast<float>(a->accumulate ? a->v[0] + s : s);
}

// ---------------------------------------------------------------- losses

// softmax writes exp(x - max) and returns the maximum and the sum.
inline void softmax_row(const float *x, float *d, int64_t n, float *top, float *sum) {
  float m = -INFINITY, s = 0;
#pragma omp simd reduction(max : m)
  for (int64_t j = 0; j < n; j++) m = x[j] > m ? x[j] : m;
#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < n; j++) {
    const float e = fast_exp(x[j] - m);
    d[j] = e;
    s += e;
  }
  *top = m;
  *sum = s;
}

void softmax_ce(const tw_loss_args *a) {
  const int64_t n = a->x.cols;
  *a->loss += static_cast<float>(rows_sum(a->x.rows, a->x.rows * n * 8, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *d = row(a->dx, r), top, sum;
    const int32_t t = a->target[r];
    if (t < 0) {
      for (int64_t j = 0; j < n; j++) d[j] = 0;
      return 0.0;
    }
    softmax_row(x, d, n, &top, &sum);
    const double w = a->scale * (a->w ? a->w[r] : 1.0f);
    const float k = static_cast<float>(w / sum);
    for (int64_t j = 0; j < n; j++) d[j] *= k;
    d[t] -= static_cast<float>(w);
    return w * (std::log(static_cast<double>(sum)) + top - x[t]);
  }));
}

void element_loss(const tw_loss_args *a) {
  const int64_t n = a->x.cols;
  *a->loss += static_cast<float>(rows_sum(a->x.rows, a->x.rows * n * 8, [&](int64_t r) {
    const float *x = row(a->x, r), *t = a->t + r * n, *w = a->w ? a->w + r * n : nullptr;
    float *d = row(a->dx, r);
    double total = 0;
    for (int64_t j = 0; j < n; j++) {
      const double k = a->scale * (w ? w[j] : 1.0f);
      if (k == 0) {
        d[j] = 0;
        continue;
      }
      const double v = x[j], y = t[j];
      if (a->mse) {
        total += k * (v - y) * (v - y);
        d[j] = static_cast<float>(2 * k * (v - y));
      } else {
        const double e = std::exp(-std::fabs(v));
        total += k * (std::max(v, 0.0) - v * y + std::log1p(e));
        d[j] = static_cast<float>(k * ((v >= 0 ? 1 / (1 + e) : e / (1 + e)) - y));
      }
    }
    return total;
  }));
}

void ntxent(const tw_loss_args *a) {
  const int64_t n = a->x.rows;
  *a->loss += static_cast<float>(rows_sum(n, n * n * 8, [&](int64_t r) {
    const float *x = row(a->x, r);
    float *d = row(a->dx, r), m = -INFINITY, s = 0;
    const int64_t pos = (r + n / 2) % n;
    // Left and right of the diagonal, so that the loops have no condition.
    const int64_t side[2][2] = {{0, r}, {r + 1, n}};
    for (auto [lo, hi] : side)
#pragma omp simd reduction(max : m)
      for (int64_t j = lo; j < hi; j++) m = x[j] > m ? x[j] : m;
    for (auto [lo, hi] : side)
#pragma omp simd reduction(+ : s)
      for (int64_t j = lo; j < hi; j++) s += d[j] = fast_exp(x[j] - m);
    d[r] = 0;
    const float k = static_cast<float>(a->scale / s);
    for (int64_t j = 0; j < n; j++) d[j] *= k;
    d[pos] -= static_cast<float>(a->scale);
    return a->scale * (std::log(static_cast<double>(s)) + m - x[pos]);
  }));
}

void pair_distance(const tw_loss_args *a) {
  const int64_t n = a->x.cols;
  *a->loss += static_cast<float>(rows_sum(a->x.rows, a->x.rows * n, [&](int64_t r) {
    const float *x = row(a->x, r), *y = row(a->b, r);
    float *dx = row(a->dx, r), *dy = row(a->db, r), s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t j = 0; j < n; j++) s += (x[j] - y[j]) * (x[j] - y[j]);
    const double dist = std::sqrt(s + a->eps);
    const float k = static_cast<float>(a->scale / dist);
    for (int64_t j = 0; j < n; j++) {
      dx[j] = k * (x[j] - y[j]);
      dy[j] = -dx[j];
    }
    return a->scale * dist;
  }));
}

// ---------------------------------------------------------------- flat vectors

template <class F>
inline void flat(int64_t n, F body) {
  each(n, kVector, n, body);
}

inline float factor(const tw_vector_args *a) { return static_cast<float>(a->s ? a->c * *a->s : a->c); }

void fill(const tw_vector_args *a) {
  flat(a->n, [&](int64_t lo, int64_t hi) { std::fill(a->y + lo, a->y + hi, static_cast<float>(a->c)); });
}

void copy(const tw_vector_args *a) {
  flat(a->n, [&](int64_t lo, int64_t hi) { memmove(a->y + lo, a->x + lo, (hi - lo) * sizeof(float)); });
}

void scale(const tw_vector_args *a) {
  const float c = factor(a);
  flat(a->n, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++) a->y[i] *= c;
  });
}

void axpy(const tw_vector_args *a) {
  const float c = factor(a);
  flat(a->n, [&](int64_t lo, int64_t hi) {
    float *__restrict y = a->y;
    const float *__restrict x = a->x;
    for (int64_t i = lo; i < hi; i++) y[i] += c * x[i];
  });
}

void perturb(const tw_vector_args *a) {
  const float c = factor(a);
  flat(a->n, [&](int64_t lo, int64_t hi) {
    float *__restrict y = a->y;
    const float *__restrict x = a->x, *__restrict z = a->z;
    for (int64_t i = lo; i < hi; i++) y[i] = x[i] + c * z[i];
  });
}

void mul(const tw_vector_args *a) {
  const float c = static_cast<float>(a->c);
  flat(a->n, [&](int64_t lo, int64_t hi) {
    float *y = a->y;
    const float *x = a->x, *z = a->z;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) y[i] = c * x[i] * z[i];
  });
}

// flat_sum adds body(lo, hi) over chunks, in order.
template <class F>
inline double flat_sum(int64_t n, F body) {
  std::vector<double> part(chunks(n, kVector));
  flat(n, [&](int64_t lo, int64_t hi) { part[lo / kVector] = body(lo, hi); });
  double s = 0;
  for (double v : part) s += v;
  return s;
}

inline double dot_part(const float *__restrict x, const float *__restrict z, int64_t lo, int64_t hi) {
  double d = 0;
#pragma omp simd reduction(+ : d)
  for (int64_t i = lo; i < hi; i++) d += static_cast<double>(x[i]) * z[i];
  return d;
}

void dot(const tw_vector_args *a) {
  const double s = a->c * flat_sum(a->n, [&](int64_t lo, int64_t hi) { return dot_part(a->x, a->z, lo, hi); });
  a->v[0] = static_cast<float>(a->accumulate ? a->v[0] + s : s);
}

void combine(const tw_vectors_args *a) {
  each(a->n, kVector, a->n * a->k, [&](int64_t lo, int64_t hi) { // the chunk of y stays in the cache
    for (int k = 0; k < a->k; k++) {
      const float c = a->s[k];
      float *__restrict y = a->y;
      const float *__restrict x = a->x[k];
      if (k == 0 && !a->accumulate)
        for (int64_t i = lo; i < hi; i++) y[i] = c * x[i];
      else
        for (int64_t i = lo; i < hi; i++) y[i] += c * x[i];
    }
  });
}

// flat_sums leaves in sum[q] the sum of body(q, lo, hi) over chunks, in order, for m sums that share their operands.
template <class F>
inline void flat_sums(int64_t n, int64_t m, double *sum, F body) {
  std::vector<double> part(chunks(n, kVector) * m);
  each(n, kVector, n * m, [&](int64_t lo, int64_t hi) {
    for (int64_t q = 0; q < m; q++) part[lo / kVector * m + q] = body(q, lo, hi);
  });
  for (int64_t q = 0; q < m; q++) {
    sum[q] = 0;
    for (size_t c = q; c < part.size(); c += m) sum[q] += part[c];
  }
}

void dots(const tw_vectors_args *a) {
  double sum[TW_MAX_VECTORS];
  flat_sums(a->n, a->k, sum, [&](int64_t q, int64_t lo, int64_t hi) { return dot_part(a->x[q], a->z, lo, hi); });
  for (int k = 0; k < a->k; k++) a->v[k] += static_cast<float>(a->c * sum[k]);
}

void gram(const tw_vectors_args *a) {
  double sum[TW_MAX_VECTORS * (TW_MAX_VECTORS + 1) / 2];
  int of[TW_MAX_VECTORS * (TW_MAX_VECTORS + 1) / 2][2], m = 0;
  for (int i = 0; i < a->k; i++)
    for (int j = 0; j <= i; j++) of[m][0] = i, of[m++][1] = j;
  flat_sums(a->n, m, sum, [&](int64_t q, int64_t lo, int64_t hi) { return dot_part(a->x[of[q][0]], a->x[of[q][1]], lo, hi); });
  for (int q = 0; q < m; q++) a->v[of[q][0] * a->k + of[q][1]] = a->v[of[q][1] * a->k + of[q][0]] = static_cast<float>(sum[q]);
}

// y = gradient, x = parameters, z = what they are pulled to
void prox(const tw_vector_args *a) {
  const float c = static_cast<float>(2 * a->c);
  const double s = a->c * flat_sum(a->n, [&](int64_t lo, int64_t hi) {
    double q = 0;
    float *__restrict y = a->y;
    const float *__restrict x = a->x, *__restrict z = a->z;
#pragma omp simd reduction(+ : q)
    for (int64_t i = lo; i < hi; i++) {
      const float d = x[i] - z[i];
      y[i] += c * d;
      q += static_cast<double>(d) * d;
    }
    return q;
  });
  if (a->v) a->v[0] += static_cast<float>(s);
}

void rstd_of(const tw_vector_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = static_cast<float>(1 / std::sqrt(a->x[i] + a->c));
}

struct rate {
  float lr, c1, c2;
};

// optimiser is the arithmetic of a step on one element or a vector of them. Every sum of products says which product is fused with
// it: Update and UpdateRows give the same bits whatever the compiler makes of the loops around them.
struct optimiser {
  float gs, b1, b2, n1, n2, eps, mom, coupled, apart;  // the last two: decay through the gradient, decay besides it
  int rule;

  template <class A>
  explicit optimiser(const A *a)
      : gs(a->scale ? *a->scale : 1.0f), b1(a->beta1), b2(a->beta2), n1(1 - a->beta1), n2(1 - a->beta2), eps(a->eps), mom(a->momentum),
        coupled(a->rule == 2 ? 0 : a->decay), apart(a->rule == 2 ? a->decay : 0), rule(a->rule) {}

  // sgd is the step without moments, or with one.
  template <class V>
  void sgd(V &p, V g, rate r) const {
    p = fused(V{} - r.lr, fused(V{} + gs, g, coupled * p), p);
  }
  template <class V>
  void sgd(V &p, V &m, V g, rate r) const {
    m = fused(V{} + mom, m, fused(V{} + gs, g, coupled * p));
    p = fused(V{} - r.lr, m, p);
  }

  // adam is the step of Adam and AdamW. It returns d p/d g.
  template <class V>
  V adam(V &p, V &m, V &v, V g, rate r) const {
    const V s = fused(V{} + gs, g, coupled * p);
    m = fused(V{} + b1, m, n1 * s);
    v = fused(V{} + b2, v, n2 * s * s);
    const V mh = m * r.c1, q = root(v * r.c2), den = q + eps, step = r.lr / den;
    decay(p, r);
    p = fused(-step, mh, p);
    // Where the root is 0 so is s, whatever its divisor.
    return fused(-(step * n1), V{} + r.c1, mh * n2 * r.c2 * s / (larger(q, V{} + 1e-30f) * den) * step);
  }
  // decay is the part of adam that does not come from the gradient.
  template <class V>
  void decay(V &p, rate r) const {
    p = fused(V{} - r.lr * apart, p, p);
  }
};

// by_lanes calls f(i, V) for elements [lo, hi): for whole vectors, then one by one. A loop over floats would call sqrt for each.
template <class F>
inline void by_lanes(int64_t lo, int64_t hi, F f) {
  int64_t i = lo;
  for (; i + TW_LANES <= hi; i += TW_LANES) f(i, vec{});
  for (; i < hi; i++) f(i, float{});
}

void update(const tw_update_args *a) {
  const rate r{static_cast<float>(a->lr), static_cast<float>(a->c1), static_cast<float>(a->c2)};
  const optimiser o(a);
  flat(a->n, [&, r, o](int64_t lo, int64_t hi) {
    float *p = a->p, *m = a->m, *v = a->v, *jac = a->jac;
    const float *g = a->g;  // jac may be the same memory
    const auto sweep = [=](auto derive) {
      by_lanes(lo, hi, [=](int64_t i, auto x) {
        using V = decltype(x);
        x = load<V>(p + i);
        V d = V{} - r.lr;
        if (o.rule != 0) {
          V first = load<V>(m + i), second = load<V>(v + i);
          d = o.adam(x, first, second, load<V>(g + i), r);
          store(m + i, first);
          store(v + i, second);
        } else if (m) {
          V first = load<V>(m + i);
          o.sgd(x, first, load<V>(g + i), r);
          store(m + i, first);
        } else {
          o.sgd(x, load<V>(g + i), r);
        }
        store(p + i, x);
        if (derive) store(jac + i, d);
      });
    };
    jac ? sweep(std::true_type{}) : sweep(std::false_type{});
  });
}

// late takes the steps [from, until) of an element or a vector of them, the last with the gradient at g unless that is null.
// at is where they lie in the row's parameters and moments.
template <class V>
inline void late(const optimiser &o, const rate *rates, int from, int until, float *at_p, float *at_m, float *at_v, float *g) {
  const int still = g ? until - 1 : until;
  V p = load<V>(at_p), m{}, v{};
  if (at_m) m = load<V>(at_m);
  if (at_v) v = load<V>(at_v);
  const auto step = [&](V s, rate r) {
    if (o.rule != 0)
      o.adam(p, m, v, s, r);
    else if (at_m)
      o.sgd(p, m, s, r);
    else
      o.sgd(p, s, r);
  };
  int t = from;
  // What had no gradient yet has no momentum: after the first step, which turns -0 into +0, there is at most AdamW's decay.
  if (t < still && o.coupled == 0 && zero(m) && zero(v)) {
    step(V{}, rates[t++]);
    if (o.apart != 0)
      for (; t < still; t++) o.decay(p, rates[t]);
    t = still;
  }
  for (; t < still; t++) step(V{}, rates[t]);
  if (g) {
    step(load<V>(g), rates[still]);
    store(g, V{});
  }
  store(at_p, p);
  if (at_m) store(at_m, m);
  if (at_v) store(at_v, v);
}

void update_rows(const tw_update_rows_args *a) {
  const optimiser o(a);
  const auto rates = reinterpret_cast<const rate *>(a->rates);
  const int until = a->until;
  each(a->rows, kLateRows, a->rows * a->p.cols, [&, o](int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; u++) {
      const int64_t r = a->row ? a->row[u] : u;
      const int from = a->last[r];
      a->last[r] = a->row ? std::max(from, until) : 0;
      if (from >= until) continue;
      by_lanes(0, a->p.cols, [&](int64_t i, auto x) {
        const auto of = [&](const tw_mat &m) { return m.p ? row(m, r) + i : nullptr; };
        late<decltype(x)>(o, rates, from, until, row(a->p, r) + i, of(a->m), of(a->v), of(a->g));
      });
    }
  });
}
