// The CPU kernels, compiled once per instruction set into the namespace TW_ISA.
//
// Work is split into chunks whose boundaries depend on the shapes alone and every sum is taken in an order fixed by them,
// so results are the same bits for any number of threads. Loops over columns are left to the compiler to vectorise; sums
// within a chunk are reassociated by `omp simd`, which depends on the instruction set but not on the run.

namespace TW_ISA {

constexpr int64_t kRows = 64;          // rows of a chunk in row-wise kernels
constexpr int64_t kStatRows = 256;     // rows of a partial sum
constexpr int64_t kVector = 1 << 14;   // elements of a chunk of a flat vector
constexpr int64_t kLateRows = 16;      // rows of a chunk that take the steps they have put off
constexpr int64_t kBlock = 64;         // columns of a chunk in kernels that sum over all rows
constexpr int64_t kTableRows = 1024;   // rows of a chunk in kernels that sum into a table, at least
constexpr int64_t kSmall = 1 << 17;    // elements below which one thread is faster

inline int64_t chunks(int64_t n, int64_t size) { return (n + size - 1) / size; }

// each runs body(lo, hi) over chunks of n items; cost is the number of elements touched.
template <class F>
inline void each(int64_t n, int64_t size, int64_t cost, F body) {
  const int64_t count = chunks(n, size);
#pragma omp parallel for schedule(dynamic) num_threads(tw_threads) if (cost > kSmall && count > 1)
  for (int64_t i = 0; i < count; i++) body(i * size, std::min(n, (i + 1) * size));
}

// room returns memory of n values that lives until the calling thread asks for the same place again.
template <class T, int Place>
inline T *room(int64_t n) {
  static thread_local std::vector<T> v;
  if (static_cast<int64_t>(v.size()) < n) v.resize(n);
  return v.data();
}

// scratch returns zeroed memory of n values that lives until the calling thread asks again.
template <class T>
inline T *scratch(int64_t n) {
  T *p = room<T, 0>(n);
  std::fill_n(p, n, T(0));
  return p;
}

inline float *row(const tw_mat &m, int64_t i) { return m.p + i * m.ld; }

// expf to 1 ulp or so by 2^n * polynomial (coefficients: minimax of degree 6 on [-ln2/2, ln2/2]); vectorisable.
inline float fast_exp(float x) {
  x = x < -87.3f ? -87.3f : x > 88.3f ? 88.3f : x;
  const float n = __builtin_rintf(x * 1.44269504088896341f);
  float r = x - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723212e-6f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  union { int32_t i; float f; } s;
  s.i = (static_cast<int32_t>(n) + 127) << 23;
  return p * s.f;
}

// ---------------------------------------------------------------- dense

// column_sums adds, for every column, weight(r) * value(r, c) over all rows into out (cols) as double: partial sums over
// chunks of rows, added in order.
template <int N, class F>
inline void column_sums(int64_t rows, int64_t cols, double *out, F add) {
  const int64_t parts = chunks(rows, kStatRows), width = N * cols;
  float *partial = scratch<float>(parts * width);
#pragma omp parallel for schedule(dynamic) num_threads(tw_threads) if (rows * cols > kSmall && parts > 1)
  for (int64_t p = 0; p < parts; p++)
    for (int64_t r = p * kStatRows; r < std::min(rows, (p + 1) * kStatRows); r++) add(r, partial + p * width);
  for (int64_t j = 0; j < width; j++) out[j] = 0;
  for (int64_t p = 0; p < parts; p++)
    for (int64_t j = 0; j < width; j++) out[j] += partial[p * width + j];
}

void colsum(const tw_colsum_args *a) {
  const int64_t n = a->src.cols;
  std::vector<double> sum(n);
  // Eight rows at a time: the partial sums are read and written once for all of them.
  const int64_t ld = a->src.ld, whole = a->src.rows / 8;
  column_sums<1>(chunks(a->src.rows, 8), n, sum.data(), [&](int64_t g, float *__restrict acc) {
    const float *__restrict x = row(a->src, 8 * g);
    if (g < whole) {
      for (int64_t j = 0; j < n; j++) {
        const float *c = x + j;
        acc[j] += ((c[0] + c[ld]) + (c[2 * ld] + c[3 * ld])) + ((c[4 * ld] + c[5 * ld]) + (c[6 * ld] + c[7 * ld]));
      }
      return;
    }
    for (int64_t r = 8 * g; r < a->src.rows; r++)
      for (int64_t j = 0; j < n; j++) acc[j] += row(a->src, r)[j];
  });
  for (int64_t j = 0; j < n; j++) a->dst[j] = static_cast<float>(a->accumulate ? a->dst[j] + sum[j] : sum[j]);
}

// ---------------------------------------------------------------- sparse

void aggregate(const tw_aggregate_args *a) {
  const int64_t n = a->out.cols;
  const tw_csr &s = a->csr;
  each(s.rows, kRows, (s.nnz + s.rows) * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      float *__restrict out = row(a->out, r);
      if (!a->accumulate)
        for (int64_t j = 0; j < n; j++) out[j] = 0;
      for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
        const float *__restrict h = row(a->h, s.col[k]);
        const float w = s.w ? s.w[k] : 1.0f;
        if (a->e.p) {
          const float *__restrict e = row(a->e, s.code[k]);
          for (int64_t j = 0; j < n; j++) out[j] += w * (h[j] + e[j]);
        } else {
          for (int64_t j = 0; j < n; j++) out[j] += w * h[j];
        }
      }
    }
  });
}

// table_sums adds values of all rows into the rows of a table: every chunk of rows into a table of its own, which stays in the
// cache, then chunk after chunk. Chunks are so large that adding them up costs little.
template <class F>
inline void table_sums(int64_t rows, const tw_mat &table, int64_t cost, F add) {
  const int64_t n = table.cols, size = std::max(kTableRows, 4 * table.rows), parts = chunks(rows, size);
  if (parts <= 1) {
    for (int64_t r = 0; r < rows; r++) add(r, table.p, table.ld);
    return;
  }
  float *partial = scratch<float>(parts * table.rows * n);
  each(rows, size, cost, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) add(r, partial + lo / size * table.rows * n, n);
  });
  each(table.rows, 1, parts * table.rows * n, [&](int64_t i, int64_t) {
    float *__restrict d = row(table, i);
    for (int64_t p = 0; p < parts; p++) {
      const float *__restrict from = partial + (p * table.rows + i) * n;
      for (int64_t j = 0; j < n; j++) d[j] += from[j];
    }
  });
}

void edge_grad(const tw_edge_grad_args *a) {
  const tw_csr &s = a->csr;
  const int64_t n = a->de.cols;
  table_sums(s.rows, a->de, (s.nnz + s.rows) * n, [&](int64_t r, float *table, int64_t ld) {
    const float *__restrict g = row(a->dout, r);
    for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
      float *__restrict d = table + s.code[k] * ld;
      const float w = s.w ? s.w[k] : 1.0f;
      for (int64_t j = 0; j < n; j++) d[j] += w * g[j];
    }
  });
}

void embedding(const tw_embedding_args *a) {
  const int64_t n = a->out.cols;
  each(a->out.rows, kRows, a->out.rows * a->fields * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      float *__restrict out = row(a->out, r);
      for (int64_t j = 0; j < n; j++) out[j] = 0;
      for (int64_t f = 0; f < a->fields; f++) {
        const float *__restrict t = row(a->table, a->idx[r * a->fields + f]);
        for (int64_t j = 0; j < n; j++) out[j] += t[j];
      }
    }
  });
}

void embedding_grad(const tw_embedding_args *a) {
  const int64_t n = a->out.cols;
  table_sums(a->out.rows, a->table, a->out.rows * a->fields * n, [&](int64_t r, float *table, int64_t ld) {
    const float *__restrict g = row(a->out, r);
    for (int64_t f = 0; f < a->fields; f++) {
      float *__restrict t = table + a->idx[r * a->fields + f] * ld;
      for (int64_t j = 0; j < n; j++) t[j] += g[j];
    }
  });
}

void segment_max(const tw_segment_max_args *a) {
  const int64_t n = a->out.cols;
  const tw_csr &s = a->csr;
  each(s.rows, kRows, s.nnz * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++) {
      float *__restrict out = row(a->out, r);
      int32_t *__restrict arg = a->arg + r * n;
      for (int64_t j = 0; j < n; j++) out[j] = 0, arg[j] = -1;
      for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
        const float *__restrict h = row(a->h, s.col[k]);
        for (int64_t j = 0; j < n; j++)
          if (arg[j] < 0 || h[j] > out[j]) out[j] = h[j], arg[j] = s.col[k];
      }
    }
  });
}

void segment_max_grad(const tw_segment_max_args *a) {
  const int64_t n = a->out.cols;
  each(n, kBlock, a->out.rows * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = 0; r < a->out.rows; r++)
      for (int64_t j = lo; j < hi; j++)
        if (a->arg[r * n + j] >= 0) row(a->h, a->arg[r * n + j])[j] += row(a->out, r)[j];
  });
}

void segment_max_tangent(const tw_segment_max_args *a) {
  const int64_t n = a->out.cols;
  each(a->out.rows, kRows, a->out.rows * n, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++)
      for (int64_t j = 0; j < n; j++) row(a->out, r)[j] = a->arg[r * n + j] < 0 ? 0 : row(a->h, a->arg[r * n + j])[j];
  });
}

// ---------------------------------------------------------------- attention

constexpr float kLeak = 0.2f;

inline float dot(const float *__restrict x, const float *__restrict y, int64_t n) {
  float s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < n; j++) s += x[j] * y[j];
  return s;
}

// <v, x + e> over one head
inline float dot_message(const float *__restrict v, const float *__restrict x, const float *__restrict e, int64_t n) {
  float s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t j = 0; j < n; j++) s += v[j] * (x[j] + e[j]);
  return s;
}

void gat(const tw_gat_args *a) {
  const tw_csr &s = a->csr;
  const int64_t c = a->x.cols / a->heads;
  each(s.rows, kRows, s.nnz * a->x.cols * 3, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++)
      for (int64_t h = 0; h < a->heads; h++) {
        const float *att = row(a->att, h);
        float *__restrict out = row(a->out, r) + h * c;
        const float own = dot(att, row(a->x, a->self[r]) + h * c, c);
        float top = -INFINITY, sum = 0;
        for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
          float z = own + dot_message(att + c, row(a->x, s.col[k]) + h * c, row(a->e, s.code[k]) + h * c, c);
          row(a->score, k)[h] = z;
          z = z < 0 ? kLeak * z : z;
          row(a->alpha, k)[h] = z;
          top = std::max(top, z);
        }
        for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) sum += row(a->alpha, k)[h] = fast_exp(row(a->alpha, k)[h] - top);
        for (int64_t j = 0; j < c; j++) out[j] = 0;
        for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
          const float w = row(a->alpha, k)[h] /= sum;
          const float *__restrict x = row(a->x, s.col[k]) + h * c, *__restrict e = row(a->e, s.code[k]) + h * c;
          for (int64_t j = 0; j < c; j++) out[j] += w * (x[j] + e[j]);
        }
      }
  });
}

void gat_grad(const tw_gat_args *a) {
  const tw_csr &s = a->csr;
  const int64_t c = a->x.cols / a->heads, nodes = a->x.rows;
  // Scores first, one row at a time.
  each(s.rows, kRows, s.nnz * a->x.cols, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; r++)
      for (int64_t h = 0; h < a->heads; h++) {
        float mean = 0;
        for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
          const float d = dot_message(row(a->dout, r) + h * c, row(a->x, s.col[k]) + h * c, row(a->e, s.code[k]) + h * c, c);
          row(a->dscore, k)[h] = d;
          mean += row(a->alpha, k)[h] * d;
        }
        for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
          float d = row(a->alpha, k)[h] * (row(a->dscore, k)[h] - mean);
          row(a->dscore, k)[h] = row(a->score, k)[h] < 0 ? kLeak * d : d;
        }
      }
  });
  // Receiving row of every edge, for the transposed walk.
  int32_t *from = scratch<int32_t>(s.nnz);
  for (int64_t r = 0; r < s.rows; r++)
    for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) from[k] = static_cast<int32_t>(r);
  each(nodes, kRows, s.nnz * a->x.cols, [&](int64_t lo, int64_t hi) {
    for (int64_t v = lo; v < hi; v++)
      for (int64_t h = 0; h < a->heads; h++) {
        float *__restrict dx = row(a->dx, v) + h * c;
        const float *__restrict att = row(a->att, h);
        for (int64_t i = a->t.ptr[v]; i < a->t.ptr[v + 1]; i++) {
          const int64_t k = a->t.col[i];
          const float w = row(a->alpha, k)[h], d = row(a->dscore, k)[h];
          const float *__restrict g = row(a->dout, from[k]) + h * c;
          for (int64_t j = 0; j < c; j++) dx[j] += w * g[j] + d * att[c + j];
        }
        float d = 0;
        for (int64_t i = a->tself.ptr[v]; i < a->tself.ptr[v + 1]; i++)
          for (int64_t k = s.ptr[a->tself.col[i]]; k < s.ptr[a->tself.col[i] + 1]; k++) d += row(a->dscore, k)[h];
        for (int64_t j = 0; j < c; j++) dx[j] += d * att[j];
      }
  });
  // Tables are small: split by columns, edges in order.
  each(a->x.cols, kBlock, s.nnz * a->x.cols * 3, [&](int64_t lo, int64_t hi) {
    for (int64_t r = 0; r < s.rows; r++)
      for (int64_t k = s.ptr[r]; k < s.ptr[r + 1]; k++) {
        const float *x = row(a->x, s.col[k]), *e = row(a->e, s.code[k]), *own = row(a->x, a->self[r]), *g = row(a->dout, r);
        float *de = row(a->de, s.code[k]);
        for (int64_t i = lo; i < hi;) {
          const int64_t h = i / c, end = std::min(hi, (h + 1) * c), j0 = i - h * c;
          const float w = row(a->alpha, k)[h], d = row(a->dscore, k)[h];
          const float *att = row(a->att, h) + c;
          float *d0 = row(a->datt, h), *d1 = d0 + c;
          for (int64_t j = j0; j < j0 + end - i; j++) {
            const int64_t q = h * c + j;
            de[q] += w * g[q] + d * att[j];
            d0[j] += d * own[q];
            d1[j] += d * (x[q] + e[q]);
          }
          i = end;
        }
      }
  });
}

void gat_tangent(const tw_gat_args *a) {
  const tw_csr &s = a->csr;
  const int64_t c = a->x.cols / a->heads;
  each(s.rows, kRows, s.nnz * a->x.cols * 3, [&](int64_t lo, int64_t hi) {
    std::vector<float> t;
    for (int64_t r = lo; r < hi; r++)
      for (int64_t h = 0; h < a->heads; h++) {
        const int64_t k0 = s.ptr[r], k1 = s.ptr[r + 1], o = h * c;
        const float *att = row(a->att, h), *ta = row(a->tatt, h);
        const float own = dot(ta, row(a->x, a->self[r]) + o, c) + dot(att, row(a->tx, a->self[r]) + o, c);
        t.assign(k1 - k0, 0);
        float mean = 0;
        for (int64_t k = k0; k < k1; k++) {
          float d = own + dot_message(ta + c, row(a->x, s.col[k]) + o, row(a->e, s.code[k]) + o, c) +
                    dot_message(att + c, row(a->tx, s.col[k]) + o, row(a->te, s.code[k]) + o, c);
          d = row(a->score, k)[h] < 0 ? kLeak * d : d;
          t[k - k0] = d;
          mean += row(a->alpha, k)[h] * d;
        }
        float *__restrict out = row(a->tout, r) + o;
        for (int64_t j = 0; j < c; j++) out[j] = 0;
        for (int64_t k = k0; k < k1; k++) {
          const float w = row(a->alpha, k)[h], d = w * (t[k - k0] - mean);
          const float *__restrict x = row(a->x, s.col[k]) + o, *__restrict e = row(a->e, s.code[k]) + o;
          const float *__restrict tx = row(a->tx, s.col[k]) + o, *__restrict te = row(a->te, s.code[k]) + o;
          for (int64_t j = 0; j < c; j++) out[j] += d * (x[j] + e[j]) + w * (tx[j] + te[j]);
        }
      }
  });
}

#include "lanes.h"
#include "product.h"
#include "gemm.h"
#include "norm.h"
#include "element.h"
#include "encoder.h"
#include "attention.h"
}  // namespace TW_ISA
