// Products on one thread of operands that stay in the cache, too small for a library's packing and dispatch. Part of kernels.h.

// A block of the result in registers: M rows of N vectors, each element summed over k ascending. A(i,p) is a[i*lda+p], or with T
// a[p*lda+i]. The last vector is masked unless Whole: AVX2's masked stores are slow. What is added
// to is asked for at the start and needed at the end: it may come from memory.
template <bool T, bool Whole, int M, int N>
void register_block(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, mask last, bool add) {
  vec s[M][N] = {};
  if (add)
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 8
      for (int j = 0; j < N; j++) __builtin_prefetch(c + i * ldc + j * TW_LANES, 1);
  for (int64_t p = 0; p < k; p++) {
    vec y[N];
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) y[j] = j == N - 1 && !Whole ? load(b + j * TW_LANES, last) : load<vec>(b + j * TW_LANES);
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
      const float x = T ? a[i] : a[i * lda];
#pragma GCC unroll 8
      for (int j = 0; j < N; j++) s[i][j] += x * y[j];
    }
    a += T ? lda : 1;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; i++)
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) {
      float *to = c + i * ldc + j * TW_LANES;
      if (j == N - 1 && !Whole)
        store(to, last, add ? load(to, last) + s[i][j] : s[i][j]);
      else
        store(to, add ? load<vec>(to) + s[i][j] : s[i][j]);
    }
}

using register_kernel = void (*)(int64_t, const float *, int64_t, const float *, int64_t, float *, int64_t, mask, bool);

// Rows by vectors: accumulators, a row of B and one element of A fill the registers.
#if TW_LANES == 16
constexpr int kBlockRows[] = {8, 8, 8, 6}, kBlockVecs = 4;
#else
constexpr int kBlockRows[] = {8, 6}, kBlockVecs = 2;  // whole cache lines
#endif

template <bool T, bool Whole, int N, int M>
constexpr register_kernel kPanel = register_block<T, Whole, std::min(M, kBlockRows[N - 1]), N>;

template <bool T, bool Whole, int N>
constexpr register_kernel kPanels[] = {kPanel<T, Whole, N, 1>, kPanel<T, Whole, N, 2>, kPanel<T, Whole, N, 3>, kPanel<T, Whole, N, 4>,
                                       kPanel<T, Whole, N, 5>, kPanel<T, Whole, N, 6>, kPanel<T, Whole, N, 7>, kPanel<T, Whole, N, 8>};

// blocks_of returns the blocks of so many vectors, by their rows less one.
template <bool T, bool Whole>
inline const register_kernel *blocks_of(int64_t vecs) {
  static constexpr const register_kernel *all[] = {kPanels<T, Whole, 1>, kPanels<T, Whole, 2>, kPanels<T, Whole, std::min(3, kBlockVecs)>,
                                                   kPanels<T, Whole, kBlockVecs>};
  return all[vecs - 1];
}

// small_product is C (m,n) = or += A (m,k) · B (k,n), A read transposed with T. Rows and columns are cut evenly.
template <bool T>
void small_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
  const int64_t vecs = padded(n) / TW_LANES, across = chunks(vecs, kBlockVecs);
  for (int64_t x = 0, v0 = 0; x < across; x++) {
    const int64_t v1 = vecs * (x + 1) / across, j = v0 * TW_LANES, rows = kBlockRows[v1 - v0 - 1], down = chunks(m, rows);
    const mask last = first(n - (v1 - 1) * TW_LANES);
    const register_kernel *kernels = v1 * TW_LANES <= n ? blocks_of<T, true>(v1 - v0) : blocks_of<T, false>(v1 - v0);
    for (int64_t y = 0, i0 = 0; y < down; y++) {
      const int64_t i1 = m * (y + 1) / down;
      kernels[i1 - i0 - 1](k, a + (T ? i0 : i0 * lda), lda, b + j, ldb, c + i0 * ldc + j, ldc, last, add);
      i0 = i1;
    }
    v0 = v1;
  }
}
