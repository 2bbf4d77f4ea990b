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

// adaptive applies step, which updates p, m and v in place and returns d p/d g, to elements [lo, hi) by whole vectors and then one
// by one. The derivative is stored where jac is not null. A loop over floats would call sqrt for every element.
template <class F>
inline void adaptive(int64_t lo, int64_t hi, float *p, float *m, float *v, const float *g, float *jac, F step) {
  int64_t i = lo;
  for (; i + TW_LANES <= hi; i += TW_LANES) {
    vec x = load<vec>(p + i), first = load<vec>(m + i), second = load<vec>(v + i);
    const vec d = step(x, first, second, load<vec>(g + i));
    store(p + i, x);
    store(m + i, first);
    store(v + i, second);
    if (jac) store(jac + i, d);
  }
  for (; i < hi; i++) {
    const float d = step(p[i], m[i], v[i], g[i]);
    if (jac) jac[i] = d;
  }
}

void update(const tw_update_args *a) {
  const float lr = static_cast<float>(a->lr), c1 = static_cast<float>(a->c1), c2 = static_cast<float>(a->c2), gs = a->scale ? *a->scale : 1.0f;
  const float b1 = static_cast<float>(a->beta1), b2 = static_cast<float>(a->beta2), n1 = static_cast<float>(1 - a->beta1),
              n2 = static_cast<float>(1 - a->beta2), eps = static_cast<float>(a->eps), wd = static_cast<float>(a->decay),
              mom = static_cast<float>(a->momentum);
  flat(a->n, [&](int64_t lo, int64_t hi) {
    float *__restrict p = a->p, *__restrict m = a->m, *__restrict v = a->v, *jac = a->jac;
    const float *g = a->g;  // jac may be the same memory
    if (a->rule == 0) {
      for (int64_t i = lo; i < hi; i++) {
        float s = gs * g[i] + wd * p[i];
        if (m) s = m[i] = mom * m[i] + s;
        p[i] -= lr * s;
      }
      if (jac)
        for (int64_t i = lo; i < hi; i++) jac[i] = -lr;
      return;
    }
    const float coupled = a->rule == 1 ? wd : 0, decoupled = a->rule == 2 ? lr * wd : 0;
    adaptive(lo, hi, p, m, v, g, jac, [=](auto &p, auto &m, auto &v, auto g) {
      const auto s = gs * g + coupled * p;
      m = b1 * m + n1 * s;
      v = b2 * v + n2 * s * s;
      const auto mh = m * c1, r = root(v * c2), den = r + eps, step = lr / den;
      p = p - decoupled * p - step * mh;
      // Where the root is 0 so is s, whatever its divisor.
      return mh * n2 * c2 * s / (larger(r, decltype(r){} + 1e-30f) * den) * step - step * n1 * c1;
    });
  });
}
