// Matrix products. Part of kernels.h.
//
// As in Goto 2008, both factors are copied into panels that the innermost loop reads from one end to the other: rows of A in panels
// of kPanelRows, columns of B in panels of kPanelCols, both cut along k into pieces. A panel of A stays in the nearest cache while
// panels of B pass by from the next. Every element of C is the sum over a piece, k ascending, added piece by piece: its bits do not
// depend on how the work is divided.

#if TW_LANES == 16
constexpr int64_t kPanelRows = 14;  // accumulators, a row of B and one element of A fill the registers
#else
constexpr int64_t kPanelRows = 6;
#endif
constexpr int kPanelVecs = 2;
constexpr int64_t kPanelCols = kPanelVecs * TW_LANES;
constexpr int64_t kPiece = 448;                        // of k, at most
constexpr int64_t kNear = 80 << 10;                    // elements of B that all of A passes by: they fit the second level cache
constexpr int64_t kHeldRows = 1536, kHeldCols = 1536;  // of A and B that lie in panels at a time
constexpr int64_t kTogether = 4;                       // panels that are copied together, for whole cache lines
constexpr int64_t kSmallFactor = 1 << 21;              // elements
constexpr int64_t kFew = 1 << 16;                      // multiplications below which one thread is faster
constexpr int64_t kLargePart = 1 << 27;                // multiplications
constexpr double kCopy = 24;                           // multiplications in the time that an element takes to copy or read

// ending is what happens to a block of C after its sum over a piece.
struct ending {
  bool add, relu;
  const float *bias;  // of the block's first column, or nil
};

// panel is what the innermost loop reads of a factor: a few elements, and again step further on.
struct panel {
  const float *p;
  int64_t step;
};

// panel_block is C (M, N vectors) = or += A·B over a piece of k. Without Whole C has fewer columns. Meanwhile it calls for the cache
// lines of another panel, which is needed later.
template <int M, int N, bool Whole>
void panel_block(int64_t k, panel left, panel right, panel later, float *c, int64_t ldc, int64_t cols, ending end) {
  const float *a = left.p, *b = right.p, *z = later.p;
  mask some[N];
#pragma GCC unroll 2
  for (int j = 0; j < N; j++) some[j] = first(std::max<int64_t>(0, cols - j * TW_LANES));
  vec s[M][N] = {};
  // C is asked for at the start and needed at the end: it may be far.
#pragma GCC unroll 16
  for (int i = 0; i < M; i++)
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) __builtin_prefetch(c + i * ldc + j * TW_LANES, 1);
#pragma GCC unroll 2
  for (int64_t p = 0; p < k; p++) {
    __builtin_prefetch(z, 0, 2);
    vec y[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; j++) y[j] = Whole ? load<vec>(b + j * TW_LANES) : load(b + j * TW_LANES, some[j]);
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
      const float x = a[i];
#pragma GCC unroll 2
      for (int j = 0; j < N; j++) s[i][j] += x * y[j];
    }
    a += TW_LANES < 16 ? M : left.step;
    b += TW_LANES < 16 ? kPanelCols : right.step;
    z += later.step;
  }
#pragma GCC unroll 2
  for (int j = 0; j < N; j++) {
    const vec shift = !end.bias ? vec{} : Whole ? load<vec>(end.bias + j * TW_LANES) : load(end.bias + j * TW_LANES, some[j]);
#pragma GCC unroll 16
    for (int i = 0; i < M; i++) {
      float *to = c + i * ldc + j * TW_LANES;
      vec v = s[i][j];
      if (end.add) v += Whole ? load<vec>(to) : load(to, some[j]);
      v += shift;
      if (end.relu) v = larger(v, vec{});
      if (Whole)
        store(to, v);
      else
        store(to, some[j], v);
    }
  }
}

using panel_kernel = void (*)(int64_t, panel, panel, panel, float *, int64_t, int64_t, ending);

template <int... M>
inline panel_kernel pick(int64_t rows, int64_t cols, std::integer_sequence<int, M...>) {
  static constexpr panel_kernel kWhole[] = {panel_block<M + 1, 2, true>...}, kWide[] = {panel_block<M + 1, 2, false>...},
                                kNarrow[] = {panel_block<M + 1, 1, false>...};
  return (cols == kPanelCols ? kWhole : cols > TW_LANES ? kWide : kNarrow)[rows - 1];
}

// panel_kernel_of returns the kernel for a block of C of so many rows and columns.
inline panel_kernel panel_kernel_of(int64_t rows, int64_t cols) { return pick(rows, cols, std::make_integer_sequence<int, kPanelRows>()); }

// turned copies s*x, of which n rows of k elements lie ld apart, as k rows of n side by side, `wide` apart: a square of vectors at a
// time. n is at most TW_LANES, and so many elements of every row are written: zeros behind the n.
inline void turned(int64_t n, int64_t k, const float *x, int64_t ld, float *y, int64_t wide, float s = 1) {
  for (int64_t p = 0; p < k; p += TW_LANES) {
    const int64_t there = std::min<int64_t>(k - p, TW_LANES);
    const mask some = first(there), none = first(0);
    vec t[TW_LANES];
#pragma GCC unroll 16
    for (int r = 0; r < TW_LANES; r++) t[r] = load(x + r * ld + p, r < n ? some : none);
    turn(t);
#pragma GCC unroll 16
    for (int r = 0; r < TW_LANES; r++)
      if (r < there) store(y + (p + r) * wide, t[r] * s);  // where rows are closer, the next one writes over the zeros
  }
}

// aligned returns the first address from p on that begins a cache line.
inline float *aligned(float *p) { return p + (64 - reinterpret_cast<uintptr_t>(p) % 64) % 64 / sizeof(float); }

// span is the i-th of so many even parts of [0,n).
struct span {
  int64_t lo, hi;
  span(int64_t n, int64_t parts, int64_t i) : lo(n * i / parts), hi(n * (i + 1) / parts) {}
  span(int64_t first, span s) : lo(first + s.lo), hi(first + s.hi) {}
  span(int64_t lo, int64_t hi) : lo(lo), hi(hi) {}
  int64_t size() const { return hi - lo; }
};

// panels_of_a copies some of the `down` panels of A, a piece p of k.
inline void panels_of_a(const tw_gemm_args *g, span panels, int64_t down, span p, float *to, int64_t stride) {
  for (; panels.size() > kTogether; panels.lo += kTogether, to += kTogether * stride) panels_of_a(g, {panels.lo, panels.lo + kTogether}, down, p, to, stride);
  int64_t first_row[kTogether], n[kTogether];
  mask some[kTogether];
  for (int64_t i = 0; i < panels.size(); i++) {
    const span rows(g->c.rows, down, panels.lo + i);
    first_row[i] = rows.lo, n[i] = rows.size(), some[i] = first(rows.size());
  }
  if (!g->transa)
    for (int64_t i = 0; i < panels.size(); i++) turned(n[i], p.size(), row(g->a, first_row[i]) + p.lo, g->a.ld, to + i * stride, n[i]);
  else
    for (int64_t q = 0; q < p.size(); q++)
      for (int64_t i = 0; i < panels.size(); i++) store(to + i * stride + q * n[i], load(row(g->a, p.lo + q) + first_row[i], some[i]));
}

// panels_of_b copies panels of B, a piece p of k, with zeros behind the last column.
inline void panels_of_b(const tw_gemm_args *g, span panels, span p, float *to, int64_t stride) {
  for (; panels.size() > kTogether; panels.lo += kTogether, to += kTogether * stride) panels_of_b(g, {panels.lo, panels.lo + kTogether}, p, to, stride);
  const int64_t vecs = panels.size() * kPanelVecs, first_col = panels.lo * kPanelCols;
  const auto place = [&](int64_t v) { return to + v / kPanelVecs * stride + v % kPanelVecs * TW_LANES; };
  const auto count = [&](int64_t v) { return std::clamp<int64_t>(g->c.cols - first_col - v * TW_LANES, 0, TW_LANES); };
  if (g->transb) {
    for (int64_t v = 0; v < vecs; v++) turned(count(v), p.size(), row(g->b, first_col + v * TW_LANES) + p.lo, g->b.ld, place(v), kPanelCols);
    return;
  }
  mask some[kTogether * kPanelVecs];
  for (int64_t v = 0; v < vecs; v++) some[v] = first(count(v));
  for (int64_t q = 0; q < p.size(); q++)
    for (int64_t v = 0; v < vecs; v++) store(place(v) + q * kPanelCols, load(row(g->b, p.lo + q) + first_col + v * TW_LANES, some[v]));
}

// A factor whose panels lie in its rows is read where it is, if it is small: a large one comes from far, and in whole rows. Panels
// of narrow vectors are too little of a cache line for that.
inline bool copies_a(const tw_gemm_args *g) { return TW_LANES < 16 || !g->transa || g->a.rows * g->a.cols > kSmallFactor; }
inline bool copies_b(const tw_gemm_args *g) { return TW_LANES < 16 || g->transb || g->b.rows * g->b.cols > kSmallFactor; }

// part_of_gemm computes the given panels of C on one thread, from copies of its own: what another core has written would come from
// its cache.
inline void part_of_gemm(const tw_gemm_args *g, span down, span across) {
  const int64_t m = g->c.rows, n = g->c.cols, k = g->transa ? g->a.rows : g->a.cols, all_down = chunks(m, kPanelRows);
  const int64_t pieces = std::max<int64_t>(1, chunks(k, kPiece)), longest = chunks(k, pieces);
  const int64_t blocks = chunks(down.size(), kHeldRows / kPanelRows), bands = chunks(across.size(), kHeldCols / kPanelCols);
  const bool copy_a = copies_a(g), copy_b = copies_b(g);
  const int64_t stride_a = kPanelRows * longest + TW_LANES, stride_b = kPanelCols * longest;
  float *const panels_a = copy_a ? aligned(room<float, 1>(chunks(down.size(), blocks) * stride_a + 16)) : nullptr;
  float *const panels_b = copy_b ? aligned(room<float, 2>(chunks(across.size(), bands) * stride_b + 16)) : nullptr;
  for (int64_t step = 0; step < bands * blocks * pieces; step++) {
    const int64_t piece = step % pieces, block = step / pieces % blocks;
    const span rows(down.lo, {down.size(), blocks, block}), cols(across.lo, {across.size(), bands, step / pieces / blocks}), p(k, pieces, piece);
    if (copy_b && (block == 0 || pieces > 1)) panels_of_b(g, cols, p, panels_b, stride_b);
    if (copy_a) panels_of_a(g, rows, all_down, p, panels_a, stride_a);
    const span rows_of(m * rows.lo / all_down, m * rows.hi / all_down), cols_of(cols.lo * kPanelCols, std::min(n, cols.hi * kPanelCols));
    const bool add = g->accumulate || piece > 0, last = !g->accumulate && piece == pieces - 1;
    // What the next piece copies comes from far: a line of each of its rows at a time.
    int64_t line = 0;
    const auto later = [&]() -> panel {
      const int64_t lines_a = copy_a && g->transa ? chunks(rows_of.size(), 16) : 0, lines_b = copy_b && !g->transb ? chunks(cols_of.size(), 16) : 0;
      if (piece == pieces - 1 || line >= lines_a + lines_b) return {panels_a, 0};
      const int64_t at = line++;
      return at < lines_a ? panel{row(g->a, p.hi) + rows_of.lo + 16 * at, g->a.ld} : panel{row(g->b, p.hi) + cols_of.lo + 16 * (at - lines_a), g->b.ld};
    };
    // Some panels of B stay near while all of A pass by.
    const int64_t groups = chunks(cols.size(), std::max<int64_t>(1, kNear / std::max<int64_t>(1, stride_b)));
    for (int64_t t = 0; t < groups; t++) {
      const span js(cols.size(), groups, t);
      for (int64_t i = 0; i < rows.size(); i++) {
        const span mine(m, all_down, rows.lo + i);
        const panel left = copy_a ? panel{panels_a + i * stride_a, mine.size()} : panel{row(g->a, p.lo) + mine.lo, g->a.ld};
        for (int64_t j = js.lo; j < js.hi; j++) {
          const int64_t j0 = (cols.lo + j) * kPanelCols, there = std::min(n - j0, kPanelCols);
          const panel right = copy_b ? panel{panels_b + j * stride_b, kPanelCols} : panel{row(g->b, p.lo) + j0, g->b.ld};
          panel_kernel_of(mine.size(), there)(p.size(), left, right, later(), row(g->c, mine.lo) + j0, g->c.ld, there,
                                              {add, last && g->relu, last && g->bias ? g->bias + j0 : nullptr});
        }
      }
    }
  }
}

// C is cut into parts, each of which copies or reads all of its rows of A and columns of B.
struct cut {
  int64_t high, wide;
  double time;  // of all parts, in multiplications by row of k

  // The best of all ways to cut into so many parts.
  cut(const tw_gemm_args *g, int64_t parts) : time(INFINITY) {
    const int64_t down = chunks(g->c.rows, kPanelRows), across = chunks(g->c.cols, kPanelCols);
    for (int64_t h = 1; h <= std::min(down, parts); h++) {
      const int64_t w = std::min(across, parts / h);
      const double rows = static_cast<double>(chunks(down, h) * kPanelRows), cols = static_cast<double>(chunks(across, w) * kPanelCols);
      const double one = rows * cols + kCopy * (rows + cols);
      if (const double all = one * chunks(h * w, tw_threads); all < time) high = h, wide = w, time = all;
    }
  }
};

// More parts than threads even out what disturbs a thread, if they cost little.
void gemm(const tw_gemm_args *g) {
  const int64_t m = g->c.rows, n = g->c.cols, k = g->transa ? g->a.rows : g->a.cols;
  if (m == 0 || n == 0) return;
  const bool few = m * n * k < kFew;
  cut best(g, few ? 1 : tw_threads);
  for (int64_t finer = 2; !few && m * n * k / tw_threads / finer >= kLargePart && finer <= 16; finer *= 2)
    if (const cut c(g, finer * tw_threads); c.time < 1.01 * best.time) best = c;
  const int64_t high = best.high, wide = best.wide;
#pragma omp parallel for schedule(dynamic) num_threads(tw_threads) if (high * wide > 1)
  for (int64_t t = 0; t < high * wide; t++)
    part_of_gemm(g, {chunks(m, kPanelRows), high, t / wide}, {chunks(n, kPanelCols), wide, t % wide});
}
