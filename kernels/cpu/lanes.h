// Vectors of the instruction set's width, for the kernels that loops over columns do not serve. Part of kernels.h.

#if TW_LANES == 16
using mask = __mmask16;
#else
using mask = __m256i;
#endif
typedef float vec __attribute__((vector_size(4 * TW_LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * TW_LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * TW_LANES)));
typedef uint64_t wvec __attribute__((vector_size(4 * TW_LANES)));

inline int64_t padded(int64_t n) { return (n + TW_LANES - 1) / TW_LANES * TW_LANES; }

template <class V, class T>
inline V load(const T *p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V, class T>
inline void store(T *p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

#if TW_LANES == 16
// first is the mask of the first n lanes.
inline mask first(int64_t n) { return static_cast<mask>(n >= TW_LANES ? 0xffff : (1 << n) - 1); }
inline vec load(const float *p, mask m) { return _mm512_maskz_loadu_ps(m, p); }
inline void store(float *p, mask m, vec v) { _mm512_mask_storeu_ps(p, m, v); }
inline wvec low_product(wvec a, wvec b) { return (wvec)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
inline vec larger(vec a, vec b) { return _mm512_max_ps(a, b); }
inline vec smaller(vec a, vec b) { return _mm512_min_ps(a, b); }
inline vec root(vec x) { return _mm512_sqrt_ps(x); }
inline vec fused(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
inline bool zero(vec x) { return _mm512_test_epi32_mask((__m512i)x, (__m512i)x) == 0; }
inline float largest(vec x) { return _mm512_reduce_max_ps(x); }
inline float total(vec x) { return _mm512_reduce_add_ps(x); }
constexpr ivec kLane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr ivec kLow = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}, kHigh = kLow + 8;
constexpr wvec kLow64 = {0, 8, 1, 9, 2, 10, 3, 11}, kHigh64 = kLow64 + 4;
#else
constexpr ivec kLane = {0, 1, 2, 3, 4, 5, 6, 7};
constexpr ivec kLow = {0, 8, 1, 9, 2, 10, 3, 11}, kHigh = kLow + 4;
constexpr wvec kLow64 = {0, 4, 1, 5}, kHigh64 = kLow64 + 2;
inline mask first(int64_t n) { return (mask)(kLane < static_cast<int32_t>(n)); }
inline vec load(const float *p, mask m) { return _mm256_maskload_ps(p, m); }
inline void store(float *p, mask m, vec v) { _mm256_maskstore_ps(p, m, v); }
// low_product is the products of the low halves of the lanes.
inline wvec low_product(wvec a, wvec b) { return (wvec)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
// larger and smaller give b where either is NaN.
inline vec larger(vec a, vec b) { return _mm256_max_ps(a, b); }
inline vec smaller(vec a, vec b) { return _mm256_min_ps(a, b); }
inline vec root(vec x) { return _mm256_sqrt_ps(x); }
// fused is a*b + c, rounded once.
inline vec fused(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
// zero says whether every bit is 0.
inline bool zero(vec x) { return _mm256_testz_si256((__m256i)x, (__m256i)x); }
inline float largest(vec x) {
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
inline float total(vec x) {
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
#endif

// The same of one lane, for tails.
inline float larger(float a, float b) { return a > b ? a : b; }
inline float root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline bool zero(float x) { return _mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(x))) == 0; }

// fast_exp of every lane: the same polynomial.
inline vec fast_exp(vec x) {
  x = smaller(vec{} + 88.3f, larger(vec{} - 87.3f, x));
  const vec t = x * 1.44269504088896341f + 12582912.0f;  // rounds: the integer is in the low bits
  const vec n = t - 12582912.0f;
  vec r = x - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723212e-6f;
  vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * (vec)(((ivec)t << 23) + (127 << 23));
}

// turn transposes a square of TW_LANES vectors: log2(TW_LANES) times, every vector is interleaved with the one half the square below.
inline void turn(vec *x) {
#pragma GCC unroll 4
  for (int stage = TW_LANES; stage > 1; stage /= 2) {
    vec y[TW_LANES];
#pragma GCC unroll 8
    for (int i = 0; i < TW_LANES / 2; i++) {
      y[2 * i] = __builtin_shuffle(x[i], x[i + TW_LANES / 2], kLow);
      y[2 * i + 1] = __builtin_shuffle(x[i], x[i + TW_LANES / 2], kHigh);
    }
#pragma GCC unroll 16
    for (int i = 0; i < TW_LANES; i++) x[i] = y[i];
  }
}

// random_words writes the four words of each of n blocks of Philox4x32-10 (Salmon 2011): words 4t to 4t+3 are those of block[t].
// Both arrays have room for a multiple of TW_LANES blocks.
inline void random_words(int64_t n, const uint64_t *block, uint64_t seed, uint32_t step, uint32_t stream, uint32_t *words) {
  constexpr int kSets = 2;  // independent chains, or the latency of the products shows
  const wvec m0 = wvec{} + 0xD2511F53u, m1 = wvec{} + 0xCD9E8D57u, low = wvec{} + 0xffffffffu;
  for (int64_t t = 0; t < n; t += TW_LANES) {
    // Only the low halves of the lanes count: products take no others.
    wvec c0[kSets], c1[kSets], c2[kSets], c3[kSets];
    for (int s = 0; s < kSets; s++) {
      c0[s] = load<wvec>(block + t + s * TW_LANES / 2);
      c1[s] = c0[s] >> 32;
      c2[s] = wvec{} + stream;
      c3[s] = wvec{} + step;
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma GCC unroll 10
    for (int i = 0; i < 10; i++) {
      for (int s = 0; s < kSets; s++) {
        const wvec p = low_product(c0[s], m0), q = low_product(c2[s], m1);
        c0[s] = (q >> 32) ^ c1[s] ^ static_cast<uint64_t>(k0);
        c1[s] = q;
        c2[s] = (p >> 32) ^ c3[s] ^ static_cast<uint64_t>(k1);
        c3[s] = p;
      }
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    for (int s = 0; s < kSets; s++) {
      const wvec x = (c0[s] & low) | c1[s] << 32, y = (c2[s] & low) | c3[s] << 32;
      uint32_t *to = words + 4 * (t + s * TW_LANES / 2);
      store(to, __builtin_shuffle(x, y, kLow64));
      store(to + TW_LANES, __builtin_shuffle(x, y, kHigh64));
    }
  }
}
