// Loads and stores.

#include "lanes_access.h"

// fetch loads the active lanes' elements from base + address, which all lie in bounds.
template <class Mem, class Out>
inline void fetch(Warp &w, const Inst &i, const Access &x, const uint8_t *base) {
  const int n = i.count;
  const int32_t *list = w.program->lists.data() + i.list;
  if (x.row) {
    const uint8_t *p = base + x.at[0];
    for (int v = 0; v < n; v++) {
      auto *d = reg<Out>(w, list[v]);
      const uint8_t *q = p + v * sizeof(Mem);
      if (n == 1) {
        for (int l = 0; l < 32; l++) {
          Mem m;
          std::memcpy(&m, q + l * sizeof(Mem), sizeof m);
          d[l] = static_cast<Out>(m);
        }
      } else {
        for (int l = 0; l < 32; l++) {
          Mem m;
          std::memcpy(&m, q + l * n * sizeof(Mem), sizeof m);
          d[l] = static_cast<Out>(m);
        }
      }
    }
    return;
  }
  if (x.same) {
    const uint8_t *p = base + x.at[first_lane(w.mask)];
    for (int v = 0; v < n; v++) {
      Mem m;
      std::memcpy(&m, p + v * sizeof(Mem), sizeof m);
      const Out value = static_cast<Out>(m);
      each(w, reg<Out>(w, list[v]), [&](int) { return value; });
    }
    return;
  }
  for (int v = 0; v < n; v++) {
    auto *d = reg<Out>(w, list[v]);
    const uint8_t *q = base + v * sizeof(Mem);
    for_lanes(w.mask, [&](int l) {
      Mem m;
      std::memcpy(&m, q + x.at[l], sizeof m);
      d[l] = static_cast<Out>(m);
    });
  }
}

// put stores the active lanes' elements, the highest lane last.
template <class Mem, class In>
inline void put(Warp &w, const Inst &i, const Access &x, uint8_t *base) {
  const int n = i.count;
  const int32_t *list = w.program->lists.data() + i.list;
  for (int v = 0; v < n; v++) {
    const auto *s = reg<In>(w, list[v]);
    uint8_t *q = base + v * sizeof(Mem);
    if (x.row) {
      uint8_t *p = q + x.at[0];
      for (int l = 0; l < 32; l++) {
        const Mem m = static_cast<Mem>(s[l]);
        std::memcpy(p + l * x.bytes, &m, sizeof m);
      }
    } else {
      for_lanes(w.mask, [&](int l) {
        const Mem m = static_cast<Mem>(s[l]);
        std::memcpy(q + x.at[l], &m, sizeof m);
      });
    }
  }
}

// --- global (and const) memory

template <class Mem, class Out>
[[gnu::noinline]] void load_global(Warp &w, const Inst &i, const Access &x) {
  Worker &k = *w.worker;
  const uint32_t lanes = __builtin_popcount(w.mask);
  k.counters.global_loads++;
  k.counters.global_load_bytes += lanes * x.bytes;
  k.counters.global_load_sectors += sectors_of(w, x);
  if (k.cache) through_cache(*k.cache, x.at, w.mask, false);
  const bool check = k.options->check_uninitialised;
  in_extents(w, i, x, "reads", [&](const Memory::Extent &e) {
    if (check) {
      const uint8_t *written = e.written - e.lo;
      bool ok = true;
      if (x.row && w.full) ok = row_written(written + x.at[0], 32 * x.bytes);
      else if (x.same) ok = all_written(written + x.at[first_lane(w.mask)], x.bytes);
      else for_lanes(w.mask, [&](int l) { ok &= all_written(written + x.at[l], x.bytes); });
      if (!ok) [[unlikely]] find_unwritten(w, i, x, "global", written);
    }
    if (x.row && !w.full) {  // a row across two allocations
      Access y = x;
      y.row = false;
      fetch<Mem, Out>(w, i, y, e.data - e.lo);
    } else {
      fetch<Mem, Out>(w, i, x, e.data - e.lo);
    }
  });
}

template <class Mem, class In>
[[gnu::noinline]] void store_global(Warp &w, const Inst &i, const Access &x) {
  Worker &k = *w.worker;
  k.counters.global_stores++;
  k.counters.global_store_bytes += __builtin_popcount(w.mask) * x.bytes;
  k.counters.global_store_sectors += sectors_of(w, x);
  if (k.cache) through_cache(*k.cache, x.at, w.mask, true);
  in_extents(w, i, x, "writes", [&](const Memory::Extent &e) {
    uint8_t *written = e.written - e.lo;
    Access y = x;
    y.row = x.row && w.full;
    if (y.row) std::memset(written + x.at[0], 1, 32 * x.bytes);
    else for_lanes(w.mask, [&](int l) { std::memset(written + x.at[l], 1, x.bytes); });
    put<Mem, In>(w, i, y, e.data - e.lo);
  });
}

template <class Mem, class Out>
[[gnu::noinline]] void load_shared(Warp &w, const Inst &i, const Access &x) {
  Counters &c = w.worker->counters;
  c.shared_loads++;
  c.shared_load_bytes += __builtin_popcount(w.mask) * x.bytes;
  if (!x.row && !x.same) c.shared_load_conflicts += bank_conflicts(x.at, w.mask, x.bytes);
  shared_bounds(w, i, x, "reads");
  check_shared<false>(w, i, x);
  fetch<Mem, Out>(w, i, x, w.block->shared);
}

// Two lanes of one store to one place, with different values: which one stays is not defined.
template <class In>
inline void same_store(Warp &w, const Inst &i, const Access &x) {
  if (!w.worker->options->check_races) return;
  const int32_t *list = w.program->lists.data() + i.list;
  const int first = first_lane(w.mask);
  for (int v = 0; v < i.count; v++) {
    const auto *s = reg<In>(w, list[v]);
    for_lanes(w.mask, [&](int l) {
      if (s[l] == s[first]) return;
      RaceCheck::Conflict c{RaceCheck::kSameInstruction, static_cast<uint32_t>(x.at[l]), w.index, static_cast<uint32_t>(l),
                            RaceCheck::record(1, RaceCheck::kPlain, w.index, first)};
      race_fault(w, i, c);
    });
  }
}

template <class Mem, class In>
[[gnu::noinline]] void store_shared(Warp &w, const Inst &i, const Access &x) {
  Counters &c = w.worker->counters;
  c.shared_stores++;
  c.shared_store_bytes += __builtin_popcount(w.mask) * x.bytes;
  if (!x.row && !x.same) c.shared_store_conflicts += bank_conflicts(x.at, w.mask, x.bytes);
  shared_bounds(w, i, x, "writes");
  if (x.same) {  // one writer stands for all
    same_store<In>(w, i, x);
    with_lanes(w, w.mask & -w.mask, [&] { check_shared<true>(w, i, x); });
  } else {
    check_shared<true>(w, i, x);
  }
  put<Mem, In>(w, i, x, w.block->shared);
}

// --- local memory and parameters

inline void local_bounds(const Warp &w, const Inst &i, const Access &x, const char *verb) {
  const uint64_t size = w.program->local_bytes;
  for_lanes(w.mask, [&](int l) {
    if (x.at[l] >= size || x.at[l] + x.bytes > size) range_fault(w, i, l, "local", x.at[l], x.bytes, size, verb);
  });
}

inline Access by_lane(const Warp &w, const Access &x) {  // local addresses to offsets into the warp's store
  Access y = x;
  y.row = y.same = false;
  for (int l = 0; l < 32; l++) y.at[l] += static_cast<uint64_t>(l) * w.program->local_bytes;
  return y;
}

template <class Mem, class Out>
[[gnu::noinline]] void load_local(Warp &w, const Inst &i, const Access &x) {
  w.worker->counters.local_load_bytes += __builtin_popcount(w.mask) * x.bytes;
  local_bounds(w, i, x, "reads");
  const Access y = by_lane(w, x);
  if (w.worker->options->check_uninitialised) {
    for_lanes(w.mask, [&](int l) {
      for (uint32_t k = 0; k < x.bytes; k++)
        if (!w.local_written[y.at[l] + k]) unwritten_fault(w, i, l, "local", x.at[l], x.bytes, k);
    });
  }
  fetch<Mem, Out>(w, i, y, w.local);
}

template <class Mem, class In>
[[gnu::noinline]] void store_local(Warp &w, const Inst &i, const Access &x) {
  w.worker->counters.local_store_bytes += __builtin_popcount(w.mask) * x.bytes;
  local_bounds(w, i, x, "writes");
  const Access y = by_lane(w, x);
  for_lanes(w.mask, [&](int l) { std::memset(w.local_written + y.at[l], 1, x.bytes); });
  put<Mem, In>(w, i, y, w.local);
}

template <class Mem, class Out>
[[gnu::noinline]] void load_param(Warp &w, const Inst &i, const Access &x) {
  const uint64_t size = w.program->param_bytes;
  for_lanes(w.mask, [&](int l) {
    if (x.at[l] >= size || x.at[l] + x.bytes > size) range_fault(w, i, l, "param", x.at[l], x.bytes, size, "reads");
  });
  fetch<Mem, Out>(w, i, x, w.params);
}

template <class Mem, class Out, Space S>
const Inst *load(Warp &w, const Inst &i) {
  Access x;
  constexpr const char *kNames[] = {"generic", "global", "shared", "local", "param", "const", ""};
  aim(w, i, sizeof(Mem) * i.count, kNames[static_cast<int>(S)], x);
  if constexpr (S == Space::Global || S == Space::Const) load_global<Mem, Out>(w, i, x);
  else if constexpr (S == Space::Shared) load_shared<Mem, Out>(w, i, x);
  else if constexpr (S == Space::Local) load_local<Mem, Out>(w, i, x);
  else if constexpr (S == Space::Param) load_param<Mem, Out>(w, i, x);
  else
    by_window(w, x, [&](Space space, const Access &y) {
      if (space == Space::Global) load_global<Mem, Out>(w, i, y);
      else if (space == Space::Shared) load_shared<Mem, Out>(w, i, y);
      else if (space == Space::Local) load_local<Mem, Out>(w, i, y);
      else load_param<Mem, Out>(w, i, y);
    });
  return &i + 1;
}

template <class Mem, class In, Space S>
const Inst *store(Warp &w, const Inst &i) {
  Access x;
  constexpr const char *kNames[] = {"generic", "global", "shared", "local", "param", "const", ""};
  aim(w, i, sizeof(Mem) * i.count, kNames[static_cast<int>(S)], x);
  if constexpr (S == Space::Global) store_global<Mem, In>(w, i, x);
  else if constexpr (S == Space::Shared) store_shared<Mem, In>(w, i, x);
  else if constexpr (S == Space::Local) store_local<Mem, In>(w, i, x);
  else
    by_window(w, x, [&](Space space, const Access &y) {
      if (space == Space::Global) store_global<Mem, In>(w, i, y);
      else if (space == Space::Shared) store_shared<Mem, In>(w, i, y);
      else if (space == Space::Local) store_local<Mem, In>(w, i, y);
      else range_fault(w, i, first_lane(w.mask), "param", y.at[first_lane(w.mask)], y.bytes, 0, "writes");
    });
  return &i + 1;
}

template <class Mem, class Out>
Handler load_from(const Key &k) {
  switch (k.space) {
    case Space::Generic: return load<Mem, Out, Space::Generic>;
    case Space::Global: return load<Mem, Out, Space::Global>;
    case Space::Shared: return load<Mem, Out, Space::Shared>;
    case Space::Local: return load<Mem, Out, Space::Local>;
    case Space::Param: return load<Mem, Out, Space::Param>;
    case Space::Const: return load<Mem, Out, Space::Const>;
    default: return nullptr;
  }
}

template <class Mem>
Handler load_into(const Key &k) {  // sign-extended when Mem is signed
  constexpr bool s = std::is_signed_v<Mem>;
  if constexpr (sizeof(Mem) <= 2)
    if (k.dst_bytes == 2) return load_from<Mem, std::conditional_t<s, int16_t, uint16_t>>(k);
  if constexpr (sizeof(Mem) <= 4)
    if (k.dst_bytes == 4) return load_from<Mem, std::conditional_t<s, int32_t, uint32_t>>(k);
  return k.dst_bytes == 8 ? load_from<Mem, std::conditional_t<s, int64_t, uint64_t>>(k) : nullptr;
}

template <class Mem, class In>
Handler store_to(const Key &k) {
  switch (k.space) {
    case Space::Generic: return store<Mem, In, Space::Generic>;
    case Space::Global: return store<Mem, In, Space::Global>;
    case Space::Shared: return store<Mem, In, Space::Shared>;
    case Space::Local: return store<Mem, In, Space::Local>;
    default: return nullptr;
  }
}

template <class Mem>
Handler store_as(const Key &k) {
  if constexpr (sizeof(Mem) <= 2)
    if (k.src_bytes == 2) return store_to<Mem, uint16_t>(k);
  if constexpr (sizeof(Mem) <= 4)
    if (k.src_bytes == 4) return store_to<Mem, uint32_t>(k);
  return k.src_bytes == 8 ? store_to<Mem, uint64_t>(k) : nullptr;
}

Handler select_memory(const Key &k) {
  const int size = size_of(k.type);
  if (size * k.vec > 16) return nullptr;
  if (k.op == Op::St) return size == 1 ? store_as<uint8_t>(k) : size == 2 ? store_as<uint16_t>(k) : size == 4 ? store_as<uint32_t>(k) : store_as<uint64_t>(k);
  switch (k.type) {
    case Type::S8: return load_into<int8_t>(k);
    case Type::S16: return load_into<int16_t>(k);
    case Type::S32: return load_into<int32_t>(k);
    default: return size == 1 ? load_into<uint8_t>(k) : size == 2 ? load_into<uint16_t>(k) : size == 4 ? load_into<uint32_t>(k) : load_into<uint64_t>(k);
  }
}
