// Message passing, embeddings and readouts.
//
// Contract of every kernel here, unless it says otherwise
//   shapes  f32 row-major, leading dimensions in the arguments; ptr (rows+1), col, code (nnz) i32. Columns beyond cols are
//           neither read nor written. v4 variants need leading dimensions that are multiples of 4 and aligned addresses.
//   alias   no output is an input.
//   order   of every sum fixed by the shapes and the graph: bitwise repeatable, no atomics.
//   launch  any grid; blockDim as in launch.go. Offsets are 64-bit.
//   cost    memory bound; bytes and flops are those of kernels/op.
//   oracle  kernels/ref/sparse.go
#include "segment.cuh"

// ---------------------------------------------------------------- neighbourhood sums

// tw_aggregate_f32: sum over a row's neighbours, with an edge embedding (Xu 2019; Hu 2020).
//   out[r,c] (+)= sum over k in [ptr[r], ptr[r+1]) of w[k] * (h[col[k],c] + e[code[k],c])
// shapes   out (R,C), h (N,C), e (codes,C) or null, w (nnz) or null for ones.
// empty    a row without neighbours gets 0, or stays when accumulated.
// scratch  of chunks (segment.cuh); null where nnz <= kChunk. tw_aggregate_long_f32 then finishes the long rows.
// cost     bytes 4*(nnz*C + R*C + codes*C) + 4*(R+1) + 8*nnz, flops up to 3*nnz*C. e stays in the L1 cache.
struct Aggregate {
  const tw_aggregate_args &a;
  const tw_csr &csr;
  int64_t cols;
  template <int W>
  __device__ auto edge(Width<W>, int64_t c) const {
    return [this, c](int64_t k, bool there) {
      const bool edge = there && a.e.p, weighted = there && csr.w;
      Pack<W> x = load_if<W>(row(a.h, load_if(csr.col + k, there)) + c, there);
      add(x, load_if<W>(row(a.e, load_if(csr.code + k, edge)) + c, edge));
      const float s = load_if(csr.w + k, weighted, 1);
#pragma unroll
      for (int i = 0; i < W; i++) x.v[i] *= s;
      return x;
    };
  }
  template <int W>
  __device__ void put(Width<W>, int64_t r, int64_t c, const Pack<W> &sum) const {
    ::put(row(a.out, r) + c, sum, a.accumulate);
  }
};

#define TW_AGGREGATE(V)                                                                       \
  TW_KERNEL(kThreads, 2) tw_aggregate_v##V##_f32(tw_aggregate_args a, void *scratch) {              \
    segment_sum<V>(Aggregate{a, a.csr, a.out.cols}, scratch);                                 \
  }                                                                                           \
  TW_KERNEL(kThreads) tw_aggregate_long_v##V##_f32(tw_aggregate_args a, void *scratch) {         \
    segment_sum_long<V>(Aggregate{a, a.csr, a.out.cols}, scratch);                            \
  }
TW_AGGREGATE(4)
TW_AGGREGATE(1)

// ---------------------------------------------------------------- gradients of tables

// tw_edge_grad_f32: gradient of tw_aggregate_f32 in its edge table.
//   de[code[k],c] += w[k] * dout[r,c] for k in row r
// shapes   dout (R,C), de (codes,C).
// scratch  parts × codes × padded C floats (segment.cuh); null with a single part. tw_edge_grad_parts_f32 then adds them up.
// cost     bytes 4*(R*C + 2*codes*C) + 4*(R+1) + 8*nnz, flops 2*nnz*C.
struct EdgeGrad {
  const tw_edge_grad_args &a;
  int64_t rows, table, cols;
  __device__ int64_t begin(int64_t r) const { return a.csr.ptr[r]; }
  __device__ int64_t end(int64_t r) const { return a.csr.ptr[r + 1]; }
  __device__ int32_t code(int64_t k) const { return a.csr.code[k]; }
  template <int W>
  struct Column {
    const tw_edge_grad_args &a;
    int64_t c;
    __device__ Pack<W> value(int64_t r) const { return load<W>(row(a.dout, r) + c); }
    __device__ void add(Pack<W> &sum, int64_t k, const Pack<W> &x) const { add_scaled(sum, a.csr.w ? a.csr.w[k] : 1.0f, x); }
  };
  template <int W>
  __device__ Column<W> column(Width<W>, int64_t c) const { return {a, c}; }
  template <int W>
  __device__ void put(Width<W>, int64_t t, int64_t c, const Pack<W> &sum) const {
    ::put(row(a.de, t) + c, sum, 1);
  }
};

#define TW_EDGE_GRAD(V)                                                                       \
  TW_KERNEL(kThreads, 2) tw_edge_grad_v##V##_f32(tw_edge_grad_args a, void *scratch) {           \
    table_sum<V>(EdgeGrad{a, a.csr.rows, a.de.rows, a.de.cols}, scratch);                     \
  }                                                                                           \
  TW_KERNEL(32 * kSumWarps, 1) tw_edge_grad_parts_v##V##_f32(tw_edge_grad_args a, void *scratch) { \
    table_parts<V>(EdgeGrad{a, a.csr.rows, a.de.rows, a.de.cols}, scratch);                   \
  }
TW_EDGE_GRAD(4)
TW_EDGE_GRAD(1)

// tw_embedding_f32: sum of the embeddings of a row's categorical features (Hu 2020).
//   out[r,c] = sum over f in [0, F) of table[idx[r*F+f],c]
// shapes   out (R,C), table (codes,C), idx (R*F) i32. Columns lie along x, rows along y and blocks.
// cost     bytes 4*(R*C + codes*C + R*F), flops R*C*F. The table stays in the caches.
template <int V>
TW_DEV void embedding(const tw_embedding_args &a) {
  cells<V>(a.out.rows, a.out.cols, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    store(row(a.out, r) + c, ordered_sum<W>(r * a.fields, (r + 1) * a.fields, 1, [&](int64_t k, bool there) {
      return load_if<W>(row(a.table, load_if(a.idx + k, there)) + c, there);
    }));
  });
}

// tw_embedding_grad_f32: gradient of tw_embedding_f32 in its table.
//   table[idx[r*F+f],c] += out[r,c]   (here out is the gradient of the sum and table that of the table)
// scratch  as of tw_edge_grad_f32; tw_embedding_grad_parts_f32 adds up the parts.
// cost     bytes 4*(R*C + 2*codes*C + R*F), flops R*C*F.
struct EmbeddingGrad {
  const tw_embedding_args &a;
  int64_t rows, table, cols;
  __device__ int64_t begin(int64_t r) const { return r * a.fields; }
  __device__ int64_t end(int64_t r) const { return (r + 1) * a.fields; }
  __device__ int32_t code(int64_t k) const { return a.idx[k]; }
  template <int W>
  struct Column {
    const tw_embedding_args &a;
    int64_t c;
    __device__ Pack<W> value(int64_t r) const { return load<W>(row(a.out, r) + c); }
    __device__ void add(Pack<W> &sum, int64_t, const Pack<W> &x) const { ::add(sum, x); }
  };
  template <int W>
  __device__ Column<W> column(Width<W>, int64_t c) const { return {a, c}; }
  template <int W>
  __device__ void put(Width<W>, int64_t t, int64_t c, const Pack<W> &sum) const {
    ::put(row(a.table, t) + c, sum, 1);
  }
};

#define TW_EMBEDDING(V)                                                                       \
  TW_KERNEL(kThreads) tw_embedding_v##V##_f32(tw_embedding_args a, void *) { embedding<V>(a); }  \
  TW_KERNEL(kThreads, 2) tw_embedding_grad_v##V##_f32(tw_embedding_args a, void *scratch) {      \
    table_sum<V>(EmbeddingGrad{a, a.out.rows, a.table.rows, a.table.cols}, scratch);          \
  }                                                                                           \
  TW_KERNEL(32 * kSumWarps, 1) tw_embedding_grad_parts_v##V##_f32(tw_embedding_args a, void *scratch) { \
    table_parts<V>(EmbeddingGrad{a, a.out.rows, a.table.rows, a.table.cols}, scratch);        \
  }
TW_EMBEDDING(4)
TW_EMBEDDING(1)

// ---------------------------------------------------------------- maxima

// tw_segment_max_f32: largest neighbour in each column.
//   out[r,c] = max over k in row r of h[col[k],c],  arg[r*C+c] = the row of h it came from, the first among equals
// shapes   out (R,C), h (N,C), arg (R*C) i32 without padding; in the v4 variant C is a multiple of 4 and arg aligned.
// empty    a row without neighbours gets 0 and -1.
// cost     bytes 4*(nnz*C + 2*R*C) + 4*(R+1) + 4*nnz, flops nnz*C.
template <int V>
TW_DEV void segment_max(const tw_segment_max_args &a) {
  const tw_csr &s = a.csr;
  cells<V>(s.rows, a.out.cols, [&](auto w, int64_t r, int64_t c) {
    constexpr int W = decltype(w)::value;
    Pack<W> best = {};
    int32_t arg[W];
#pragma unroll
    for (int i = 0; i < W; i++) arg[i] = -1;
    const int64_t end = s.ptr[r + 1];
#pragma unroll 4
    for (int64_t k = s.ptr[r]; k < end; k++) {
      const int32_t from = s.col[k];
      const Pack<W> x = load<W>(row(a.h, from) + c);
#pragma unroll
      for (int i = 0; i < W; i++)
        if (arg[i] < 0 || x.v[i] > best.v[i]) best.v[i] = x.v[i], arg[i] = from;
    }
    store(row(a.out, r) + c, best);
    Pack<W> bits;
#pragma unroll
    for (int i = 0; i < W; i++) bits.v[i] = __int_as_float(arg[i]);
    store(reinterpret_cast<float *>(a.arg) + r * a.out.cols + c, bits);
  });
}

// tw_segment_max_tangent_f32: out[r,c] = h[arg[r*C+c],c], 0 where arg is -1.
// cost     bytes 12*R*C.
TW_DEV void segment_max_tangent(const tw_segment_max_args &a) {
  cells<1>(a.out.rows, a.out.cols, [&](auto, int64_t r, int64_t c) {
    const int32_t from = a.arg[r * a.out.cols + c];
    row(a.out, r)[c] = from < 0 ? 0 : row(a.h, from)[c];
  });
}

// tw_segment_max_grad_f32: h[arg[r*C+c],c] += out[r,c], r ascending (here out is the gradient of the maxima, h that of their source).
// order    a warp owns a column and takes 32 rows at a time. Where several of them won with the same row of h, each lane finds
//          their sum, in order of r, and the first of them adds it: the list of winners need not be turned round.
// launch   kThreads threads: the eight warps of a block take neighbouring columns, which share the 32-byte sectors of a row.
// cost     bytes 16*R*C, flops R*C.
TW_DEV void segment_max_grad(const tw_segment_max_args &a) {
  const int lane = threadIdx.x % 32;
  warp_rows(a.out.cols, [&](int64_t c) {
    for (int64_t r0 = 0; r0 < a.out.rows; r0 += 32) {
      const int64_t r = r0 + lane;
      const int32_t to = r < a.out.rows ? a.arg[r * a.out.cols + c] : -1;
      const float x = to < 0 ? 0 : row(a.out, r)[c];
      float sum = 0;
      bool first = to >= 0;
#pragma unroll 8
      for (int i = 0; i < 32; i++) {
        const float other = __shfl_sync(0xffffffffu, x, i);
        if (__shfl_sync(0xffffffffu, to, i) != to) continue;
        sum += other;
        first = first && i >= lane;
      }
      if (first) row(a.h, to)[c] += sum;
      __syncwarp();  // before another lane adds to the same element
    }
  });
}

TW_KERNEL(kThreads) tw_segment_max_v4_f32(tw_segment_max_args a, void *) { segment_max<4>(a); }
TW_KERNEL(kThreads) tw_segment_max_v1_f32(tw_segment_max_args a, void *) { segment_max<1>(a); }
TW_KERNEL(kThreads) tw_segment_max_tangent_f32(tw_segment_max_args a, void *) { segment_max_tangent(a); }
TW_KERNEL(kThreads) tw_segment_max_grad_f32(tw_segment_max_args a, void *) { segment_max_grad(a); }
