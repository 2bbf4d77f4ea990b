// Comparisons and tests of floats.

#include "lanes_rounding.h"

template <class T, Cmp C>
inline bool compare(T a, T b) {
  [[maybe_unused]] const bool unordered = a != a || b != b;
  switch (C) {
    case Cmp::Eq: return a == b;
    case Cmp::Ne: return a != b && !unordered;
    case Cmp::Lt: return a < b;
    case Cmp::Le: return a <= b;
    case Cmp::Gt: return a > b;
    case Cmp::Ge: return a >= b;
    case Cmp::Equ: return a == b || unordered;
    case Cmp::Neu: return a != b;
    case Cmp::Ltu: return !(a >= b);
    case Cmp::Leu: return !(a > b);
    case Cmp::Gtu: return !(a <= b);
    case Cmp::Geu: return !(a < b);
    case Cmp::Num: return !unordered;
    case Cmp::Nan: return unordered;
    default: return false;
  }
}

template <class T, Cmp C, bool Ftz>
inline uint32_t compared(Warp &w, const Inst &i) {
  const auto *a = reg<T>(w, i.a), *b = reg<T>(w, i.b);
  return bits([&](int l) {
    T x = a[l], y = b[l];
    if constexpr (Ftz) x = flush(x), y = flush(y);
    return compare<T, C>(x, y);
  });
}

// What else setp does with the comparison is decided at run time: imm is a Bool and the two negations.
template <class T, Cmp C, bool Ftz>
const Inst *set_predicate(Warp &w, const Inst &i) {
  uint32_t r = compared<T, C, Ftz>(w, i);
  if (i.imm) {
    if (i.imm & kCombineNegateResult) r = ~r;
    const uint32_t c = i.imm & kCombineNegateC ? ~pred(w, i.c) : pred(w, i.c);
    const int64_t how = i.imm & 3;
    r = how == static_cast<int>(Bool::And) ? r & c : how == static_cast<int>(Bool::Or) ? r | c : how == static_cast<int>(Bool::Xor) ? r ^ c : r;
  }
  set_pred(w, i.d, r);
  return &i + 1;
}

template <class T, Cmp C, bool Ftz>
const Inst *set_register(Warp &w, const Inst &i) {  // set.cmp.u32: all ones
  const uint32_t r = compared<T, C, Ftz>(w, i);
  each(w, reg<uint32_t>(w, i.d), [&](int l) -> uint32_t { return r >> l & 1 ? ~0u : 0; });
  return &i + 1;
}

template <class T, Cmp C, bool Ftz>
const Inst *set_float(Warp &w, const Inst &i) {  // set.cmp.f32: 1
  const uint32_t r = compared<T, C, Ftz>(w, i);
  each(w, reg<float>(w, i.d), [&](int l) -> float { return r >> l & 1; });
  return &i + 1;
}

template <class T, Cmp C, bool Ftz>
Handler compare_into(const Key &k) {
  if (k.op == Op::Setp) return set_predicate<T, C, Ftz>;
  return k.type == Type::F32 ? set_float<T, C, Ftz> : size_of(k.type) == 4 ? set_register<T, C, Ftz> : nullptr;
}

template <class T, bool Ftz>
Handler compare_as(const Key &k) {
  switch (k.cmp) {
    case Cmp::Eq: return compare_into<T, Cmp::Eq, Ftz>(k);
    case Cmp::Ne: return compare_into<T, Cmp::Ne, Ftz>(k);
    case Cmp::Lt: return compare_into<T, Cmp::Lt, Ftz>(k);
    case Cmp::Le: return compare_into<T, Cmp::Le, Ftz>(k);
    case Cmp::Gt: return compare_into<T, Cmp::Gt, Ftz>(k);
    case Cmp::Ge: return compare_into<T, Cmp::Ge, Ftz>(k);
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (k.cmp) {
      case Cmp::Equ: return compare_into<T, Cmp::Equ, Ftz>(k);
      case Cmp::Neu: return compare_into<T, Cmp::Neu, Ftz>(k);
      case Cmp::Ltu: return compare_into<T, Cmp::Ltu, Ftz>(k);
      case Cmp::Leu: return compare_into<T, Cmp::Leu, Ftz>(k);
      case Cmp::Gtu: return compare_into<T, Cmp::Gtu, Ftz>(k);
      case Cmp::Geu: return compare_into<T, Cmp::Geu, Ftz>(k);
      case Cmp::Num: return compare_into<T, Cmp::Num, Ftz>(k);
      case Cmp::Nan: return compare_into<T, Cmp::Nan, Ftz>(k);
      default: break;
    }
  }
  return nullptr;
}

Handler select_setp(const Key &k) {
  const Type t = k.op == Op::Set ? k.from : k.type;
  if (k.has(kFtz)) return t == Type::F32 ? compare_as<float, true>(k) : nullptr;
  switch (t) {
    case Type::F32: return compare_as<float, false>(k);
    case Type::F64: return compare_as<double, false>(k);
    case Type::S16: return compare_as<int16_t, false>(k);
    case Type::S32: return compare_as<int32_t, false>(k);
    case Type::S64: return compare_as<int64_t, false>(k);
    case Type::B16: case Type::U16: return compare_as<uint16_t, false>(k);
    case Type::B32: case Type::U32: return compare_as<uint32_t, false>(k);
    case Type::B64: case Type::U64: return compare_as<uint64_t, false>(k);
    default: return nullptr;
  }
}

template <class T, Mode M>
const Inst *test_property(Warp &w, const Inst &i) {
  const auto *a = reg<T>(w, i.a);
  const T inf = std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::min();
  set_pred(w, i.d, bits([&](int l) {
    const T x = std::abs(T(a[l]));
    switch (M) {
      case Mode::Finite: return x < inf;
      case Mode::Infinite: return x == inf;
      case Mode::Number: return x == x;
      case Mode::Notanumber: return x != x;
      case Mode::Normal: return x >= least && x < inf;
      default: return x > 0 && x < least;
    }
  }));
  return &i + 1;
}

template <class T>
Handler select_test(const Key &k) {
  switch (k.mode) {
    case Mode::Finite: return test_property<T, Mode::Finite>;
    case Mode::Infinite: return test_property<T, Mode::Infinite>;
    case Mode::Number: return test_property<T, Mode::Number>;
    case Mode::Notanumber: return test_property<T, Mode::Notanumber>;
    case Mode::Normal: return test_property<T, Mode::Normal>;
    case Mode::Subnormal: return test_property<T, Mode::Subnormal>;
    default: return nullptr;
  }
}

Handler select_compare(const Key &k) {
  if (k.op == Op::Testp) return k.type == Type::F32 ? select_test<float>(k) : k.type == Type::F64 ? select_test<double>(k) : nullptr;
  return select_setp(k);
}
