#include "race.h"

#include <algorithm>

namespace emu {

void RaceCheck::start(uint32_t bytes, uint32_t warps, bool races, bool uninitialised) {
  if (writer_.size() < bytes) writer_.resize(bytes), reader_.resize(bytes);
  races_ = races, uninitialised_ = uninitialised;
  if (warps_ < warps) {
    warps_ = warps;
    warp_floor_.resize(warps);
    seen_.assign(warps * warps, 0);
    lane_seen_.clear();  // 4 KiB a warp: not before it is needed
    lanes_ = false;
  }
  barrier_all();  // records of the block before are ordered, and older than this block's birth
  born_ = floor_;
}

void RaceCheck::tick() {
  if (++now_ < (1u << 20) - 1) return;
  // Out of times: what was written in this block becomes ordered for all, which misses a race now and then.
  for (uint32_t &r : writer_) r = kind(r) == kInFlight && r > born_ ? r : r > born_ ? record(1, kPlain, 0, 0) : 0;
  std::fill(reader_.begin(), reader_.end(), 0);
  std::fill(warp_floor_.begin(), warp_floor_.end(), 0);
  std::fill(seen_.begin(), seen_.end(), 0);
  std::fill(lane_seen_.begin(), lane_seen_.end(), 0);
  now_ = 2;
  floor_ = record(1, kInFlight, 31, 31);
  born_ = record(0, kInFlight, 31, 31);
}

void RaceCheck::barrier_all() {
  floor_ = record(now_, kInFlight, 31, 31);
  tick();
}

void RaceCheck::barrier_some(const std::vector<std::pair<uint32_t, uint32_t>> &arrived, const std::vector<uint32_t> &released) {
  some_ = true;
  std::vector<uint32_t> joined(warps_, 0);
  for (auto [w, at] : arrived) {
    for (uint32_t o = 0; o < warps_; o++) joined[o] = std::max(joined[o], seen_[w * warps_ + o]);
    joined[w] = std::max(joined[w], at);
  }
  for (uint32_t w : released) {
    for (uint32_t o = 0; o < warps_; o++) seen_[w * warps_ + o] = std::max(seen_[w * warps_ + o], joined[o]);
    warp_floor_[w] = record(now_, kInFlight, 31, 31);
  }
  tick();
}

void RaceCheck::warp_barrier(uint32_t warp, uint32_t lanes, bool all) {
  if (all) {
    warp_floor_[warp] = record(now_, kInFlight, 31, 31);
  } else {
    lanes_ = true;
    lane_seen_.resize(warps_ * 1024);
    uint32_t *seen = &lane_seen_[warp * 1024];
    uint32_t joined[32] = {};
    for (int a = 0; a < 32; a++) {
      if (!(lanes >> a & 1)) continue;
      for (int o = 0; o < 32; o++) joined[o] = std::max(joined[o], seen[a * 32 + o]);
      joined[a] = now_;
    }
    for (int a = 0; a < 32; a++)
      if (lanes >> a & 1) std::copy(joined, joined + 32, seen + a * 32);
  }
  tick();
}

bool RaceCheck::ordered(uint32_t w, uint32_t l, uint32_t r) const {
  if (r <= floor_) return true;
  if (kind(r) == kInFlight) return false;
  if (warp(r) != w) return some_ && seen_[w * warps_ + warp(r)] >= time(r);
  return lane(r) == l || r <= warp_floor_[w] || (lanes_ && lane_seen_[w * 1024 + l * 32 + lane(r)] >= time(r));
}

RaceCheck::Conflict RaceCheck::read(uint32_t w, uint32_t l, uint32_t at, uint32_t bytes) {
  uint32_t last_writer = 0, last_reader = 0, reader = 0;
  for (uint32_t i = at; i < at + bytes; i++) {
    const uint32_t wr = writer_[i];
    if (i == at || wr != last_writer) {
      if (uninitialised_ && wr <= born_) return {kUnwritten, i, w, l, 0};
      if (kind(wr) == kInFlight && wr > floor_) return {kReadInFlight, i, w, l, wr};
      if (races_ && !ordered(w, l, wr)) return {kReadAfterWrite, i, w, l, wr};
      last_writer = wr;
    }
    if (!races_) continue;
    const uint32_t old = reader_[i];
    if (i == at || old != last_reader) {
      last_reader = old;
      const Kind k = kind(old);
      if (old <= floor_) reader = record(now_, kPlain, w, l);
      else if (k == kManyWarps || (warp(old) != w && !ordered(w, l, old))) reader = record(now_, kManyWarps, 0, 0);
      else if (warp(old) == w && old > warp_floor_[w] && (k == kManyLanes || !ordered(w, l, old))) reader = record(now_, kManyLanes, w, l);
      else reader = record(now_, kPlain, w, l);
    }
    reader_[i] = reader;
  }
  return {};
}

RaceCheck::Conflict RaceCheck::write(uint32_t w, uint32_t l, uint32_t at, uint32_t bytes, bool atomic) {
  const uint32_t mine = record(now_, atomic ? kAtomic : kPlain, w, l);
  uint32_t last_writer = 0, last_reader = 0;
  for (uint32_t i = at; i < at + bytes; i++) {
    const uint32_t wr = writer_[i], rd = reader_[i];
    if (i == at || wr != last_writer) {
      if (kind(wr) == kInFlight && wr > floor_) return {kWriteInFlight, i, w, l, wr};
      if (races_ && !(atomic && kind(wr) == kAtomic) && !ordered(w, l, wr)) return {kWriteAfterWrite, i, w, l, wr};
      last_writer = wr;
    }
    if (races_ && (i == at || rd != last_reader)) {
      bool ok = rd <= floor_;
      if (!ok && kind(rd) == kPlain) ok = ordered(w, l, rd);
      // Several lanes of a warp read: one of them at least is another, and precedes only if something ordered this lane since.
      if (!ok && kind(rd) == kManyLanes) {
        if (warp(rd) != w) ok = ordered(w, l, rd);
        else if (rd <= warp_floor_[w]) ok = true;
        else if (lanes_)
          for (int o = 0; o < 32; o++) ok |= static_cast<uint32_t>(o) != l && lane_seen_[w * 1024 + l * 32 + o] >= time(rd);
      }
      if (!ok && kind(rd) == kManyWarps && some_) {
        ok = true;  // unless some other warp is unordered for certain
        bool any = false;
        for (uint32_t o = 0; o < warps_; o++) any |= o != w && seen_[w * warps_ + o] >= time(rd);
        ok = any;
      }
      if (!ok) return {kWriteAfterRead, i, w, l, rd};
      last_reader = rd;
    }
    writer_[i] = mine;
  }
  return {};
}

bool RaceCheck::unwritten(uint32_t at, uint32_t bytes) const {
  if (!uninitialised_) return false;
  return std::any_of(writer_.begin() + at, writer_.begin() + at + bytes, [&](uint32_t r) { return r <= born_; });
}

void RaceCheck::launch_copy(uint32_t w, uint32_t l, uint32_t at, uint32_t bytes) {
  std::fill_n(writer_.begin() + at, bytes, record((1u << 20) - 1, kInFlight, w, l));
}

void RaceCheck::land_copy(uint32_t w, uint32_t l, uint32_t at, uint32_t bytes) {
  std::fill_n(writer_.begin() + at, bytes, record(now_, kPlain, w, l));
}

}  // namespace emu
