// Choice of the instruction set, and the roof-line measurements.
#include "isa.h"

#include <chrono>

int tw_threads = 1;

static const tw_table *table = &tw_avx2;

extern "C" {

int tw_init(int want, int threads) {
  tw_threads = threads;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
  if (want == 0 && wide) {
    table = &tw_avx512;
    return 2;
  }
  table = &tw_avx2;
  return 1;
}

#define TW_CALL(name, args) \
  void tw_##name(const args *a) { table->name(a); }
TW_OPS(TW_CALL)
#undef TW_CALL

static double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

__attribute__((target("avx512f"))) static void fma512(long n) {
  __m512 x[12];
  for (auto &v : x) v = _mm512_set1_ps(1.0f);
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (long i = 0; i < n; i++)
#pragma GCC unroll 12
    for (auto &v : x) v = _mm512_fmadd_ps(v, a, b);
  for (auto &v : x) asm volatile("" ::"x"(v));
}

__attribute__((target("avx2,fma"))) static void fma256(long n) {
  __m256 x[12];
  for (auto &v : x) v = _mm256_set1_ps(1.0f);
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (long i = 0; i < n; i++)
#pragma GCC unroll 12
    for (auto &v : x) v = _mm256_fmadd_ps(v, a, b);
  for (auto &v : x) asm volatile("" ::"x"(v));
}

double tw_peak(void) {
  const bool wide = table == &tw_avx512;
  const long n = 4000000;
  double best = 0;
  for (int round = 0; round < 5; round++) {
    const double start = seconds();
#pragma omp parallel num_threads(tw_threads)
    wide ? fma512(n) : fma256(n);
    best = std::max(best, 2.0 * (wide ? 16 : 8) * 12 * n * tw_threads / (seconds() - start) / 1e9);
  }
  return best;
}

double tw_copy_rate(void) {
  const int64_t n = 64 << 20;
  std::vector<char> from(n, 1), to(n, 2);
  double best = 0;
  for (int round = 0; round < 5; round++) {
    const double start = seconds();
#pragma omp parallel for num_threads(tw_threads)
    for (int64_t i = 0; i < 64; i++) memcpy(&to[i << 20], &from[i << 20], 1 << 20);
    best = std::max(best, 2.0 * n / (seconds() - start) / 1e9);
  }
  return best;
}
}
