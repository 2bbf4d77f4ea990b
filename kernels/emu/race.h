// Shared-memory races and reads of bytes that nobody wrote.
//
// Every byte has the record of its last write and of its readers since. A record is the time of the access and the thread; time
// advances at every synchronisation of the block. An access conflicts with an earlier one of another thread unless something
// orders them: a barrier (of all warps: every older record is ordered; of some: vector clocks by warp) or, within a warp,
// bar.warp.sync (of all lanes: a floor per warp; of some: vector clocks by lane). These are the only things that the PTX memory
// model lets order plain accesses to shared memory; lock step does not, and shuffles do not.
#pragma once
#include <cstdint>
#include <vector>

namespace emu {

class RaceCheck {
 public:
  // A record: time in the upper 20 bits, kind, warp, lane. 0: never.
  enum Kind : uint32_t { kPlain = 0, kAtomic = 1, kManyLanes = 1, kManyWarps = 2, kInFlight = 3 };
  static constexpr uint32_t record(uint32_t time, Kind kind, uint32_t warp, uint32_t lane) {
    return time << 12 | kind << 10 | warp << 5 | lane;
  }
  static uint32_t time(uint32_t r) { return r >> 12; }
  static Kind kind(uint32_t r) { return static_cast<Kind>(r >> 10 & 3); }
  static uint32_t warp(uint32_t r) { return r >> 5 & 31; }
  static uint32_t lane(uint32_t r) { return r & 31; }

  enum What { kNone, kUnwritten, kReadAfterWrite, kWriteAfterRead, kWriteAfterWrite, kReadInFlight, kWriteInFlight, kSameInstruction };
  struct Conflict {
    What what = kNone;
    uint32_t at = 0;               // the byte
    uint32_t warp = 0, lane = 0;   // who
    uint32_t other = 0;            // the earlier record
    explicit operator bool() const { return what != kNone; }
  };

  void start(uint32_t bytes, uint32_t warps, bool races, bool uninitialised);  // a block begins

  // One lane's access of consecutive bytes.
  Conflict read(uint32_t warp, uint32_t lane, uint32_t at, uint32_t bytes);
  Conflict write(uint32_t warp, uint32_t lane, uint32_t at, uint32_t bytes, bool atomic = false);
  bool unwritten(uint32_t at, uint32_t bytes) const;  // some byte, in this block
  void launch_copy(uint32_t warp, uint32_t lane, uint32_t at, uint32_t bytes);  // after write(): cp.async is under way
  void land_copy(uint32_t warp, uint32_t lane, uint32_t at, uint32_t bytes);    // and has been waited for

  // What the vectorised paths need: 32 lanes access unit bytes each, one after another from at on. They return false, having
  // changed nothing, when some byte needs the careful path.
  uint32_t *writers() { return writer_.data(); }
  uint32_t *readers() { return reader_.data(); }
  struct Floors {
    uint32_t block, warp, born, now;  // ordered for all; for this warp's own records; written in this block above; time
    bool races, uninitialised;
  };
  Floors floors(uint32_t warp) const { return {floor_, warp_floor_[warp], born_, now_, races_, uninitialised_}; }

  uint32_t now() const { return now_; }
  void announce() { tick(); }                                             // bar.arrive: what comes later is not covered
  void barrier_all();                                                     // every warp of the block
  void barrier_some(const std::vector<std::pair<uint32_t, uint32_t>> &warps_and_times, const std::vector<uint32_t> &released);
  void warp_barrier(uint32_t warp, uint32_t lanes, bool all);

 private:
  void tick();
  bool ordered(uint32_t warp, uint32_t lane, uint32_t r) const;

  std::vector<uint32_t> writer_, reader_;
  std::vector<uint32_t> seen_;        // [warp][other warp]: time up to which other's accesses precede
  std::vector<uint32_t> lane_seen_;   // [warp][lane][other lane]
  std::vector<uint32_t> warp_floor_;  // [warp]: as floor_, for the warp's own records
  uint32_t now_ = 1, floor_ = 0xfff, born_ = 0xfff;
  uint32_t warps_ = 0;
  bool races_ = true, uninitialised_ = true, some_ = false, lanes_ = false;
};

}  // namespace emu
