// What runs: a worker (host thread) executes blocks one after another, the warps of a block in turn up to their next barrier.
#pragma once
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "cache.h"
#include "program.h"
#include "race.h"

namespace emu {

struct Block;
struct Worker;

// Some lanes of a warp that wait for others: they go on at pc and meet the entry below at join.
struct Entry {
  const Inst *pc, *join;
  uint32_t mask;
};

// One cp.async of one thread, delivered when its group is waited for (or at once, see Options::async_late).
struct Copy {
  uint32_t group;               // of the issuing lane
  uint8_t lane, bytes, filled;  // bytes written, of which the first `filled` come from memory
  uint32_t to;                  // shared address
  const uint8_t *from;          // null once delivered
};

struct alignas(64) Warp {
  int32_t lanes[32];            // -1 for active lanes: what the loops blend by
  uint32_t mask = 0;            // active lanes
  bool full = false;            // all 32
  uint8_t *regs = nullptr;
  const Inst *join = nullptr;   // where the active lanes wait for the entry below
  uint32_t live = 0, launched = 0;
  uint32_t index = 0;           // in the block
  Block *block = nullptr;
  Worker *worker = nullptr;
  const Program *program = nullptr;
  uint8_t *params = nullptr;
  uint8_t *local = nullptr, *local_written = nullptr;  // [lane][local_bytes]
  uint64_t steps = 0;
  std::vector<Entry> stack;
  const Inst *resume = nullptr; // where to go on; null: all lanes have exited
  int barrier = -1;             // waits at this barrier
  uint32_t barrier_threads = 0; // that it waits for
  uint32_t barrier_bits = 0;    // bar.red: this warp's predicate
  uint32_t arrived_at = 0;      // RaceCheck time
  std::vector<Copy> copies;
  std::array<uint32_t, 32> groups{};  // cp.async groups committed, by lane

  void activate(uint32_t m) {
    mask = m;
    full = m == ~0u;
    for (uint32_t l = 0; l < 32; l++) lanes[l] = -static_cast<int32_t>(m >> l & 1);
  }
};

struct Block {
  Dim index;
  std::vector<Warp> warps;
  uint8_t *shared = nullptr;
  uint32_t shared_bytes = 0;
  struct Barrier {
    uint32_t arrived = 0, threads = 0;  // threads that came; that are expected
    std::vector<std::pair<uint32_t, uint32_t>> announced;  // bar.arrive: warp and RaceCheck time
  };
  std::array<Barrier, 16> barriers{};
};

struct Worker {
  const Program *program;
  const Launch *launch;
  Memory *memory;
  const Options *options;
  Counters counters;
  std::vector<uint64_t> entered, entered_lanes;  // by basic block
  std::vector<Memory::Extent> extents;           // by memory instruction: the allocation it touched last
  RaceCheck race;
  Block block;
  std::vector<uint8_t> shared_store, local_store, local_shadow;
  std::unique_ptr<uint8_t[]> frames;
  bool check_shared;                             // any check that needs RaceCheck
  std::unique_ptr<Cache> cache;                  // null where none is modelled
};

// Faulted carries a fault from a handler to run.
struct Faulted : std::exception {
  Fault fault;
};

// fault reports what a lane did and stops the launch.
[[noreturn]] void fault(const Warp &w, const Inst &i, int lane, int code, const char *kind, const std::string &what, uint64_t address = 0);

// Slow paths of memory accesses, not worth compiling per instruction set.
[[noreturn]] void global_fault(const Warp &w, const Inst &i, int lane, uint64_t address, uint32_t bytes, const char *verb);
[[noreturn]] void unwritten_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes, uint32_t first);
[[noreturn]] void misaligned_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes);
[[noreturn]] void range_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes, uint64_t size, const char *verb);
[[noreturn]] void race_fault(const Warp &w, const Inst &i, const RaceCheck::Conflict &c);

// Barriers, in exec.cc: arrive suspends the warp or completes the barrier.
const Inst *barrier_arrive(Warp &w, const Inst &i, uint32_t id, uint32_t threads, uint32_t predicate, Mode mode, Mode reduce);

// cp.async, in async.cc.
void copy_issue(Warp &w, const Inst &i, int lane, uint32_t to, const uint8_t *from, uint32_t bytes, uint32_t filled);
void copy_wait(Warp &w, uint32_t lanes, uint32_t pending);

// Coalescing, traffic with memory and bank conflicts, in traffic.cc.
uint32_t sectors(const uint64_t *address, uint32_t mask, uint32_t bytes);
void through_cache(Cache &cache, const uint64_t *address, uint32_t mask, bool write);
uint32_t bank_conflicts(const uint64_t *address, uint32_t mask, uint32_t bytes);

inline int first_lane(uint32_t mask) { return __builtin_ctz(mask); }

}  // namespace emu
