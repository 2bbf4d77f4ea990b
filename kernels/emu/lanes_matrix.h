// Matrices and asynchronous copies: what tensor-core kernels are made of.

#include "lanes_access.h"
#include "lanes_half.h"

inline void whole_warp(const Warp &w, const Inst &i) {
  if (w.mask == ~0u) return;
  fault(w, i, first_lane(w.mask), kLaunchFailed, "warp-sync",
        "executes an instruction of the whole warp without lane " + std::to_string(first_lane(~w.mask)));
}

// ldmatrix, PTX ISA "Warp-level Matrix Load Instruction": row r of matrix j is at the address of lane 8j + r; lane l receives the
// elements 2(l % 4) and the next of row l / 4, or of column l / 4 with .trans.
template <bool Trans, bool Generic>
const Inst *load_matrix(Warp &w, const Inst &i) {
  whole_warp(w, i);
  Access x;
  const int n = i.count;
  const uint32_t used = n == 4 ? ~0u : n == 2 ? 0xffff : 0xff;
  with_lanes(w, used, [&] {
    aim(w, i, 16, "shared", x);
    x.row = x.same = false;
    if (Generic)
      for (int l = 0; l < 32; l++) x.at[l] -= kSharedWindow;
    Counters &c = w.worker->counters;
    c.shared_loads++;
    c.shared_load_bytes += 128 * n;
    c.shared_load_conflicts += bank_conflicts(x.at, w.mask, 16);
    shared_bounds(w, i, x, "reads");
    check_shared<false>(w, i, x);
  });
  for (int j = 0; j < n; j++) {
    uint16_t e[8][8];
    for (int r = 0; r < 8; r++) std::memcpy(e[r], w.block->shared + x.at[8 * j + r], 16);
    auto *d = reg<uint32_t>(w, w.program->lists[i.list + j]);
    for (int l = 0; l < 32; l++) {
      const int g = l / 4, t = l % 4 * 2;
      d[l] = Trans ? e[t][g] | uint32_t{e[t + 1][g]} << 16 : e[g][t] | uint32_t{e[g][t + 1]} << 16;
    }
  }
  return &i + 1;
}

// widen turns 8 neighbouring 16-bit floats into float32.
template <Type T>
inline __m256 widen(const uint16_t *h) {
  __m128i v;
  std::memcpy(&v, h, sizeof v);
  return T == Type::BF16 ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)) : _mm256_cvtph_ps(v);
}

// mma.sync.m16n8kK, PTX ISA "Matrix Fragments for mma.m16n8k4, k8, k16". With g = lane / 4 and t = lane % 4: A's registers hold rows
// g and g + 8, B's column g, C's rows g and g + 8 at columns 2t and 2t + 1. 16-bit types keep two neighbours in k in a register, so
// the lanes of a register are 8 rows (of A; of B transposed) of 8 elements. tf32 has its lower 13 bits ignored.
// Products are exact; sums are taken in float32 in the order of k, one of the orders that hardware may use.
template <Type T, int K>
const Inst *multiply_matrices(Warp &w, const Inst &i) {
  whole_warp(w, i);
  constexpr bool half = T != Type::TF32;
  constexpr int per = half ? 8 : 4;  // columns of A, rows of B, in a register
  constexpr int na = 2 * (K / per), nb = K / per;
  const int32_t *list = w.program->lists.data() + i.list;
  alignas(64) float A[16][K], B[K][8], C[16][8], row[8];
  auto tf32 = [](uint32_t u) { return std::bit_cast<float>(u & 0xffffe000); };
  for (int r = 0; r < na; r++) {
    const int m = 8 * (r & 1), k = per * (r >> 1);
    for (int g = 0; g < 8; g++) {
      if constexpr (half) {
        _mm256_storeu_ps(&A[m + g][k], widen<T>(reinterpret_cast<const uint16_t *>(w.regs + list[4 + r]) + 8 * g));
      } else {
        const auto *a = reg<uint32_t>(w, list[4 + r]) + 4 * g;
        for (int t = 0; t < 4; t++) A[m + g][k + t] = tf32(a[t]);
      }
    }
  }
  for (int r = 0; r < nb; r++) {
    for (int g = 0; g < 8; g++) {
      if constexpr (half) {
        _mm256_store_ps(row, widen<T>(reinterpret_cast<const uint16_t *>(w.regs + list[4 + na + r]) + 8 * g));
      } else {
        const auto *b = reg<uint32_t>(w, list[4 + na + r]) + 4 * g;
        for (int t = 0; t < 4; t++) row[t] = tf32(b[t]);
      }
      for (int t = 0; t < per; t++) B[per * r + t][g] = row[t];
    }
  }
  for (int r = 0; r < 4; r++) {
    const auto *c = reg<float>(w, list[4 + na + nb + r]);
    for (int l = 0; l < 32; l++) C[l / 4 + 8 * (r >> 1)][l % 4 * 2 + (r & 1)] = c[l];
  }
  __m256 sum[16];
  for (int m = 0; m < 16; m++) sum[m] = _mm256_load_ps(C[m]);
  for (int k = 0; k < K; k++) {
    const __m256 b = _mm256_load_ps(B[k]);
    for (int m = 0; m < 16; m++) sum[m] = _mm256_fmadd_ps(_mm256_broadcast_ss(&A[m][k]), b, sum[m]);
  }
  for (int m = 0; m < 16; m++) _mm256_store_ps(C[m], sum[m]);
  for (int r = 0; r < 4; r++) {
    auto *d = reg<float>(w, list[r]);
    for (int l = 0; l < 32; l++) d[l] = C[l / 4 + 8 * (r >> 1)][l % 4 * 2 + (r & 1)];
  }
  return &i + 1;
}

Handler select_fragment(const Key &k) {
  if (k.op == Op::Ldmatrix) {
    if (k.type != Type::B16 || k.mode == Mode::None) return nullptr;
    if (k.space == Space::Generic) return k.has(kTrans) ? load_matrix<true, true> : load_matrix<false, true>;
    return k.has(kTrans) ? load_matrix<true, false> : load_matrix<false, false>;
  }
  switch (k.from) {
    case Type::TF32: return k.mode == Mode::M16n8k4 ? multiply_matrices<Type::TF32, 4> : multiply_matrices<Type::TF32, 8>;
    case Type::BF16: return k.mode == Mode::M16n8k8 ? multiply_matrices<Type::BF16, 8> : multiply_matrices<Type::BF16, 16>;
    case Type::F16: return k.mode == Mode::M16n8k8 ? multiply_matrices<Type::F16, 8> : multiply_matrices<Type::F16, 16>;
    default: return nullptr;
  }
}

// --- asynchronous copies

const Inst *copy_async(Warp &w, const Inst &i) {
  Access to, from;
  const uint32_t n = i.count;
  aim(w, i, n, "shared", to);
  shared_bounds(w, i, to, "copies to");
  Inst source = i;
  source.a = i.b, source.imm = 0, source.a_wide = true;
  const auto *filled = reg<uint32_t>(w, i.c);
  Worker &k = *w.worker;
  k.counters.shared_stores++;
  k.counters.shared_store_bytes += n * __builtin_popcount(w.mask);
  if (!to.row && !to.same) k.counters.shared_store_conflicts += bank_conflicts(to.at, w.mask, n);
  check_shared<true>(w, i, to);
  const uint32_t reads = w.mask & bits([&](int l) { return filled[l] != 0; });
  for_lanes(w.mask, [&](int l) {
    if (filled[l] > n) fault(w, i, l, kIllegalInstruction, "invalid-launch", "cp.async reads " + std::to_string(filled[l]) + " bytes of " + std::to_string(n));
    if (k.check_shared) k.race.launch_copy(w.index, l, static_cast<uint32_t>(to.at[l]), n);
  });
  for_lanes(w.mask & ~reads, [&](int l) { copy_issue(w, i, l, static_cast<uint32_t>(to.at[l]), nullptr, n, 0); });
  if (!reads) return &i + 1;
  with_lanes(w, reads, [&] {
    aim(w, source, n, "global", from);
    k.counters.global_loads++;
    k.counters.global_load_sectors += sectors_of(w, from);
    if (k.cache) through_cache(*k.cache, from.at, w.mask, false);
    for_lanes(w.mask, [&](int l) {
      k.counters.global_load_bytes += filled[l];
      const uint32_t want = filled[l];
      Memory::Extent &e = k.extents[i.number];
      if (from.at[l] < e.lo || from.at[l] + want > e.hi) {
        e = k.memory->find(from.at[l]);
        if (e.hi == e.lo || from.at[l] + want > e.hi) global_fault(w, i, l, from.at[l], want, "copies from");
      }
      const uint64_t at = from.at[l] - e.lo;
      if (k.options->check_uninitialised)
        for (uint32_t b = 0; b < want; b++)
          if (!e.written[at + b]) unwritten_fault(w, i, l, "global", from.at[l], want, b);
      copy_issue(w, i, l, static_cast<uint32_t>(to.at[l]), e.data + at, n, want);
    });
  });
  return &i + 1;
}

const Inst *copy_commit(Warp &w, const Inst &i) {
  for_lanes(w.mask, [&](int l) { w.groups[l]++; });
  return &i + 1;
}

const Inst *copy_wait_group(Warp &w, const Inst &i) {
  copy_wait(w, w.mask, static_cast<uint32_t>(i.imm));
  return &i + 1;
}

const Inst *copy_wait_all(Warp &w, const Inst &i) {
  for_lanes(w.mask, [&](int l) { w.groups[l]++; });
  copy_wait(w, w.mask, 0);
  return &i + 1;
}

Handler select_matrix(const Key &k) {
  switch (k.op) {
    case Op::Ldmatrix: case Op::Mma: return select_fragment(k);
    case Op::CpAsync: return copy_async;
    case Op::CpCommit: return copy_commit;
    case Op::CpWait: return k.mode == Mode::GroupN ? copy_wait_group : copy_wait_all;
    default: return nullptr;
  }
}
