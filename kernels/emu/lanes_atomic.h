// Atomics: lane by lane, in the order of the lanes.

#include "lanes_access.h"
#include "lanes_combine.h"

template <class T, Mode M>
inline T atomically(uint8_t *p, T b, T c) {
  using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  U *at = reinterpret_cast<typename Alias<U>::type *>(p);
  U old = __atomic_load_n(at, __ATOMIC_RELAXED);
  for (;;) {
    const U next = std::bit_cast<U>(combined<T, M>(std::bit_cast<T>(old), b, c));
    if (__atomic_compare_exchange_n(at, &old, next, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return std::bit_cast<T>(old);
  }
}

template <class T, Mode M, bool Returns, bool Shared>
const Inst *atomic(Warp &w, const Inst &i) {
  Access x;
  aim(w, i, sizeof(T), "atomic", x);
  alignas(64) T b[32], c[32];
  std::memcpy(b, w.regs + i.b, sizeof b);
  if (M == Mode::Cas) std::memcpy(c, w.regs + i.c, sizeof c);
  auto *d = reg<T>(w, i.d);
  auto all = [&](uint8_t *base, const Access &y) {
    for_lanes(w.mask, [&](int l) {
      const T old = atomically<T, M>(base + y.at[l], b[l], c[l]);
      if (Returns) d[l] = old;
    });
  };
  auto global = [&](const Access &y) {
    if (Cache *c = w.worker->cache.get()) through_cache(*c, y.at, w.mask, false), through_cache(*c, y.at, w.mask, true);
    in_extents(w, i, y, "updates", [&](const Memory::Extent &e) {
      if (w.worker->options->check_uninitialised) find_unwritten(w, i, y, "global", e.written - e.lo);
      all(e.data - e.lo, y);
    });
  };
  auto shared = [&](const Access &y) {
    shared_bounds(w, i, y, "updates");
    if (w.worker->check_shared) for_lanes(w.mask, [&](int l) {
      const uint32_t at = static_cast<uint32_t>(y.at[l]);
      RaceCheck &race = w.worker->race;
      if (race.unwritten(at, sizeof(T))) unwritten_fault(w, i, l, "shared", at, sizeof(T), 0);
      if (const auto conflict = race.write(w.index, l, at, sizeof(T), true)) race_fault(w, i, conflict);
    });
    all(w.block->shared, y);
  };
  if (Shared) shared(x);
  else by_window(w, x, [&](Space space, const Access &y) {
    if (space == Space::Global) global(y);
    else if (space == Space::Shared) shared(y);
    else range_fault(w, i, first_lane(w.mask), "local", y.at[first_lane(w.mask)], y.bytes, 0, "updates atomically");
  });
  return &i + 1;
}

template <class T, Mode M>
Handler atomic_in(const Key &k) {
  if (k.space != Space::Generic && k.space != Space::Global && k.space != Space::Shared) return nullptr;
  const bool shared = k.space == Space::Shared;
  if (k.op == Op::Red) return shared ? atomic<T, M, false, true> : atomic<T, M, false, false>;
  return shared ? atomic<T, M, true, true> : atomic<T, M, true, false>;
}

template <class T>
Handler atomic_as(const Key &k) {
  switch (k.mode) {
    case Mode::Add: return atomic_in<T, Mode::Add>(k);
    case Mode::Exch: return k.op == Op::Atom ? atomic_in<T, Mode::Exch>(k) : nullptr;
    default: break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (k.mode) {
      case Mode::Min: return atomic_in<T, Mode::Min>(k);
      case Mode::Max: return atomic_in<T, Mode::Max>(k);
      case Mode::And: return atomic_in<T, Mode::And>(k);
      case Mode::Or: return atomic_in<T, Mode::Or>(k);
      case Mode::Xor: return atomic_in<T, Mode::Xor>(k);
      case Mode::Cas: return k.op == Op::Atom ? atomic_in<T, Mode::Cas>(k) : nullptr;
      case Mode::Inc: return sizeof(T) == 4 ? atomic_in<T, Mode::Inc>(k) : nullptr;
      case Mode::Dec: return sizeof(T) == 4 ? atomic_in<T, Mode::Dec>(k) : nullptr;
      default: break;
    }
  }
  return nullptr;
}

Handler select_atomic(const Key &k) {
  switch (k.type) {
    case Type::B32: case Type::U32: return atomic_as<uint32_t>(k);
    case Type::S32: return atomic_as<int32_t>(k);
    case Type::B64: case Type::U64: return atomic_as<uint64_t>(k);
    case Type::S64: return atomic_as<int64_t>(k);
    case Type::F32: return k.mode == Mode::Add ? atomic_as<float>(k) : nullptr;
    case Type::F64: return k.mode == Mode::Add ? atomic_as<double>(k) : nullptr;
    default: return nullptr;
  }
}
