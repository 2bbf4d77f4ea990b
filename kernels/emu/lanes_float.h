// Floating-point arithmetic and approximations.
//
// Operations round once, as IEEE 754 and the PTX ISA have it; directed rounding is the host's. The approximations are more exact
// than the ISA asks: within one unit in the last place of the true value.

#include "lanes_rounding.h"

template <class T, int N, auto F, bool Ftz, bool Sat>
const Inst *arithmetic(Warp &w, const Inst &i) {
  auto *d = reg<T>(w, i.d);
  const auto *a = reg<T>(w, i.a), *b = reg<T>(w, i.b), *c = reg<T>(w, i.c);
  auto in = [](T x) { return Ftz ? flush(x) : x; };
  each(w, d, [&](int l) -> T {
    T r;
    if constexpr (N == 1) r = F(in(a[l]));
    else if constexpr (N == 2) r = F(in(a[l]), in(b[l]));
    else r = F(in(a[l]), in(b[l]), in(c[l]));
    if (Ftz) r = flush(r);
    return Sat ? saturate(r) : r;
  });
  return &i + 1;
}

// plain_with is for instructions that neither round nor saturate.
template <class T, int N, auto F>
Handler plain_with(const Key &k) {
  if (k.has(kSat) || k.round != Round::None || (sizeof(T) == 8 && k.has(kFtz))) return nullptr;
  return k.has(kFtz) ? arithmetic<T, N, F, true, false> : arithmetic<T, N, F, false, false>;
}

// rounding_with is for those that round.
template <class T, int N, auto F>
Handler rounding_with(const Key &k) {
  if (k.has(kSat) || (sizeof(T) == 8 && k.has(kFtz))) return nullptr;
  return k.has(kFtz) ? by_rounding<arithmetic<T, N, F, true, false>>(k.round) : by_rounding<arithmetic<T, N, F, false, false>>(k.round);
}

// arithmetic_with is for those that saturate as well.
template <class T, int N, auto F>
Handler arithmetic_with(const Key &k) {
  if (sizeof(T) == 8 && (k.has(kFtz) || k.has(kSat))) return nullptr;
  if (k.has(kFtz)) return k.has(kSat) ? by_rounding<arithmetic<T, N, F, true, true>>(k.round) : by_rounding<arithmetic<T, N, F, true, false>>(k.round);
  return k.has(kSat) ? by_rounding<arithmetic<T, N, F, false, true>>(k.round) : by_rounding<arithmetic<T, N, F, false, false>>(k.round);
}

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

// min and max: a number wins over NaN, -0 is below +0 (PTX ISA "Floating Point Instructions: min, max").
template <class T, bool Nan>
inline T minimum(T a, T b) {
  T r = a < b ? a : b;
  r = a == b ? std::bit_cast<T>(std::bit_cast<Bits<T>>(a) | std::bit_cast<Bits<T>>(b)) : r;
  if (Nan) return a != a ? a : b != b ? b : r;
  return a != a ? b : b != b ? a : r;
}
template <class T, bool Nan>
inline T maximum(T a, T b) {
  T r = a > b ? a : b;
  r = a == b ? std::bit_cast<T>(std::bit_cast<Bits<T>>(a) & std::bit_cast<Bits<T>>(b)) : r;
  if (Nan) return a != a ? a : b != b ? b : r;
  return a != a ? b : b != b ? a : r;
}

// 2^x: 2^n times a polynomial in the fraction, in double; the float nearest to that is the nearest to 2^x but for rare ties.
inline float exp2_approx(float x) {
  const double v = std::min(std::max(static_cast<double>(x), -160.0), 140.0);
  const double n = __builtin_rint(v), t = (v - n) * 0.693147180559945309;
  double p = 1.0 / 40320;
  p = p * t + 1.0 / 5040;
  p = p * t + 1.0 / 720;
  p = p * t + 1.0 / 120;
  p = p * t + 1.0 / 24;
  p = p * t + 1.0 / 6;
  p = p * t + 0.5;
  p = p * t + 1;
  p = p * t + 1;
  const double scale = std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(n)) + 1023) << 52);
  const float r = static_cast<float>(p * scale);
  return x != x ? x : r;
}

// log2 x: exponent plus 2 atanh((m-1)/(m+1)) / ln 2 with m in [sqrt(1/2), sqrt(2)].
inline float log2_approx(float x) {
  const uint64_t u = std::bit_cast<uint64_t>(static_cast<double>(x));
  const int64_t shifted = static_cast<int64_t>(u - 0x3fe6a09e667f3bcd) >> 52;
  const double m = std::bit_cast<double>(u - (static_cast<uint64_t>(shifted) << 52));
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  p = p * z + 1;
  const float r = static_cast<float>(static_cast<double>(static_cast<int32_t>(shifted)) + 2.88539008177792681 * s * p);
  const float inf = std::numeric_limits<float>::infinity();
  return x > 0 ? (x < inf ? r : inf) : x == 0 ? -inf : std::numeric_limits<float>::quiet_NaN();
}

// div.approx, div.full: above 2^126 the reciprocal is zero (PTX ISA "div", .approx).
template <bool Full>
inline float divide_approx(float a, float b) {
  if (Full) return a / b;
  const float big = std::abs(b);
  return big > 0x1p126f && big < std::numeric_limits<float>::infinity() ? a * std::copysign(0.0f, b) : a / b;
}

// rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 give the upper 32 bits of the result; the lower are zero.
inline double upper(double x) {
  x = flush(x);
  return x != x ? x : std::bit_cast<double>(std::bit_cast<uint64_t>(x) & 0xffffffff00000000);
}

Handler approximation(const Key &k) {
  const bool f32 = k.type == Type::F32;
  if (k.type == Type::F64 && k.has(kApprox)) {
    if (!k.has(kFtz)) return nullptr;
    if (k.op == Op::Rcp) return map1<double, double, [](double a) { return upper(1 / flush(a)); }>;
    if (k.op == Op::Rsqrt) return map1<double, double, [](double a) { return upper(1 / std::sqrt(flush(a))); }>;
    return nullptr;
  }
  if (!f32 || !k.has(kApprox) || k.round != Round::None) return nullptr;
  switch (k.op) {
    case Op::Ex2: return plain_with<float, 1, exp2_approx>(k);
    case Op::Lg2: return plain_with<float, 1, log2_approx>(k);
    case Op::Rcp: return plain_with<float, 1, [](float a) { return 1.0f / a; }>(k);
    case Op::Rsqrt: return plain_with<float, 1, ([](float a) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a))); })>(k);
    case Op::Sqrt: return plain_with<float, 1, [](float a) { return std::sqrt(a); }>(k);
    case Op::Sin: return plain_with<float, 1, ([](float a) { return static_cast<float>(std::sin(static_cast<double>(a))); })>(k);
    case Op::Cos: return plain_with<float, 1, ([](float a) { return static_cast<float>(std::cos(static_cast<double>(a))); })>(k);
    case Op::Tanh: return plain_with<float, 1, ([](float a) { return static_cast<float>(std::tanh(static_cast<double>(a))); })>(k);
    case Op::Div: return plain_with<float, 2, divide_approx<false>>(k);
    default: return nullptr;
  }
}

template <class T>
Handler select_float_as(const Key &k) {
  constexpr bool single = sizeof(T) == 4;
  switch (k.op) {
    case Op::Add: return arithmetic_with<T, 2, [](T a, T b) { return a + b; }>(k);
    case Op::Sub: return arithmetic_with<T, 2, [](T a, T b) { return a - b; }>(k);
    case Op::Mul: return arithmetic_with<T, 2, [](T a, T b) { return a * b; }>(k);
    case Op::Mad: case Op::Fma:
      if (k.round == Round::None) return nullptr;
      return arithmetic_with<T, 3, [](T a, T b, T c) { return single ? __builtin_fmaf(a, b, c) : __builtin_fma(a, b, c); }>(k);
    case Op::Div:
      if (k.has(kFull)) return single ? plain_with<float, 2, divide_approx<true>>(k) : nullptr;
      if (k.has(kApprox)) return approximation(k);
      return k.round == Round::None ? nullptr : rounding_with<T, 2, [](T a, T b) { return a / b; }>(k);
    case Op::Rcp:
      if (k.has(kApprox)) return approximation(k);
      return k.round == Round::None ? nullptr : rounding_with<T, 1, [](T a) { return T(1) / a; }>(k);
    case Op::Sqrt:
      if (k.has(kApprox)) return approximation(k);
      return k.round == Round::None ? nullptr : rounding_with<T, 1, [](T a) { return std::sqrt(a); }>(k);
    case Op::Min: return k.has(kNanProp) ? plain_with<T, 2, minimum<T, true>>(k) : plain_with<T, 2, minimum<T, false>>(k);
    case Op::Max: return k.has(kNanProp) ? plain_with<T, 2, maximum<T, true>>(k) : plain_with<T, 2, maximum<T, false>>(k);
    case Op::Neg: return plain_with<T, 1, [](T a) { return -a; }>(k);
    case Op::Abs: return plain_with<T, 1, [](T a) { return std::abs(a); }>(k);
    case Op::Copysign: return plain_with<T, 2, [](T a, T b) { return std::copysign(b, a); }>(k);
    default: return approximation(k);
  }
}

Handler select_floating(const Key &k) { return k.type == Type::F32 ? select_float_as<float>(k) : select_float_as<double>(k); }
