// What atom, red and redux do with two values.

template <class T, Mode M>
inline T combined(T old, T b, T c) {
  switch (M) {
    case Mode::Add: return old + b;
    case Mode::Min: return old < b ? old : b;
    case Mode::Max: return old > b ? old : b;
    case Mode::Inc: return old >= b ? T(0) : old + 1;
    case Mode::Dec: return old == 0 || old > b ? b : old - 1;
    case Mode::Exch: return b;
    case Mode::Cas: return old == b ? c : old;
    default: break;
  }
  if constexpr (std::is_integral_v<T>) {
    if (M == Mode::And) return old & b;
    if (M == Mode::Or) return old | b;
    if (M == Mode::Xor) return old ^ b;
  }
  return old;
}
