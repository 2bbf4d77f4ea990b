// What every access to memory goes through: addresses and their shape, alignment, bounds, shared-memory records.
//
// Every access is checked: alignment, bounds, and for reads that somebody wrote the bytes. The common shapes have fast paths: all
// lanes read one run of memory (a row), or all read the same place.

// Where the lanes go.
struct Access {
  alignas(64) uint64_t at[32];
  uint32_t bytes;  // per lane
  bool row, same;  // consecutive, all 32 lanes; one address for all active lanes
};

// aim computes the addresses and their shape, and checks alignment.
inline void aim(const Warp &w, const Inst &i, uint32_t bytes, const char *space, Access &x) {
  x.bytes = bytes;
  if (i.a_wide) {
    const auto *a = reg<uint64_t>(const_cast<Warp &>(w), i.a);
    for (int l = 0; l < 32; l++) x.at[l] = a[l] + i.imm;
  } else {
    const auto *a = reg<uint32_t>(const_cast<Warp &>(w), i.a);
    for (int l = 0; l < 32; l++) x.at[l] = static_cast<uint32_t>(a[l] + i.imm);
  }
  const uint64_t base = x.at[first_lane(w.mask)];
  uint64_t low = 0, differs = 0;
  for (int l = 0; l < 32; l++) {
    const uint64_t m = static_cast<int64_t>(w.lanes[l]);
    low |= x.at[l] & m;
    differs |= (x.at[l] ^ base) & m;
  }
  x.same = differs == 0;
  x.row = false;
  if (w.full && !x.same) {
    uint64_t off = 0;
    for (int l = 0; l < 32; l++) off |= x.at[l] ^ (base + static_cast<uint64_t>(l) * bytes);
    x.row = off == 0;
  }
  if (low & (bytes - 1)) {
    for_lanes(w.mask, [&](int l) {
      if (x.at[l] & (bytes - 1)) misaligned_fault(w, i, l, space, x.at[l], bytes);
    });
  }
}

inline bool all_written(const uint8_t *p, uint32_t n) {  // n is 1, 2, 4, 8 or 16
  uint64_t u = 0, v = 0;
  switch (n) {
    case 1: return *p;
    case 2: std::memcpy(&u, p, 2); return u == 0x0101;
    case 4: std::memcpy(&u, p, 4); return u == 0x01010101;
    case 8: std::memcpy(&u, p, 8); return u == 0x0101010101010101;
    default:
      std::memcpy(&u, p, 8), std::memcpy(&v, p + 8, 8);
      return (u & v) == 0x0101010101010101;
  }
}

inline bool row_written(const uint8_t *p, uint32_t n) {  // n is a multiple of 32
  uint8_t all = 1;
  for (uint32_t k = 0; k < n; k++) all &= p[k];
  return all;
}

[[gnu::noinline, maybe_unused]] void find_unwritten(const Warp &w, const Inst &i, const Access &x, const char *space, const uint8_t *written) {
  for_lanes(w.mask, [&](int l) {  // written + address: the byte's shadow
    for (uint32_t k = 0; k < x.bytes; k++)
      if (!written[x.at[l] + k]) unwritten_fault(w, i, l, space, x.at[l], x.bytes, k);
  });
}

// in_extents calls f(extent) for the lanes of each allocation in turn, with only those active. Almost always that is one call.
template <class F>
inline void in_extents(Warp &w, const Inst &i, const Access &x, const char *verb, F f) {
  Worker &k = *w.worker;
  Memory::Extent &e = k.extents[i.number];
  uint32_t left = w.mask;
  for (;;) {
    const uint64_t room = e.hi - e.lo;
    if (room >= x.bytes) {
      const uint64_t lo = e.lo, last = room - x.bytes;
      const uint32_t inside = left & bits([&](int l) { return x.at[l] - lo <= last; });
      if (inside) with_lanes(w, inside, [&] { f(e); });
      left &= ~inside;
      if (!left) return;
    }
    const int l = first_lane(left);
    e = k.memory->find(x.at[l]);
    if (e.hi - e.lo < x.bytes || x.at[l] - e.lo > e.hi - e.lo - x.bytes) global_fault(w, i, l, x.at[l], x.bytes, verb);
  }
}

inline uint32_t sectors_of(const Warp &w, const Access &x) {
  if (x.row || x.same) {
    const uint64_t first = x.at[first_lane(w.mask)], last = first + (x.row ? 32 * x.bytes : x.bytes) - 1;
    return static_cast<uint32_t>((last >> 5) - (first >> 5) + 1);
  }
  return sectors(x.at, w.mask, x.bytes);
}

// --- shared memory

inline void shared_bounds(const Warp &w, const Inst &i, const Access &x, const char *verb) {
  const uint64_t size = w.block->shared_bytes;
  uint64_t highest = 0;
  for (int l = 0; l < 32; l++) {
    const uint64_t at = x.at[l] & static_cast<uint64_t>(static_cast<int64_t>(w.lanes[l]));
    highest = at > highest ? at : highest;
  }
  if (highest + x.bytes <= size && highest < size) return;
  for_lanes(w.mask, [&](int l) {
    if (x.at[l] >= size || x.at[l] + x.bytes > size) range_fault(w, i, l, "shared", x.at[l], x.bytes, size, verb);
  });
}

// Fast paths of RaceCheck: Unit bytes per lane at consecutive places (or of one lane). False: the careful path has to look.
template <uint32_t Unit, uint32_t Lanes>
inline bool quiet_read(RaceCheck &race, const RaceCheck::Floors &f, uint32_t warp, uint32_t lane, uint32_t at) {
  constexpr uint32_t n = Unit * Lanes;
  const uint32_t me = RaceCheck::record(f.now, RaceCheck::kPlain, warp, lane);
  const uint32_t many = RaceCheck::record(f.now, RaceCheck::kManyWarps, 0, 0);
  const uint32_t in_flight = RaceCheck::record((1u << 20) - 1, RaceCheck::kPlain, 0, 0);
  const uint32_t born = f.uninitialised ? f.born : 0;
  const uint32_t *wr = race.writers() + at;
  uint32_t *rd = race.readers() + at;
  uint32_t bad = 0;
  for (uint32_t k = 0; k < n; k++) {
    const uint32_t mine = me + k / Unit, x = wr[k], r = rd[k];
    const bool written = x > born || !f.uninitialised;
    const bool safe = x <= f.block || !f.races || (((x ^ mine) & 0x3e0) == 0 && x <= f.warp) || ((x ^ mine) & 0x3ff) == 0;
    const bool fresh = r <= f.block || ((r ^ mine) & 0xfff) == 0 || (((r ^ mine) & 0xbe0) == 0 && r <= f.warp) || (r & 0xfff) == (many & 0xfff);
    bad |= static_cast<uint32_t>(!(written & safe & fresh & (x < in_flight)));
  }
  if (bad) return false;
  if (!f.races) return true;
  for (uint32_t k = 0; k < n; k++) {
    const uint32_t mine = me + k / Unit, r = rd[k];
    rd[k] = r > f.block && (r & 0xfff) == (many & 0xfff) ? many : mine;
  }
  return true;
}

// quiet_same: all active lanes, more than one, read the same Unit bytes.
template <uint32_t Unit>
inline bool quiet_same(RaceCheck &race, const RaceCheck::Floors &f, uint32_t warp, uint32_t at) {
  const uint32_t mine = RaceCheck::record(f.now, RaceCheck::kManyLanes, warp, 0);
  const uint32_t many = RaceCheck::record(f.now, RaceCheck::kManyWarps, 0, 0);
  const uint32_t in_flight = RaceCheck::record((1u << 20) - 1, RaceCheck::kPlain, 0, 0);
  const uint32_t *wr = race.writers() + at;
  uint32_t *rd = race.readers() + at;
  for (uint32_t k = 0; k < Unit; k++) {
    const uint32_t x = wr[k], r = rd[k];
    if (f.uninitialised && x <= f.born) return false;
    if (x >= in_flight || !(x <= f.block || !f.races || (((x ^ mine) & 0x3e0) == 0 && x <= f.warp))) return false;
    if (!(r <= f.block || ((r ^ mine) & 0xfe0) == 0 || (((r ^ mine) & 0xbe0) == 0 && r <= f.warp) || (r & 0xfff) == (many & 0xfff))) return false;
  }
  if (!f.races) return true;
  for (uint32_t k = 0; k < Unit; k++) rd[k] = rd[k] > f.block && (rd[k] & 0xfff) == (many & 0xfff) ? many : mine;
  return true;
}

template <uint32_t Unit, uint32_t Lanes>
inline bool quiet_write(RaceCheck &race, const RaceCheck::Floors &f, uint32_t warp, uint32_t lane, uint32_t at) {
  constexpr uint32_t n = Unit * Lanes;
  const uint32_t me = RaceCheck::record(f.now, RaceCheck::kPlain, warp, lane);
  const uint32_t in_flight = RaceCheck::record((1u << 20) - 1, RaceCheck::kPlain, 0, 0);
  uint32_t *wr = race.writers() + at;
  const uint32_t *rd = race.readers() + at;
  uint32_t bad = 0;
  for (uint32_t k = 0; k < n; k++) {
    const uint32_t mine = me + k / Unit, x = wr[k], r = rd[k];
    const bool safe = x <= f.block || (((x ^ mine) & 0x3e0) == 0 && x <= f.warp) || ((x ^ mine) & 0x3ff) == 0;
    const bool read = r <= f.block || ((r ^ mine) & 0xfff) == 0 || (((r ^ mine) & 0xbe0) == 0 && r <= f.warp);
    bad |= static_cast<uint32_t>(!(((safe & read) | !f.races) & (x < in_flight)));
  }
  if (bad) return false;
  for (uint32_t k = 0; k < n; k++) wr[k] = me + k / Unit;
  return true;
}

template <bool Write, uint32_t Unit>
inline void check_lanes(Warp &w, const Inst &i, const Access &x) {
  RaceCheck &race = w.worker->race;
  const RaceCheck::Floors f = race.floors(w.index);
  if (x.row) {
    const bool quiet = Write ? quiet_write<Unit, 32>(race, f, w.index, 0, static_cast<uint32_t>(x.at[0]))
                             : quiet_read<Unit, 32>(race, f, w.index, 0, static_cast<uint32_t>(x.at[0]));
    if (quiet) return;
  }
  if (!Write && x.same && (w.mask & (w.mask - 1)) && quiet_same<Unit>(race, f, w.index, static_cast<uint32_t>(x.at[first_lane(w.mask)]))) return;
  for_lanes(w.mask, [&](int l) {
    const uint32_t at = static_cast<uint32_t>(x.at[l]);
    const bool quiet = Write ? quiet_write<Unit, 1>(race, f, w.index, l, at) : quiet_read<Unit, 1>(race, f, w.index, l, at);
    if (quiet) return;
    const auto c = Write ? race.write(w.index, l, at, x.bytes) : race.read(w.index, l, at, x.bytes);
    if (c) race_fault(w, i, c);
  });
}

template <bool Write>
inline void check_shared(Warp &w, const Inst &i, const Access &x) {
  if (!w.worker->check_shared) return;
  switch (x.bytes) {
    case 1: return check_lanes<Write, 1>(w, i, x);
    case 2: return check_lanes<Write, 2>(w, i, x);
    case 4: return check_lanes<Write, 4>(w, i, x);
    case 8: return check_lanes<Write, 8>(w, i, x);
    default: return check_lanes<Write, 16>(w, i, x);
  }
}

// --- the generic address space

// by_window calls f(space, access) for the lanes of each window with addresses made relative to it.
template <class F>
inline void by_window(Warp &w, const Access &x, F f) {
  const uint32_t special = w.mask & bits([&](int l) { return x.at[l] - kSharedWindow < 3 * kWindow; });
  if (const uint32_t m = w.mask & ~special) with_lanes(w, m, [&] {
    Access y = x;
    y.row = x.row && !special;
    f(Space::Global, y);
  });
  const std::pair<uint64_t, Space> windows[] = {{kSharedWindow, Space::Shared}, {kLocalWindow, Space::Local}, {kParamWindow, Space::Param}};
  for (auto [window, space] : windows) {
    if (!special) return;
    const uint64_t base = window;
    const uint32_t m = special & bits([&](int l) { return x.at[l] - base < kWindow; });
    if (m) with_lanes(w, m, [&] {
      Access y = x;
      y.row = x.row && m == ~0u;
      for (int l = 0; l < 32; l++) y.at[l] -= base;
      f(space, y);
    });
  }
}
