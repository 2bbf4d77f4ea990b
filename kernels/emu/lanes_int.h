// Integer and logic instructions, moves and selections.

template <class T>
using Signed = std::make_signed_t<T>;

// Instructions of which only the size matters: U is uint16_t, uint32_t or uint64_t.
template <class U>
Handler integer_any(const Key &k) {
  using S = Signed<U>;
  constexpr int kBits = 8 * sizeof(U);
  const bool sgn = k.type == Type::S16 || k.type == Type::S32 || k.type == Type::S64;
  switch (k.op) {
    case Op::Add:
      if (k.has(kSat)) {  // add.sat.s32
        if constexpr (sizeof(U) == 4)
          return sgn ? map2<int32_t, int32_t, int32_t, [](int32_t a, int32_t b) {
            return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} + b, INT32_MIN, INT32_MAX));
          }> : nullptr;
        return nullptr;
      }
      return map2<U, U, U, [](U a, U b) -> U { return a + b; }>;
    case Op::Sub:
      if (k.has(kSat)) {
        if constexpr (sizeof(U) == 4)
          return sgn ? map2<int32_t, int32_t, int32_t, [](int32_t a, int32_t b) {
            return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} - b, INT32_MIN, INT32_MAX));
          }> : nullptr;
        return nullptr;
      }
      return map2<U, U, U, [](U a, U b) -> U { return a - b; }>;
    case Op::And: return map2<U, U, U, [](U a, U b) -> U { return a & b; }>;
    case Op::Or: return map2<U, U, U, [](U a, U b) -> U { return a | b; }>;
    case Op::Xor: return map2<U, U, U, [](U a, U b) -> U { return a ^ b; }>;
    case Op::Not: return map1<U, U, [](U a) -> U { return ~a; }>;
    case Op::Cnot: return map1<U, U, [](U a) -> U { return a == 0; }>;
    case Op::Neg: return map1<U, U, [](U a) -> U { return U(0) - a; }>;
    case Op::Abs: return map1<U, U, ([](U a) -> U { return static_cast<S>(a) < 0 ? U(0) - a : a; })>;
    case Op::Mov: return map1<U, U, [](U a) -> U { return a; }>;
    case Op::Min:
      return sgn ? map2<S, S, S, [](S a, S b) -> S { return a < b ? a : b; }> : map2<U, U, U, [](U a, U b) -> U { return a < b ? a : b; }>;
    case Op::Max:
      return sgn ? map2<S, S, S, ([](S a, S b) -> S { return a > b ? a : b; })> : map2<U, U, U, ([](U a, U b) -> U { return a > b ? a : b; })>;
    // Shift amounts above the width shift everything out (PTX ISA "Logic and Shift Instructions").
    case Op::Shl: return map2<U, U, uint32_t, ([](U a, uint32_t n) -> U { return n >= kBits ? U(0) : static_cast<U>(a << n); })>;
    case Op::Shr:
      return sgn ? map2<S, S, uint32_t, ([](S a, uint32_t n) -> S { return a >> (n >= kBits ? kBits - 1 : n); })>
                 : map2<U, U, uint32_t, ([](U a, uint32_t n) -> U { return n >= kBits ? U(0) : static_cast<U>(a >> n); })>;
    // Division by zero is unspecified; hardware gives all ones, and the dividend as remainder.
    case Op::Div:
      return sgn ? map2<S, S, S, ([](S a, S b) -> S { return b == 0 ? S(-1) : b == -1 ? static_cast<S>(U(0) - static_cast<U>(a)) : a / b; })>
                 : map2<U, U, U, [](U a, U b) -> U { return b == 0 ? U(-1) : a / b; }>;
    case Op::Rem:
      return sgn ? map2<S, S, S, [](S a, S b) -> S { return b == 0 ? a : b == -1 ? S(0) : a % b; }>
                 : map2<U, U, U, [](U a, U b) -> U { return b == 0 ? a : a % b; }>;
    case Op::Sad:
      return sgn ? map3<U, S, S, U, [](S a, S b, U c) -> U { return c + (a < b ? U(b) - U(a) : U(a) - U(b)); }>
                 : map3<U, U, U, U, [](U a, U b, U c) -> U { return c + (a < b ? b - a : a - b); }>;
    default: return nullptr;
  }
}

template <class U, class W>
Handler multiply(const Key &k) {  // W has twice the bits of U
  using S = Signed<U>;
  using SW = std::conditional_t<sizeof(U) == 8, __int128, std::make_signed_t<std::conditional_t<sizeof(U) == 8, int64_t, W>>>;
  constexpr int kBits = 8 * sizeof(U);
  const bool sgn = k.type == Type::S16 || k.type == Type::S32 || k.type == Type::S64;
  const bool add = k.op == Op::Mad;
  if (k.has(kSat)) return nullptr;
  switch (k.part) {
    case Part::Lo:
      return add ? map3<U, U, U, U, [](U a, U b, U c) -> U { return static_cast<U>(uint64_t{a} * b + c); }>
                 : map2<U, U, U, [](U a, U b) -> U { return static_cast<U>(uint64_t{a} * b); }>;
    case Part::Hi:
      if (add)
        return sgn ? map3<U, S, S, U, ([](S a, S b, U c) -> U { return static_cast<U>(static_cast<SW>(a) * b >> kBits) + c; })>
                   : map3<U, U, U, U, ([](U a, U b, U c) -> U { return static_cast<U>(static_cast<W>(a) * b >> kBits) + c; })>;
      return sgn ? map2<U, S, S, ([](S a, S b) -> U { return static_cast<U>(static_cast<SW>(a) * b >> kBits); })>
                 : map2<U, U, U, ([](U a, U b) -> U { return static_cast<U>(static_cast<W>(a) * b >> kBits); })>;
    case Part::Wide:
      if constexpr (sizeof(U) < 8) {
        if (add)
          return sgn ? map3<W, S, S, W, ([](S a, S b, W c) -> W { return static_cast<W>(static_cast<SW>(a) * b) + c; })>
                     : map3<W, U, U, W, ([](U a, U b, W c) -> W { return static_cast<W>(a) * b + c; })>;
        return sgn ? map2<W, S, S, ([](S a, S b) -> W { return static_cast<W>(static_cast<SW>(a) * b); })>
                   : map2<W, U, U, ([](U a, U b) -> W { return static_cast<W>(a) * b; })>;
      }
      return nullptr;
    default: return nullptr;
  }
}

// bfe, PTX ISA "Integer Arithmetic Instructions: bfe", as its semantics are written.
template <class U, bool Sign>
inline U extract(U a, uint32_t b, uint32_t c) {
  constexpr uint32_t msb = 8 * sizeof(U) - 1;
  const uint32_t pos = b & 0xff, len = c & 0xff;
  const bool bit = Sign && len != 0 && (a >> std::min(pos + len - 1, msb) & 1);
  const U low = pos > msb ? U(0) : static_cast<U>(a >> pos);
  const uint32_t have = pos > msb ? 0 : std::min(len, msb + 1 - pos);
  const U mask = have > msb ? ~U(0) : static_cast<U>((U(1) << have) - 1);
  return (low & mask) | (bit ? static_cast<U>(~mask) : U(0));
}

template <class U>
const Inst *insert(Warp &w, const Inst &i) {  // bfi d, a, b, pos, len
  auto *d = reg<U>(w, i.d);
  const auto *a = reg<U>(w, i.a);
  const auto *b = reg<U>(w, i.b);
  const auto *c = reg<uint32_t>(w, i.c), *e = reg<uint32_t>(w, w.program->lists[i.list]);
  constexpr uint32_t size = 8 * sizeof(U);
  each(w, d, [&](int l) -> U {
    const uint32_t pos = c[l] & 0xff, len = e[l] & 0xff;
    if (pos >= size) return b[l];
    const uint32_t n = std::min(len, size - pos);
    const U mask = static_cast<U>((n >= size ? ~U(0) : static_cast<U>((U(1) << n) - 1)) << pos);
    return (b[l] & ~mask) | (static_cast<U>(a[l] << pos) & mask);
  });
  return &i + 1;
}

template <class U, bool Sign, bool Amount>
inline uint32_t find_bit(U a) {  // bfind: the highest bit that differs from the sign
  if (Sign && static_cast<Signed<U>>(a) < 0) a = ~a;
  if (a == 0) return ~0u;
  const uint32_t at = sizeof(U) == 8 ? 63 - __builtin_clzll(a) : 31 - __builtin_clz(static_cast<uint32_t>(a));
  return Amount ? 8 * sizeof(U) - 1 - at : at;
}

template <class U>
inline U reversed(U a) {
  U r = 0;
  for (size_t b = 0; b < 8 * sizeof(U); b++) r |= (a >> b & 1) << (8 * sizeof(U) - 1 - b);
  return r;
}

// prmt, PTX ISA "Data Movement and Conversion Instructions: prmt".
inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = uint64_t{b} << 32 | a;
  uint32_t d = 0;
  for (int j = 0; j < 4; j++) {
    const uint32_t s = selector >> (4 * j) & 15;
    uint32_t byte = both >> (8 * (s & 7)) & 0xff;
    if (s & 8) byte = byte & 0x80 ? 0xff : 0;
    d |= byte << (8 * j);
  }
  return d;
}

template <Mode M>
inline uint32_t permute_mode(uint32_t a, uint32_t b, uint32_t c) {
  const uint32_t n = c & 3;
  uint32_t s = 0;
  for (uint32_t j = 0; j < 4; j++) {
    uint32_t from = 0;
    if (M == Mode::F4e) from = n + j;
    if (M == Mode::B4e) from = (n - j) & 7;
    if (M == Mode::Rc8) from = n;
    if (M == Mode::Ecl) from = std::max(n, j);
    if (M == Mode::Ecr) from = std::min(n, j);
    if (M == Mode::Rc16) from = (n & 1) * 2 + (j & 1);
    s |= from << (4 * j);
  }
  return permute(a, b, s);
}

Handler permutation(const Key &k) {
  using U = uint32_t;
  switch (k.mode) {
    case Mode::None: return map3<U, U, U, U, permute>;
    case Mode::F4e: return map3<U, U, U, U, permute_mode<Mode::F4e>>;
    case Mode::B4e: return map3<U, U, U, U, permute_mode<Mode::B4e>>;
    case Mode::Rc8: return map3<U, U, U, U, permute_mode<Mode::Rc8>>;
    case Mode::Ecl: return map3<U, U, U, U, permute_mode<Mode::Ecl>>;
    case Mode::Ecr: return map3<U, U, U, U, permute_mode<Mode::Ecr>>;
    case Mode::Rc16: return map3<U, U, U, U, permute_mode<Mode::Rc16>>;
    default: return nullptr;
  }
}

template <bool Left, bool Clamp>
inline uint32_t funnel(uint32_t a, uint32_t b, uint32_t c) {  // shf: of the 64 bits b:a
  const uint32_t n = Clamp ? std::min(c, 32u) : c & 31;
  const uint64_t both = uint64_t{b} << 32 | a;
  return static_cast<uint32_t>(Left ? both << n >> 32 : both >> n);
}

Handler funnel_shift(const Key &k) {
  using U = uint32_t;
  const bool left = k.mode == Mode::L, clamp = k.mode2 == Mode::Clamp;
  if ((k.mode != Mode::L && k.mode != Mode::R) || (k.mode2 != Mode::Clamp && k.mode2 != Mode::Wrap)) return nullptr;
  if (left) return clamp ? map3<U, U, U, U, funnel<true, true>> : map3<U, U, U, U, funnel<true, false>>;
  return clamp ? map3<U, U, U, U, funnel<false, true>> : map3<U, U, U, U, funnel<false, false>>;
}

template <class U>
const Inst *lop3(Warp &w, const Inst &i) {
  auto *d = reg<U>(w, i.d);
  const auto *a = reg<U>(w, i.a), *b = reg<U>(w, i.b), *c = reg<U>(w, i.c);
  U t[8];
  for (int k = 0; k < 8; k++) t[k] = i.imm >> k & 1 ? ~U(0) : 0;
  each(w, d, [&](int l) -> U {
    const U x = a[l], y = b[l], z = c[l];
    const U y0 = (~y & ((~z & t[0]) | (z & t[1]))) | (y & ((~z & t[2]) | (z & t[3])));
    const U y1 = (~y & ((~z & t[4]) | (z & t[5]))) | (y & ((~z & t[6]) | (z & t[7])));
    return (~x & y0) | (x & y1);
  });
  return &i + 1;
}

template <bool SignA, bool SignB>
inline uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (int j = 0; j < 4; j++) {
    const int32_t x = SignA ? static_cast<int8_t>(a >> 8 * j) : static_cast<uint8_t>(a >> 8 * j);
    const int32_t y = SignB ? static_cast<int8_t>(b >> 8 * j) : static_cast<uint8_t>(b >> 8 * j);
    c += static_cast<uint32_t>(x * y);
  }
  return c;
}

template <class U, bool Negate>
const Inst *select_pred(Warp &w, const Inst &i) {
  auto *d = reg<U>(w, i.d);
  const auto *a = reg<U>(w, i.a), *b = reg<U>(w, i.b);
  const uint32_t p = Negate ? ~pred(w, i.c) : pred(w, i.c);
  each(w, d, [&](int l) -> U { return p >> l & 1 ? a[l] : b[l]; });
  return &i + 1;
}

template <auto F>
const Inst *predicates(Warp &w, const Inst &i) {
  set_pred(w, i.d, F(pred(w, i.a), pred(w, i.b)));
  return &i + 1;
}

Handler predicate_logic(const Key &k) {
  using U = uint32_t;
  switch (k.op) {
    case Op::And: return predicates<[](U a, U b) { return a & b; }>;
    case Op::Or: return predicates<[](U a, U b) { return a | b; }>;
    case Op::Xor: return predicates<[](U a, U b) { return a ^ b; }>;
    case Op::Not: return predicates<[](U a, U) { return ~a; }>;
    case Op::Mov: return predicates<[](U a, U) { return a; }>;
    default: return nullptr;
  }
}

// mov between a register and its parts.
template <class U, class Part>
const Inst *pack(Warp &w, const Inst &i) {
  alignas(64) U v[32] = {};
  for (int p = 0; p < i.count; p++) {
    const auto *s = reg<std::conditional_t<sizeof(Part) == 1, uint16_t, Part>>(w, w.program->lists[i.list + p]);
    for (int l = 0; l < 32; l++) v[l] |= static_cast<U>(static_cast<Part>(s[l])) << (8 * sizeof(Part) * p);
  }
  each(w, reg<U>(w, i.d), [&](int l) { return v[l]; });
  return &i + 1;
}

template <class U, class Part>
const Inst *unpack(Warp &w, const Inst &i) {
  alignas(64) U v[32];
  std::memcpy(v, w.regs + i.a, sizeof v);
  for (int p = 0; p < i.count; p++) {
    using R = std::conditional_t<sizeof(Part) == 1, uint16_t, Part>;
    each(w, reg<R>(w, w.program->lists[i.list + p]), [&](int l) -> R { return static_cast<Part>(v[l] >> (8 * sizeof(Part) * p)); });
  }
  return &i + 1;
}

// Clocks tick with the instructions of the warp: monotonic, and the same on every run.
template <class U>
const Inst *read_clock(Warp &w, const Inst &i) {
  const U now = static_cast<U>(++w.steps * 32);
  each(w, reg<U>(w, i.d), [&](int) { return now; });
  return &i + 1;
}

Handler move(const Key &k) {
  const int size = size_of(k.type);
  if (k.mode == Mode::Clock) return read_clock<uint32_t>;
  if (k.mode == Mode::Clock64) return read_clock<uint64_t>;
  const bool packs = k.mode == Mode::Pack;
  if (packs || k.mode == Mode::Unpack) {
    if (size == 8 && k.vec == 2) return packs ? pack<uint64_t, uint32_t> : unpack<uint64_t, uint32_t>;
    if (size == 8 && k.vec == 4) return packs ? pack<uint64_t, uint16_t> : unpack<uint64_t, uint16_t>;
    if (size == 4 && k.vec == 2) return packs ? pack<uint32_t, uint16_t> : unpack<uint32_t, uint16_t>;
    if (size == 4 && k.vec == 4) return packs ? pack<uint32_t, uint8_t> : unpack<uint32_t, uint8_t>;
    return nullptr;
  }
  if (k.type == Type::Pred) return predicate_logic(k);
  return size == 8 ? integer_any<uint64_t>(k) : size == 4 ? integer_any<uint32_t>(k) : size == 2 ? integer_any<uint16_t>(k) : nullptr;
}

// isspacep: which window a generic address lies in.
template <uint64_t Window>
const Inst *is_space(Warp &w, const Inst &i) {
  const auto *a = reg<uint64_t>(w, i.a);
  constexpr uint64_t first = kSharedWindow;
  set_pred(w, i.d, bits([&](int l) { return Window ? a[l] - Window < kWindow : a[l] - first >= 3 * kWindow; }));
  return &i + 1;
}

Handler integer_special(const Key &k) {
  using U = uint32_t;
  using V = uint64_t;
  const int size = size_of(k.type);
  const bool sgn = k.type == Type::S32 || k.type == Type::S64, wide = size == 8;
  if (size != 4 && size != 8) return nullptr;
  switch (k.op) {
    case Op::Bfe:
      if (wide) return sgn ? map3<V, V, U, U, extract<V, true>> : map3<V, V, U, U, extract<V, false>>;
      return sgn ? map3<U, U, U, U, extract<U, true>> : map3<U, U, U, U, extract<U, false>>;
    case Op::Bfi: return wide ? insert<V> : insert<U>;
    case Op::Bfind:
      if (k.mode == Mode::Shiftamt) {
        if (wide) return sgn ? map1<U, V, find_bit<V, true, true>> : map1<U, V, find_bit<V, false, true>>;
        return sgn ? map1<U, U, find_bit<U, true, true>> : map1<U, U, find_bit<U, false, true>>;
      }
      if (wide) return sgn ? map1<U, V, find_bit<V, true, false>> : map1<U, V, find_bit<V, false, false>>;
      return sgn ? map1<U, U, find_bit<U, true, false>> : map1<U, U, find_bit<U, false, false>>;
    case Op::Brev: return wide ? map1<V, V, reversed<V>> : map1<U, U, reversed<U>>;
    case Op::Clz:
      return wide ? map1<U, V, [](V a) -> U { return a ? __builtin_clzll(a) : 64; }> : map1<U, U, [](U a) -> U { return a ? __builtin_clz(a) : 32; }>;
    case Op::Popc: return wide ? map1<U, V, [](V a) -> U { return __builtin_popcountll(a); }> : map1<U, U, [](U a) -> U { return __builtin_popcount(a); }>;
    case Op::Prmt: return wide ? nullptr : permutation(k);
    case Op::Shf: return wide ? nullptr : funnel_shift(k);
    case Op::Lop3: return wide ? nullptr : lop3<U>;
    case Op::Dp4a: {
      if (wide || size_of(k.from) != 4) return nullptr;
      const bool b = k.from == Type::S32;
      if (sgn) return b ? map3<U, U, U, U, dot4<true, true>> : map3<U, U, U, U, dot4<true, false>>;
      return b ? map3<U, U, U, U, dot4<false, true>> : map3<U, U, U, U, dot4<false, false>>;
    }
    case Op::Slct:
      if (k.from == Type::S32)
        return wide ? map3<V, V, V, int32_t, ([](V a, V b, int32_t c) { return c >= 0 ? a : b; })>
                    : map3<U, U, U, int32_t, ([](U a, U b, int32_t c) { return c >= 0 ? a : b; })>;
      if (k.from == Type::F32 && !k.has(kFtz))
        return wide ? map3<V, V, V, float, ([](V a, V b, float c) { return c >= 0 ? a : b; })>
                    : map3<U, U, U, float, ([](U a, U b, float c) { return c >= 0 ? a : b; })>;
      return nullptr;
    default: return nullptr;
  }
}

Handler select_integer(const Key &k) {
  const int size = size_of(k.type);
  switch (k.op) {
    case Op::Mov: return move(k);
    case Op::Selp:
      if (size == 8) return k.has(kNegateC) ? select_pred<uint64_t, true> : select_pred<uint64_t, false>;
      if (size == 4) return k.has(kNegateC) ? select_pred<uint32_t, true> : select_pred<uint32_t, false>;
      return size == 2 ? (k.has(kNegateC) ? select_pred<uint16_t, true> : select_pred<uint16_t, false>) : nullptr;
    case Op::Mul: case Op::Mad:
      return size == 8 ? multiply<uint64_t, unsigned __int128>(k) : size == 4 ? multiply<uint32_t, uint64_t>(k) : size == 2 ? multiply<uint16_t, uint32_t>(k) : nullptr;
    case Op::Isspacep:
      return k.space == Space::Shared ? is_space<kSharedWindow> : k.space == Space::Local ? is_space<kLocalWindow>
             : k.space == Space::Param ? is_space<kParamWindow> : k.space == Space::Global ? is_space<0> : nullptr;
    case Op::Bfe: case Op::Bfi: case Op::Bfind: case Op::Brev: case Op::Clz: case Op::Popc: case Op::Prmt: case Op::Shf: case Op::Lop3:
    case Op::Dp4a: case Op::Slct:
      return integer_special(k);
    default:
      if (k.type == Type::Pred) return predicate_logic(k);
      return size == 8 ? integer_any<uint64_t>(k) : size == 4 ? integer_any<uint32_t>(k) : size == 2 ? integer_any<uint16_t>(k) : nullptr;
  }
}
