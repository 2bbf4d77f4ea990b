// Instructions in which lanes meet: shuffles, votes, barriers.

#include "lanes_combine.h"

[[gnu::noinline]] void membership_fault(const Warp &w, const Inst &i, const uint32_t *m) {
  for_lanes(w.mask, [&](int l) {
    if (!(m[l] >> l & 1)) fault(w, i, l, kLaunchFailed, "warp-sync", "executes a .sync instruction whose mask does not name it");
    if (const uint32_t missing = m[l] & w.live & ~w.mask)
      fault(w, i, l, kLaunchFailed, "warp-sync", "waits in a .sync instruction for lane " + std::to_string(first_lane(missing)) + ", which is elsewhere");
  });
}

// members checks the membermask of a .sync instruction: who executes is named, who is named and has not exited executes.
inline const typename Alias<uint32_t>::type *members(Warp &w, const Inst &i) {
  const auto *m = reg<uint32_t>(w, w.program->lists[i.list]);
  const uint32_t elsewhere = w.live & ~w.mask;
  uint32_t bad = 0;
  for (int l = 0; l < 32; l++) bad |= ((~m[l] & (1u << l)) | (m[l] & elsewhere)) & static_cast<uint32_t>(w.lanes[l]);
  if (bad) [[unlikely]] membership_fault(w, i, m);
  return m;
}

template <Mode M>
const Inst *shuffle(Warp &w, const Inst &i) {
  const auto *m = members(w, i);
  alignas(64) uint32_t v[32];
  std::memcpy(v, w.regs + i.a, sizeof v);
  const auto *b = reg<uint32_t>(w, i.b), *c = reg<uint32_t>(w, i.c);
  alignas(64) int32_t from[32];
  const uint32_t ok = bits([&](int lane) {
    const int bval = b[lane] & 31, cval = c[lane] & 31, seg = c[lane] >> 8 & 31;
    const int high = (lane & seg) | (cval & ~seg), low = lane & seg;
    int j = M == Mode::Up ? lane - bval : M == Mode::Down ? lane + bval : M == Mode::Bfly ? lane ^ bval : low | (bval & ~seg);
    const bool p = M == Mode::Up ? j >= high : j <= high;
    from[lane] = p ? j : lane;
    return p;
  });
  alignas(64) uint32_t r[32];
  uint32_t bad = 0;
  for (int l = 0; l < 32; l++) {
    r[l] = v[from[l] & 31];
    bad |= static_cast<uint32_t>(!(w.mask & m[l] & (1u << (from[l] & 31)))) << l;
  }
  if (bad &= w.mask) {
    const int l = first_lane(bad);
    fault(w, i, l, kLaunchFailed, "warp-sync", "shuffles from lane " + std::to_string(from[l]) + ", which does not take part");
  }
  each(w, reg<uint32_t>(w, i.d), [&](int l) { return r[l]; });
  set_pred(w, w.program->lists[i.list + 1], ok);
  return &i + 1;
}

Handler select_shuffle(const Key &k) {
  if (k.type != Type::B32) return nullptr;
  switch (k.mode) {
    case Mode::Up: return shuffle<Mode::Up>;
    case Mode::Down: return shuffle<Mode::Down>;
    case Mode::Bfly: return shuffle<Mode::Bfly>;
    case Mode::Idx: return shuffle<Mode::Idx>;
    default: return nullptr;
  }
}

template <Mode M, bool Negate>
const Inst *vote(Warp &w, const Inst &i) {
  const auto *m = members(w, i);
  const uint32_t p = Negate ? ~pred(w, i.a) : pred(w, i.a), active = w.mask;
  if (M == Mode::Ballot) {
    each(w, reg<uint32_t>(w, i.d), [&](int l) { return p & m[l] & active; });
    return &i + 1;
  }
  set_pred(w, i.d, bits([&](int l) {
    const uint32_t all = m[l] & active, yes = p & all;
    return M == Mode::All ? yes == all : M == Mode::Any ? yes != 0 : yes == all || yes == 0;
  }));
  return &i + 1;
}

Handler select_vote(const Key &k) {
  const bool n = k.has(kNegateC);
  if (k.type != (k.mode == Mode::Ballot ? Type::B32 : Type::Pred)) return nullptr;
  switch (k.mode) {
    case Mode::All: return n ? vote<Mode::All, true> : vote<Mode::All, false>;
    case Mode::Any: return n ? vote<Mode::Any, true> : vote<Mode::Any, false>;
    case Mode::Uni: return n ? vote<Mode::Uni, true> : vote<Mode::Uni, false>;
    case Mode::Ballot: return n ? vote<Mode::Ballot, true> : vote<Mode::Ballot, false>;
    default: return nullptr;
  }
}

template <class T, bool All>
const Inst *match(Warp &w, const Inst &i) {
  const auto *m = members(w, i);
  alignas(64) T v[32];
  std::memcpy(v, w.regs + i.a, sizeof v);
  alignas(64) uint32_t r[32] = {};
  uint32_t p = 0;
  for_lanes(w.mask, [&](int l) {
    const uint32_t group = m[l] & w.mask, same = group & bits([&](int o) { return v[o] == v[l]; });
    r[l] = All ? (same == group ? group : 0) : same;
    p |= static_cast<uint32_t>(same == group) << l;
  });
  each(w, reg<uint32_t>(w, i.d), [&](int l) { return r[l]; });
  set_pred(w, w.program->lists[i.list + 1], p);
  return &i + 1;
}

template <class T, Mode M>
const Inst *reduce(Warp &w, const Inst &i) {
  const auto *m = members(w, i);
  alignas(64) T v[32], r[32] = {};
  std::memcpy(v, w.regs + i.a, sizeof v);
  uint32_t left = w.mask;
  while (left) {
    const uint32_t group = m[first_lane(left)] & w.mask;
    T sum = v[first_lane(left)];
    for_lanes(group & (group - 1), [&](int l) { sum = combined<T, M>(sum, v[l], 0); });
    for_lanes(group, [&](int l) { r[l] = sum; });
    left &= ~group;
  }
  each(w, reg<T>(w, i.d), [&](int l) { return r[l]; });
  return &i + 1;
}

template <class T>
Handler reduce_as(const Key &k) {
  switch (k.mode) {
    case Mode::Add: return reduce<T, Mode::Add>;
    case Mode::Min: return reduce<T, Mode::Min>;
    case Mode::Max: return reduce<T, Mode::Max>;
    case Mode::And: return reduce<T, Mode::And>;
    case Mode::Or: return reduce<T, Mode::Or>;
    case Mode::Xor: return reduce<T, Mode::Xor>;
    default: return nullptr;
  }
}

const Inst *active_mask(Warp &w, const Inst &i) {
  const uint32_t m = w.mask;
  each(w, reg<uint32_t>(w, i.d), [&](int) { return m; });
  return &i + 1;
}

const Inst *warp_barrier(Warp &w, const Inst &i) {
  const auto *m = members(w, i);
  if (!w.worker->check_shared) return &i + 1;
  for (uint32_t left = w.mask; left;) {
    const uint32_t group = m[first_lane(left)] & w.mask;
    w.worker->race.warp_barrier(w.index, group, group == w.live);
    left &= ~group;
  }
  return &i + 1;
}

// Operands of a barrier must agree within the warp.
template <Mode M, Mode Reduce, bool Negate>
const Inst *barrier(Warp &w, const Inst &i) {
  const int l = first_lane(w.mask);
  const uint32_t id = reg<uint32_t>(w, w.program->lists[i.list])[l], threads = reg<uint32_t>(w, w.program->lists[i.list + 1])[l];
  const uint32_t p = M != Mode::Red ? 0 : Negate ? ~pred(w, i.a) : pred(w, i.a);
  return barrier_arrive(w, i, id, threads, p, M, Reduce);
}

Handler select_barrier(const Key &k) {
  const bool n = k.has(kNegateC);
  if (k.mode == Mode::Sync) return barrier<Mode::Sync, Mode::None, false>;
  if (k.mode == Mode::Arrive) return barrier<Mode::Arrive, Mode::None, false>;
  if (k.mode != Mode::Red) return nullptr;
  switch (k.mode2) {
    case Mode::And: return n ? barrier<Mode::Red, Mode::And, true> : barrier<Mode::Red, Mode::And, false>;
    case Mode::Or: return n ? barrier<Mode::Red, Mode::Or, true> : barrier<Mode::Red, Mode::Or, false>;
    case Mode::Popc: return n ? barrier<Mode::Red, Mode::Popc, true> : barrier<Mode::Red, Mode::Popc, false>;
    default: return nullptr;
  }
}

Handler select_warp(const Key &k) {
  switch (k.op) {
    case Op::Shfl: return select_shuffle(k);
    case Op::Vote: return select_vote(k);
    case Op::Match:
      if (k.mode == Mode::Any) return size_of(k.type) == 8 ? match<uint64_t, false> : match<uint32_t, false>;
      return size_of(k.type) == 8 ? match<uint64_t, true> : match<uint32_t, true>;
    case Op::Redux: return k.type == Type::S32 ? reduce_as<int32_t>(k) : size_of(k.type) == 4 ? reduce_as<uint32_t>(k) : nullptr;
    case Op::Activemask: return active_mask;
    case Op::BarWarp: return warp_barrier;
    case Op::Bar: return select_barrier(k);
    default: return nullptr;
  }
}
