// Flushing, saturation and directed rounding, for the float instructions and conversions.

template <class T>
inline T flush(T x) {  // .ftz: subnormals are zero of the same sign
  return std::abs(x) < std::numeric_limits<T>::min() ? std::copysign(T(0), x) : x;
}

template <class T>
inline T saturate(T x) {  // .sat: to [0, 1], NaN to +0
  return x > T(0) ? (x < T(1) ? x : T(1)) : T(0);
}

// rounded runs a handler with the host's rounding mode set.
template <Handler H, unsigned Mode>
const Inst *rounded(Warp &w, const Inst &i) {
  const unsigned old = _mm_getcsr();
  _mm_setcsr((old & ~0x6000u) | Mode);
  Handler h = H;
  asm volatile("" : "+r"(h) : : "memory");  // keeps the arithmetic between the two changes of mode
  const Inst *next = h(w, i);
  _mm_setcsr(old);
  return next;
}

template <Handler H>
Handler by_rounding(Round r) {
  switch (r) {
    case Round::None: case Round::Rn: return H;
    case Round::Rz: return rounded<H, 0x6000>;
    case Round::Rp: return rounded<H, 0x4000>;
    case Round::Rm: return rounded<H, 0x2000>;
    default: return nullptr;
  }
}
