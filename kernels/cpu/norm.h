// Normalisations. Part of kernels.h.

// column_statistics writes Mean and Rstd. A chunk of rows is read once and summed twice while it is in the cache, about a centre
// c of its own; with r = sum m(x-c) and q = sum m(x-c)^2 the chunks then give exactly
//
//   mean = sum(W c + r) / total,   sum m(x-mean)^2 = sum(q + 2(c-mean) r + W (c-mean)^2)
inline void column_statistics(const tw_norm_args *a) {
  const int64_t n = a->x.cols, rows = a->x.rows, parts = chunks(rows, kStatRows);
  float *partial = scratch<float>(parts * (3 * n + 1));
  each(rows, kStatRows, rows * n, [&](int64_t lo, int64_t hi) {
    float *__restrict c = partial + lo / kStatRows * (3 * n + 1), *__restrict q = c + n, *__restrict r = q + n;
    const float *__restrict base = row(a->x, lo);
    double weight = 0;
    for (int64_t i = lo; i < hi; i++) {
      const float *__restrict x = row(a->x, i);
      const float m = a->mult ? a->mult[i] : 1.0f;
      weight += m;
      for (int64_t j = 0; j < n; j++) r[j] += m * (x[j] - base[j]);
    }
    r[n] = static_cast<float>(weight);
    const float each_row = weight > 0 ? static_cast<float>(1 / weight) : 0.0f;
    for (int64_t j = 0; j < n; j++) {
      c[j] = base[j] + r[j] * each_row;
      r[j] = 0;
    }
    for (int64_t i = lo; i < hi; i++) {
      const float *__restrict x = row(a->x, i);
      const float m = a->mult ? a->mult[i] : 1.0f;
      for (int64_t j = 0; j < n; j++) {
        const float d = x[j] - c[j];
        r[j] += m * d;
        q[j] += m * d * d;
      }
    }
  });
  double *mean = scratch<double>(2 * n), *square = mean + n;
  for (int64_t p = 0; p < parts; p++) {
    const float *c = partial + p * (3 * n + 1), *r = c + 2 * n;
    for (int64_t j = 0; j < n; j++) mean[j] += static_cast<double>(r[n]) * c[j] + r[j];
  }
  for (int64_t j = 0; j < n; j++) mean[j] /= a->total;
  for (int64_t p = 0; p < parts; p++) {
    const float *c = partial + p * (3 * n + 1), *q = c + n, *r = q + n;
    for (int64_t j = 0; j < n; j++) {
      const double d = c[j] - mean[j];
      square[j] += q[j] + d * (2.0 * r[j] + d * r[n]);
    }
  }
  for (int64_t j = 0; j < n; j++) {
    a->mean[j] = static_cast<float>(mean[j]);
    a->rstd[j] = static_cast<float>(1 / std::sqrt(square[j] / a->total + a->eps));
  }
}

void batch_norm(const tw_norm_args *a) {
  const int64_t n = a->x.cols, rows = a->x.rows;
  if (!a->frozen) column_statistics(a);
  each(rows, kRows, rows * n, [&](int64_t lo, int64_t hi) {
    const float *__restrict mean = a->mean, *__restrict rstd = a->rstd, *__restrict gamma = a->gamma, *__restrict beta = a->beta;
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r);
      float *y = row(a->y, r);
      if (a->relu) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
          const float v = (x[j] - mean[j]) * rstd[j] * gamma[j] + beta[j];
          y[j] = v > 0 ? v : 0;
        }
      } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) y[j] = (x[j] - mean[j]) * rstd[j] * gamma[j] + beta[j];
      }
    }
  });
}

void batch_norm_grad(const tw_norm_args *a) {
  const int64_t n = a->x.cols, rows = a->x.rows;
  std::vector<double> sum(2 * n);
  const float *__restrict mean = a->mean, *__restrict rstd = a->rstd;
  const bool relu = a->relu;
  column_sums<2>(rows, n, sum.data(), [&](int64_t r, float *__restrict acc) {
    const float *__restrict x = row(a->x, r), *__restrict y = row(a->y, r), *__restrict dy = row(a->dy, r);
    float *__restrict acx = acc + n;
    for (int64_t j = 0; j < n; j++) {
      const float g = relu && !(y[j] > 0) ? 0 : dy[j];
      acc[j] += g;
      acx[j] += g * (x[j] - mean[j]) * rstd[j];
    }
  });
  for (int64_t j = 0; j < n; j++) {
    a->dbeta[j] += static_cast<float>(sum[j]);
    a->dgamma[j] += static_cast<float>(sum[n + j]);
  }
  if (!a->dx.p) return;
  std::vector<float> s(2 * n), scale(n);
  for (int64_t j = 0; j < n; j++) {
    s[j] = a->frozen ? 0 : static_cast<float>(sum[j] / a->total);
    s[n + j] = a->frozen ? 0 : static_cast<float>(sum[n + j] / a->total);
    scale[j] = a->gamma[j] * a->rstd[j];
  }
  each(rows, kRows, rows * n, [&](int64_t lo, int64_t hi) {
    const float *__restrict s0 = s.data(), *__restrict s1 = s.data() + n, *__restrict k = scale.data();
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *y = row(a->y, r), *dy = row(a->dy, r);
      float *dx = row(a->dx, r);
      const float m = a->mult ? a->mult[r] : 1.0f;
      const bool keep = a->accumulate; // or dx is not read: it may hold NaN
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float g = relu && !(y[j] > 0) ? 0 : dy[j];
        const float xhat = (x[j] - mean[j]) * rstd[j];
        dx[j] = (keep ? dx[j] : 0) + k[j] * (g - m * (s0[j] + xhat * s1[j]));
      }
    }
  });
}

void batch_norm_tangent(const tw_norm_args *a) {
  const int64_t n = a->x.cols, rows = a->x.rows;
  std::vector<double> sum(2 * n);
  const float *__restrict mean = a->mean, *__restrict rstd = a->rstd;
  if (!a->frozen)
    column_sums<2>(rows, n, sum.data(), [&](int64_t r, float *__restrict acc) {
      const float *__restrict x = row(a->x, r), *__restrict t = row(a->tx, r);
      float *__restrict acx = acc + n;
      const float m = a->mult ? a->mult[r] : 1.0f;
      for (int64_t j = 0; j < n; j++) {
        acc[j] += m * t[j];
        acx[j] += m * t[j] * (x[j] - mean[j]) * rstd[j];
      }
    });
  std::vector<float> s(2 * n);
  for (int64_t j = 0; j < 2 * n; j++) s[j] = static_cast<float>(sum[j] / a->total);
  each(rows, kRows, rows * n, [&](int64_t lo, int64_t hi) {
    const float *__restrict s0 = s.data(), *__restrict s1 = s.data() + n;
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *y = row(a->y, r), *t = row(a->tx, r);
      float *ty = row(a->ty, r);
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float xhat = (x[j] - mean[j]) * rstd[j];
        const float v = a->tgamma[j] * xhat + a->tbeta[j] + a->gamma[j] * rstd[j] * (t[j] - s0[j] - xhat * s1[j]);
        ty[j] = a->relu && !(y[j] > 0) ? 0 : v;
      }
    }
  });
}

void running(const tw_running_args *a) {
  for (int64_t j = 0; j < a->n; j++) {
    double v = 1 / (static_cast<double>(a->rstd[j]) * a->rstd[j]) - a->eps;
    if (a->total > 1) v *= a->total / (a->total - 1);
    a->run_mean[j] += static_cast<float>(a->momentum * (a->mean[j] - a->run_mean[j]));
    a->run_var[j] += static_cast<float>(a->momentum * (v - a->run_var[j]));
  }
}

void layer_norm(const tw_norm_args *a) {
  const int64_t n = a->x.cols;
  each(a->x.rows, kRows, a->x.rows * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r);
      float *y = row(a->y, r);
      float s = 0, q = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t j = 0; j < n; j++) s += x[j];
      const float mean = s / n;
#pragma omp simd reduction(+ : q)
      for (int64_t j = 0; j < n; j++) q += (x[j] - mean) * (x[j] - mean);
      const float rstd = static_cast<float>(1 / std::sqrt(static_cast<double>(q) / n + a->eps));
      a->mean[r] = mean;
      a->rstd[r] = rstd;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float v = (x[j] - mean) * rstd * a->gamma[j] + a->beta[j];
        y[j] = a->relu && !(v > 0) ? 0 : v;
      }
    }
  });
}

void layer_norm_grad(const tw_norm_args *a) {
  const int64_t n = a->x.cols, rows = a->x.rows;
  std::vector<double> sum(2 * n);
  column_sums<2>(rows, n, sum.data(), [&](int64_t r, float *__restrict acc) {
    const bool relu = a->relu;
    const float *__restrict x = row(a->x, r), *__restrict y = row(a->y, r), *__restrict dy = row(a->dy, r);
    float *__restrict acx = acc + n;
    const float mean = a->mean[r], rstd = a->rstd[r];
    for (int64_t j = 0; j < n; j++) {
      const float g = relu && !(y[j] > 0) ? 0 : dy[j];
      acc[j] += g;
      acx[j] += g * (x[j] - mean) * rstd;
    }
  });
  for (int64_t j = 0; j < n; j++) {
    a->dbeta[j] += static_cast<float>(sum[j]);
    a->dgamma[j] += static_cast<float>(sum[n + j]);
  }
  if (!a->dx.p) return;
  each(rows, kRows, rows * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *y = row(a->y, r), *dy = row(a->dy, r);
      float *dx = row(a->dx, r);
      const bool relu = a->relu;
      const float mean = a->mean[r], rstd = a->rstd[r], *gamma = a->gamma;
      float s0 = 0, s1 = 0;
#pragma omp simd reduction(+ : s0, s1)
      for (int64_t j = 0; j < n; j++) {
        const float g = (relu && !(y[j] > 0) ? 0 : dy[j]) * gamma[j];
        s0 += g;
        s1 += g * (x[j] - mean) * rstd;
      }
      s0 /= n;
      s1 /= n;
      if (!a->accumulate)
        for (int64_t j = 0; j < n; j++) dx[j] = 0;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float g = (relu && !(y[j] > 0) ? 0 : dy[j]) * gamma[j];
        dx[j] += rstd * (g - s0 - (x[j] - mean) * rstd * s1);
      }
    }
  });
}

void layer_norm_tangent(const tw_norm_args *a) {
  const int64_t n = a->x.cols;
  each(a->x.rows, kRows, a->x.rows * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      const float *x = row(a->x, r), *y = row(a->y, r), *t = row(a->tx, r);
      float *ty = row(a->ty, r);
      const float mean = a->mean[r], rstd = a->rstd[r];
      float s0 = 0, s1 = 0;
#pragma omp simd reduction(+ : s0, s1)
      for (int64_t j = 0; j < n; j++) {
        s0 += t[j];
        s1 += t[j] * (x[j] - mean) * rstd;
      }
      s0 /= n;
      s1 /= n;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) {
        const float xhat = (x[j] - mean) * rstd;
        const float v = a->tgamma[j] * xhat + a->tbeta[j] + a->gamma[j] * rstd * (t[j] - s0 - xhat * s1);
        ty[j] = a->relu && !(y[j] > 0) ? 0 : v;
      }
    }
  });
}
