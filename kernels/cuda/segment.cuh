// Sums over the rows of a sparse matrix, and sums of rows into the rows of a table: what message passing, embeddings, readouts
// and attention are made of. An operation says what is added and where sums go; the order of the sums is fixed here.
#pragma once
#include "columns.cuh"

enum : int {
  kChunk = 64,           // edges of a chunk; a row with more of them is summed chunk by chunk
  kTableFloats = 12288,  // of shared memory for private tables
  kTableRows = 256,      // rows of a part of a table sum, at least
};

// ---------------------------------------------------------------- rows of a sparse matrix

// row_of returns the row that edge k belongs to.
TW_DEV int64_t row_of(const tw_csr &s, int64_t k) {
  int64_t lo = 0, hi = s.rows;
  while (lo < hi) {
    const int64_t mid = (lo + hi) / 2;
    if (s.ptr[mid + 1] > k)
      hi = mid;
    else
      lo = mid + 1;
  }
  return lo;
}

// Scratch of a segment sum: for each chunk the sum of the long row that comes into it and that of the long row that begins
// after its first edge, then the long row that begins in the chunk, or -1.
struct Chunks {
  int64_t n, ld;
  float *sums;
  int32_t *begins;
  __device__ float *sum(int64_t chunk, int which) const { return sums + (2 * chunk + which) * ld; }
};

TW_DEV Chunks chunks_of(const tw_csr &s, int64_t cols, void *scratch) {
  const int64_t n = s.nnz > kChunk ? pieces(s.nnz, kChunk) : 0, ld = padded(cols);
  float *sums = static_cast<float *>(scratch);
  return {n, ld, sums, reinterpret_cast<int32_t *>(sums + 2 * n * ld)};
}

// segment_sum gives op.put(w, r, c, sum) the sum over the edges k of each row r of op.edge(w, c)(k, true), a piece of w columns at c.
// Columns lie along x, rows along y and blocks. A row of at most kChunk edges is summed by the threads of its columns, edge
// after edge; of a longer one (a frequent atom type in a transposed graph) every chunk of the list of edges leaves its part in
// scratch, for segment_sum_long to add up. The host launches that where such rows are possible: where nnz > kChunk.
//
//   op: const tw_csr &csr;  int64_t cols;  edge(w, c) -> (k, there -> Pack);  put(w, r, c, sum)
template <int V, class Op>
TW_DEV void segment_sum(const Op &op, void *scratch) {
  const tw_csr &s = op.csr;
  const Chunks chunks = chunks_of(s, op.cols, scratch);
  auto sum = [&](auto w, int64_t lo, int64_t hi, int64_t c) { return ordered_sum<decltype(w)::value>(lo, hi, 1, op.edge(w, c)); };
  for (int64_t u = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; u < s.rows + chunks.n; u += static_cast<int64_t>(gridDim.x) * blockDim.y) {
    if (u < s.rows) {
      const int64_t lo = s.ptr[u], hi = s.ptr[u + 1];
      if (hi - lo <= kChunk) along<V>(op.cols, threadIdx.x, blockDim.x, [&](auto w, int64_t c) { op.put(w, u, c, sum(w, lo, hi, c)); });
      continue;
    }
    const int64_t chunk = u - s.rows, lo = chunk * kChunk, hi = lo + kChunk < s.nnz ? lo + kChunk : s.nnz;
    const int64_t first = row_of(s, lo), last = row_of(s, hi - 1);
    const int64_t end = s.ptr[first + 1], begin = s.ptr[last];
    const bool comes = end - s.ptr[first] > kChunk, begins = last != first && s.ptr[last + 1] - begin > kChunk;
    if (threadIdx.x == 0) chunks.begins[chunk] = static_cast<int32_t>(begins ? last : comes && s.ptr[first] == lo ? first : -1);
    along<V>(op.cols, threadIdx.x, blockDim.x, [&](auto w, int64_t c) {
      if (comes) store(chunks.sum(chunk, 0) + c, sum(w, lo, end < hi ? end : hi, c));
      if (begins) store(chunks.sum(chunk, 1) + c, sum(w, begin, hi, c));
    });
  }
}

// segment_sum_long adds up the chunks of every long row, in order.
template <int V, class Op>
TW_DEV void segment_sum_long(const Op &op, void *scratch) {
  const tw_csr &s = op.csr;
  const Chunks chunks = chunks_of(s, op.cols, scratch);
  for (int64_t u = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; u < chunks.n; u += static_cast<int64_t>(gridDim.x) * blockDim.y) {
    const int64_t r = chunks.begins[u];
    if (r < 0) continue;
    const int64_t end = pieces(s.ptr[r + 1], kChunk);
    const int which = s.ptr[r] != u * kChunk;
    along<V>(op.cols, threadIdx.x, blockDim.x, [&](auto w, int64_t c) {
      constexpr int W = decltype(w)::value;
      op.put(w, r, c, ordered_sum<W>(u, end, 1, [&](int64_t k, bool there) { return load_if<W>(chunks.sum(k, k == u ? which : 0) + c, there); }));
    });
  }
}

// ---------------------------------------------------------------- rows of a table

// Rows that go into one part: so many that writing and reading the part's table costs little beside them.
TW_DEV int64_t table_part(int64_t table_rows) { return 16 * table_rows > kTableRows ? 16 * table_rows : kTableRows; }

// table_sum adds, for every row r and its entries k in [op.begin(r), op.end(r)), a multiple of the row's value into row op.code(k)
// of a table of op.table rows. Each warp of a block sums its rows of the part, in order, into a table of its own in shared memory;
// the block adds its warps' tables in order, and part_sums the parts'. With a single part op.put gets the sums at once. A table
// that does not fit (hundreds of rows) is cut into ranges of rows, one block each, that read every code but only the values
// they need: no atomics and no sorting, at the price of the codes being read once per range.
//
//   op: int64_t rows, table, cols;  begin(r), end(r), code(k);  column(w, c) -> { value(r) -> Pack;  add(sum, k, value) };
//       put(w, t, c, sum)
//   launch: blockDim (32, warps), grid (parts, tiles of 32 V columns, ranges) or smaller; shared memory for warps × range × 32 V
//   floats, where range = min(table rows, kTableFloats / (32 V warps)).
template <int V, class Op>
TW_DEV void table_sum(const Op &op, void *scratch) {
  extern __shared__ __align__(16) float shared[];
  constexpr int kTile = 32 * V;
  const int warps = blockDim.y, warp = threadIdx.y, lane = threadIdx.x;
  const int64_t size = table_part(op.table), parts = pieces(op.rows, size), fit = kTableFloats / (kTile * warps), ld = padded(op.cols);
  const int range = op.table < fit ? op.table : fit;
  float *own = shared + warp * range * kTile;
  for (int64_t p = blockIdx.x; p < parts; p += gridDim.x)
    for (int64_t c0 = static_cast<int64_t>(blockIdx.y) * kTile; c0 < op.cols; c0 += static_cast<int64_t>(gridDim.y) * kTile)
      for (int32_t t0 = blockIdx.z * range; t0 < op.table; t0 += gridDim.z * range) {
        const int n = op.table - t0 < range ? op.table - t0 : range, width = op.cols - c0 < kTile ? op.cols - c0 : kTile;
        const bool whole = n == op.table;
        const int64_t end = (p + 1) * size < op.rows ? (p + 1) * size : op.rows;
        along<V>(width, lane, 32, [&](auto w, int64_t c) {
          constexpr int W = decltype(w)::value;
          const auto column = op.column(w, c0 + c);
          for (int t = 0; t < n; t++) store(own + t * kTile + c, Pack<W>{});
          for (int64_t r = p * size + warp * kAhead; r < end; r += warps * kAhead) {
            Pack<W> value[kAhead];
#pragma unroll
            for (int i = 0; i < kAhead; i++) {
              bool wanted = whole && r + i < end;
              if (!whole && r + i < end)
                for (int64_t k = op.begin(r + i); k < op.end(r + i) && !wanted; k++) wanted = static_cast<uint32_t>(op.code(k) - t0) < n;
              value[i] = wanted ? column.value(r + i) : Pack<W>{};
            }
#pragma unroll
            for (int i = 0; i < kAhead; i++) {
              const int64_t to = r + i < end ? op.end(r + i) : 0;
#pragma unroll 1
              for (int64_t k = r + i < end ? op.begin(r + i) : 0; k < to; k++) {
                const uint32_t t = op.code(k) - t0;  // below t0: too large
                if (t >= n) continue;
                float *at = own + t * kTile + c;
                Pack<W> sum = load<W>(at);
                column.add(sum, k, value[i]);
                store(at, sum);
              }
            }
          }
        });
        __syncthreads();
        for (int t = warp; t < n; t += warps)
          along<V>(width, lane, 32, [&](auto w, int64_t c) {
            constexpr int W = decltype(w)::value;
            Pack<W> sum = load<W>(shared + t * kTile + c);
            for (int k = 1; k < warps; k++) add(sum, load<W>(shared + (k * range + t) * kTile + c));
            if (parts == 1)
              op.put(w, t0 + t, c0 + c, sum);
            else
              store(static_cast<float *>(scratch) + (p * op.table + t0 + t) * ld + c0 + c, sum);
          });
        __syncthreads();
      }
}

// table_parts adds up what the parts of table_sum left in scratch.
template <int V, class Op>
TW_DEV void table_parts(const Op &op, const void *scratch) {
  part_sums<V>(pieces(op.rows, table_part(op.table)), op.table, op.cols, static_cast<const float *>(scratch),
               [&](auto w, int64_t t, int64_t c, auto sum) { op.put(w, t, c, sum); });
}
