// cvt, PTX ISA "Data Movement and Conversion Instructions: cvt".

#include "lanes_half.h"
#include "lanes_rounding.h"

inline uint32_t to_tf32(float x) {  // .rna: nearest, ties away from zero, 10 bits of mantissa
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7f800000) == 0x7f800000) return x != x ? 0x7fffffff : u;
  return (u + 0x1000) & 0xffffe000;
}

// to_integer clamps to the range of I; NaN is 0.
template <class I, class F>
inline I to_integer(F x) {
  constexpr F low = static_cast<F>(std::numeric_limits<I>::min());
  constexpr F above = static_cast<F>(static_cast<F>(std::numeric_limits<I>::max() / 2 + 1) * 2);  // 2^bits, exact
  if (x != x) return 0;
  if (x >= above) return std::numeric_limits<I>::max();
  return x <= low ? std::numeric_limits<I>::min() : static_cast<I>(x);
}

template <Round R, class F>
inline F to_integral(F x) {
  switch (R) {
    case Round::Rni: return __builtin_rint(x);
    case Round::Rmi: return __builtin_floor(x);
    case Round::Rpi: return __builtin_ceil(x);
    default: return __builtin_trunc(x);
  }
}

// Lane is what a register holds a value of type T in: 8-bit values have 16-bit registers.
template <class T>
using Lane = std::conditional_t<sizeof(T) == 1, std::conditional_t<std::is_signed_v<T>, int16_t, uint16_t>, T>;

template <class D, class S, auto F>
constexpr Handler convert = map1<Lane<D>, Lane<S>, [](Lane<S> x) -> Lane<D> { return D(F(static_cast<S>(x))); }>;

// resize changes the width of an integer register: lowering wraps cvt in it where registers are wider than the types.
template <class S>
Handler resize_from(const Key &k) {
  switch (k.dst_bytes) {
    case 2: return map1<uint16_t, S, [](S x) -> uint16_t { return static_cast<uint16_t>(x); }>;
    case 4: return map1<uint32_t, S, [](S x) -> uint32_t { return static_cast<uint32_t>(x); }>;
    case 8: return map1<uint64_t, S, [](S x) -> uint64_t { return static_cast<uint64_t>(x); }>;
    default: return nullptr;
  }
}

Handler resize(const Key &k) {
  const bool sgn = k.has(kSignExtend);
  switch (k.src_bytes) {
    case 2: return sgn ? resize_from<int16_t>(k) : resize_from<uint16_t>(k);
    case 4: return sgn ? resize_from<int32_t>(k) : resize_from<uint32_t>(k);
    case 8: return resize_from<uint64_t>(k);
    default: return nullptr;
  }
}

template <class D, class S>
Handler integer_to_integer(const Key &k) {
  if (k.round != Round::None || k.has(kFtz)) return nullptr;
  if (k.has(kSat))
    return convert<D, S, ([](S x) -> D {
      using W = __int128;
      return static_cast<D>(std::clamp<W>(x, std::numeric_limits<D>::min(), std::numeric_limits<D>::max()));
    })>;
  return convert<D, S, ([](S x) -> D { return static_cast<D>(x); })>;
}

template <class D, class S>
Handler float_to_integer(const Key &k) {  // .sat is implied
  auto with = [&]<Round R>() -> Handler {
    if (k.has(kFtz)) return convert<D, S, ([](S x) -> D { return to_integer<D>(to_integral<R>(flush(x))); })>;
    return convert<D, S, ([](S x) -> D { return to_integer<D>(to_integral<R>(x)); })>;
  };
  switch (k.round) {
    case Round::Rni: return with.template operator()<Round::Rni>();
    case Round::Rzi: return with.template operator()<Round::Rzi>();
    case Round::Rmi: return with.template operator()<Round::Rmi>();
    case Round::Rpi: return with.template operator()<Round::Rpi>();
    default: return nullptr;
  }
}

template <class D, class S>
Handler integer_to_float(const Key &k) {
  constexpr Handler plain = convert<D, S, [](S x) -> D { return static_cast<D>(x); }>;
  constexpr Handler sat = convert<D, S, [](S x) -> D { return saturate(static_cast<D>(x)); }>;
  if (k.round == Round::None || k.has(kFtz)) return nullptr;
  return k.has(kSat) ? by_rounding<sat>(k.round) : by_rounding<plain>(k.round);
}

// Float to a float of the same type, rounded to an integral value unless R is None.
template <class T, bool Ftz, bool Sat, Round R>
inline T rounded_value(T x) {
  if (Ftz) x = flush(x);
  if (R != Round::None) x = to_integral<R>(x);
  return Sat ? saturate(x) : x;
}

template <class T, bool Ftz, bool Sat>
Handler same_float(const Key &k) {
  switch (k.round) {
    case Round::None: return map1<T, T, rounded_value<T, Ftz, Sat, Round::None>>;
    case Round::Rni: return map1<T, T, rounded_value<T, Ftz, Sat, Round::Rni>>;
    case Round::Rzi: return map1<T, T, rounded_value<T, Ftz, Sat, Round::Rzi>>;
    case Round::Rmi: return map1<T, T, rounded_value<T, Ftz, Sat, Round::Rmi>>;
    case Round::Rpi: return map1<T, T, rounded_value<T, Ftz, Sat, Round::Rpi>>;
    default: return nullptr;
  }
}

template <bool Ftz, bool Sat>
Handler narrow(Round r) {  // cvt.rn.f32.f64
  constexpr Handler h = map1<float, double, ([](double x) -> float {
    float f = static_cast<float>(x);
    if (Ftz) f = flush(f);
    return Sat ? saturate(f) : f;
  })>;
  return r == Round::None ? nullptr : by_rounding<h>(r);
}

// Two floats into halves: the first operand becomes the upper one.
template <auto F>
const Inst *convert_pair(Warp &w, const Inst &i) {
  const auto *a = reg<float>(w, i.a), *b = reg<float>(w, i.b);
  each(w, reg<uint32_t>(w, i.d), [&](int l) -> uint32_t { return uint32_t{F(a[l])} << 16 | F(b[l]); });
  return &i + 1;
}

constexpr auto half_rn = [](float x) -> uint16_t { return to_half(x, false); };
constexpr auto half_rz = [](float x) -> uint16_t { return to_half(x, true); };
constexpr auto bfloat_rn = [](float x) -> uint16_t { return to_bfloat(x, false); };
constexpr auto bfloat_rz = [](float x) -> uint16_t { return to_bfloat(x, true); };

Handler convert_half(const Key &k) {  // f16, bf16, tf32 on one side
  const bool rn = k.round == Round::Rn, rz = k.round == Round::Rz;
  if (k.has(kFtz) || k.has(kSat)) return nullptr;
  if (k.from == Type::F32) {
    if (!rn && !rz && k.type != Type::TF32) return nullptr;
    switch (k.type) {
      case Type::F16: return rn ? map1<uint16_t, float, half_rn> : map1<uint16_t, float, half_rz>;
      case Type::BF16: return rn ? map1<uint16_t, float, bfloat_rn> : map1<uint16_t, float, bfloat_rz>;
      case Type::F16x2: return rn ? convert_pair<half_rn> : convert_pair<half_rz>;
      case Type::BF16x2: return rn ? convert_pair<bfloat_rn> : convert_pair<bfloat_rz>;
      case Type::TF32: return k.round == Round::Rna ? map1<uint32_t, float, to_tf32> : nullptr;
      default: return nullptr;
    }
  }
  if (k.round != Round::None || k.type != Type::F32) return nullptr;
  if (k.from == Type::F16) return map1<float, uint16_t, from_half>;
  return k.from == Type::BF16 ? map1<float, uint16_t, from_bfloat> : nullptr;
}

template <class S>
Handler convert_from_integer(const Key &k) {
  switch (k.type) {
    case Type::U8: return integer_to_integer<uint8_t, S>(k);
    case Type::S8: return integer_to_integer<int8_t, S>(k);
    case Type::U16: return integer_to_integer<uint16_t, S>(k);
    case Type::S16: return integer_to_integer<int16_t, S>(k);
    case Type::U32: return integer_to_integer<uint32_t, S>(k);
    case Type::S32: return integer_to_integer<int32_t, S>(k);
    case Type::U64: return integer_to_integer<uint64_t, S>(k);
    case Type::S64: return integer_to_integer<int64_t, S>(k);
    case Type::F32: return integer_to_float<float, S>(k);
    case Type::F64: return integer_to_float<double, S>(k);
    default: return nullptr;
  }
}

template <class S>
Handler convert_from_float(const Key &k) {
  switch (k.type) {
    case Type::U8: return float_to_integer<uint8_t, S>(k);
    case Type::S8: return float_to_integer<int8_t, S>(k);
    case Type::U16: return float_to_integer<uint16_t, S>(k);
    case Type::S16: return float_to_integer<int16_t, S>(k);
    case Type::U32: return float_to_integer<uint32_t, S>(k);
    case Type::S32: return float_to_integer<int32_t, S>(k);
    case Type::U64: return float_to_integer<uint64_t, S>(k);
    case Type::S64: return float_to_integer<int64_t, S>(k);
    default: break;
  }
  const bool ftz = k.has(kFtz), sat = k.has(kSat);
  if constexpr (sizeof(S) == 4) {
    if (k.type == Type::F32) {
      if (ftz) return sat ? same_float<float, true, true>(k) : same_float<float, true, false>(k);
      return sat ? same_float<float, false, true>(k) : same_float<float, false, false>(k);
    }
    if (k.type == Type::F64 && k.round == Round::None && !sat)
      return ftz ? map1<double, float, [](float x) -> double { return flush(x); }> : map1<double, float, [](float x) -> double { return x; }>;
  } else {
    if (k.type == Type::F64 && !ftz) return sat ? same_float<double, false, true>(k) : same_float<double, false, false>(k);
    if (k.type == Type::F32) {
      if (ftz) return sat ? narrow<true, true>(k.round) : narrow<true, false>(k.round);
      return sat ? narrow<false, true>(k.round) : narrow<false, false>(k.round);
    }
  }
  return nullptr;
}

Handler select_convert(const Key &k) {
  if (k.op == Op::Resize) return resize(k);
  auto half = [](Type t) { return t == Type::F16 || t == Type::BF16 || t == Type::TF32 || t == Type::F16x2 || t == Type::BF16x2; };
  if (half(k.type) || half(k.from)) return convert_half(k);
  switch (k.from) {
    case Type::U8: return convert_from_integer<uint8_t>(k);
    case Type::S8: return convert_from_integer<int8_t>(k);
    case Type::U16: return convert_from_integer<uint16_t>(k);
    case Type::S16: return convert_from_integer<int16_t>(k);
    case Type::U32: return convert_from_integer<uint32_t>(k);
    case Type::S32: return convert_from_integer<int32_t>(k);
    case Type::U64: return convert_from_integer<uint64_t>(k);
    case Type::S64: return convert_from_integer<int64_t>(k);
    case Type::F32: return convert_from_float<float>(k);
    case Type::F64: return convert_from_float<double>(k);
    default: return nullptr;
  }
}
