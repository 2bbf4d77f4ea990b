// Loops over the 32 lanes of a warp. Each lane does the same, so that the compiler vectorises them.
//
// This and the other lanes_*.h are included by both.h into a namespace per instruction set.

template <class T>
struct Alias {
  typedef T type __attribute__((may_alias));
};

// reg is the 32 lanes of a register.
template <class T>
inline typename Alias<T>::type *reg(Warp &w, int32_t at) {
  return reinterpret_cast<typename Alias<T>::type *>(w.regs + at);
}

inline uint32_t &pred(Warp &w, int32_t at) { return *reinterpret_cast<Alias<uint32_t>::type *>(w.regs + at); }

// each sets d[l] = f(l) for the active lanes; f is evaluated for all. d may be one of f's operands, never overlap one in part.
template <class D, class F>
inline void each(const Warp &w, D *d, F f) {
  if (w.full) {
#pragma GCC ivdep
    for (int l = 0; l < 32; l++) d[l] = f(l);
  } else {
#pragma GCC ivdep
    for (int l = 0; l < 32; l++) {
      const auto v = f(l);
      d[l] = w.lanes[l] ? v : d[l];
    }
  }
}

// bits gathers f(l) of all lanes into a mask.
template <class F>
inline uint32_t bits(F f) {
  uint32_t r = 0;
  for (int l = 0; l < 32; l++) r |= static_cast<uint32_t>(f(l) ? 1 : 0) << l;
  return r;
}

inline void set_pred(Warp &w, int32_t at, uint32_t value) {
  uint32_t &p = pred(w, at);
  p = (p & ~w.mask) | (value & w.mask);
}

template <class D, class A, auto F>
const Inst *map1(Warp &w, const Inst &i) {
  auto *d = reg<D>(w, i.d);
  const auto *a = reg<A>(w, i.a);
  each(w, d, [&](int l) -> D { return F(A(a[l])); });
  return &i + 1;
}

template <class D, class A, class B, auto F>
const Inst *map2(Warp &w, const Inst &i) {
  auto *d = reg<D>(w, i.d);
  const auto *a = reg<A>(w, i.a);
  const auto *b = reg<B>(w, i.b);
  each(w, d, [&](int l) -> D { return F(A(a[l]), B(b[l])); });
  return &i + 1;
}

template <class D, class A, class B, class C, auto F>
const Inst *map3(Warp &w, const Inst &i) {
  auto *d = reg<D>(w, i.d);
  const auto *a = reg<A>(w, i.a);
  const auto *b = reg<B>(w, i.b);
  const auto *c = reg<C>(w, i.c);
  each(w, d, [&](int l) -> D { return F(A(a[l]), B(b[l]), C(c[l])); });
  return &i + 1;
}

// for_lanes calls f(l) for every lane of the mask, in order.
template <class F>
inline void for_lanes(uint32_t mask, F f) {
  for (; mask; mask &= mask - 1) f(__builtin_ctz(mask));
}

// with_lanes runs f with other active lanes.
template <class F>
inline void with_lanes(Warp &w, uint32_t mask, F f) {
  const uint32_t old = w.mask;
  if (mask == old) return f();
  w.activate(mask);
  f();
  w.activate(old);
}
