// Launches: blocks over host threads, the warps of a block in turn, barriers.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "warp.h"

namespace emu {
namespace {

// Order of n things under a schedule.
std::vector<uint32_t> order(uint32_t n, const Options &o, uint64_t salt) {
  std::vector<uint32_t> v(n);
  std::iota(v.begin(), v.end(), 0);
  if (o.schedule == Schedule::Reverse) std::reverse(v.begin(), v.end());
  if (o.schedule == Schedule::Random) {
    std::seed_seq seed{o.seed, o.seed >> 32, salt, salt >> 32};
    std::mt19937_64 rng(seed);
    for (uint32_t i = n; i > 1; i--) std::swap(v[i - 1], v[rng() % i]);
  }
  return v;
}

constexpr size_t kLine = 64;

class BlockRunner {
 public:
  explicit BlockRunner(Worker &k) : k_(k), p_(*k.program), b_(k.block), dim_(k.launch->block) {
    threads_ = static_cast<uint32_t>(dim_.count());
    warps_ = (threads_ + 31) / 32;
    k.entered.resize(p_.blocks.size());
    k.entered_lanes.resize(p_.blocks.size());
    k.extents.resize(p_.memory_ops + 1);
    k.check_shared = k.options->check_races || k.options->check_uninitialised;
    b_.shared_bytes = p_.static_shared + k.launch->dynamic_shared;
    k.shared_store.resize(b_.shared_bytes + kLine);
    b_.shared = align(k.shared_store.data());
    const size_t local = size_t{32} * p_.local_bytes * warps_;
    k.local_store.resize(local);
    k.local_shadow.resize(local);
    stride_ = (p_.frame_bytes + kLine - 1) / kLine * kLine;
    k.frames.reset(new uint8_t[stride_ * warps_ + kLine]());
    params_ = k.launch->params;
    params_.resize(std::max<size_t>(params_.size(), p_.param_bytes));
    b_.warps.resize(warps_);
    for (uint32_t i = 0; i < warps_; i++) {
      Warp &w = b_.warps[i];
      w.index = i;
      w.block = &b_;
      w.worker = &k;
      w.program = &p_;
      w.params = params_.data();
      w.regs = align(k.frames.get()) + stride_ * i;
      w.local = k.local_store.data() + size_t{32} * p_.local_bytes * i;
      w.local_written = k.local_shadow.data() + size_t{32} * p_.local_bytes * i;
      constants(w);
    }
  }

  void run(uint64_t index) {
    const Dim grid = k_.launch->grid;
    b_.index = {static_cast<uint32_t>(index % grid.x), static_cast<uint32_t>(index / grid.x % grid.y), static_cast<uint32_t>(index / grid.x / grid.y)};
    b_.barriers = {};
    std::memset(b_.shared, 0xFF, b_.shared_bytes);
    if (k_.check_shared) k_.race.start(b_.shared_bytes, warps_, k_.options->check_races, k_.options->check_uninitialised);
    for (Warp &w : b_.warps) start(w);
    k_.counters.blocks++;
    k_.counters.warps += warps_;
    k_.counters.threads += threads_;
    for (uint64_t round = 0;; round++) {
      bool ran = false, waiting = false;
      if (k_.options->schedule == Schedule::Random || round == 0) turns_ = order(warps_, *k_.options, index << 20 ^ round);
      for (uint32_t i : turns_) {
        Warp &w = b_.warps[i];
        if (w.resume && w.barrier < 0) {
          go(w);
          ran = true;
        }
      }
      for (const Warp &w : b_.warps) waiting |= w.barrier >= 0;
      if (!ran && waiting) stuck();
      if (!ran) break;
    }
  }

 private:
  static uint8_t *align(uint8_t *p) { return reinterpret_cast<uint8_t *>((reinterpret_cast<uintptr_t>(p) + kLine - 1) / kLine * kLine); }

  static void fill(uint8_t *at, uint8_t bytes, uint64_t value) {
    for (int l = 0; l < 32; l++) {
      if (bytes == 8) std::memcpy(at + 8 * l, &value, 8);
      else if (bytes == 4) std::memcpy(at + 4 * l, &value, 4);
      else std::memcpy(at + 2 * l, &value, 2);
    }
  }

  void constants(Warp &w) const {
    for (const Constant &c : p_.constants) {
      if (c.bytes == 0) std::memcpy(w.regs + c.at, &c.value, 4);  // a predicate: a bit per lane
      else fill(w.regs + c.at, c.bytes, c.value);
    }
  }

  void start(Warp &w) {
    const uint32_t first = w.index * 32, n = std::min(32u, threads_ - first);
    w.launched = w.live = n == 32 ? ~0u : (1u << n) - 1;
    w.activate(w.live);
    w.stack.clear();
    w.join = nullptr;
    w.steps = 0;
    w.resume = p_.code.data();
    w.barrier = -1;
    w.copies.clear();
    w.groups.fill(0);
    if (p_.local_bytes) {
      std::memset(w.local, 0xFF, size_t{32} * p_.local_bytes);
      std::memset(w.local_written, 0, size_t{32} * p_.local_bytes);
    }
    const Dim grid = k_.launch->grid;
    for (const SpecialUse &s : p_.specials) {
      auto *r = reinterpret_cast<uint32_t *>(w.regs + s.at);
      for (uint32_t l = 0; l < 32; l++) r[l] = special(s.name, w, first + l, l, grid);
    }
  }

  uint32_t special(std::string_view name, const Warp &w, uint32_t thread, uint32_t lane, const Dim &grid) const {
    if (name == "%tid.x") return thread % dim_.x;
    if (name == "%tid.y") return thread / dim_.x % dim_.y;
    if (name == "%tid.z") return thread / dim_.x / dim_.y;
    if (name == "%ntid.x") return dim_.x;
    if (name == "%ntid.y") return dim_.y;
    if (name == "%ntid.z") return dim_.z;
    if (name == "%ctaid.x") return b_.index.x;
    if (name == "%ctaid.y") return b_.index.y;
    if (name == "%ctaid.z") return b_.index.z;
    if (name == "%nctaid.x") return grid.x;
    if (name == "%nctaid.y") return grid.y;
    if (name == "%nctaid.z") return grid.z;
    if (name == "%laneid") return lane;
    if (name == "%warpid") return w.index;
    if (name == "%nwarpid") return warps_;
    if (name == "%lanemask_eq") return 1u << lane;
    if (name == "%lanemask_lt") return (1u << lane) - 1;
    if (name == "%lanemask_le") return (2u << lane) - 1;
    if (name == "%lanemask_gt") return ~((2u << lane) - 1);
    if (name == "%lanemask_ge") return ~((1u << lane) - 1);
    if (name == "%dynamic_smem_size") return k_.launch->dynamic_shared;
    if (name == "%total_smem_size") return b_.shared_bytes;
    if (name == "%nsmid") return 1;
    return 0;  // %smid
  }

  void go(Warp &w) {
    const Inst *i = w.resume;
    while (i) i = i->fn(w, *i);
    if (w.barrier < 0 && !w.live) {
      w.resume = nullptr;
      if (!w.copies.empty()) copy_wait(w, w.launched, 0);  // exit waits for outstanding copies
      for (Warp &o : b_.warps)
        if (o.barrier >= 0 && o.barrier_threads == threads_)
          fault(o, o.resume[-1], first_lane(o.launched), kLaunchFailed, "barrier",
                "waits at a barrier that warp " + std::to_string(w.index) + " never reached before it exited");
    }
  }

  [[noreturn]] void stuck() const {
    for (const Warp &w : b_.warps)
      if (w.barrier >= 0)
        fault(w, w.resume[-1], first_lane(w.launched), kLaunchTimeout, "barrier",
              "waits for ever at barrier " + std::to_string(w.barrier) + ": " + std::to_string(b_.barriers[w.barrier].arrived) + " of " +
                  std::to_string(w.barrier_threads) + " threads came");
    std::terminate();
  }

  Worker &k_;
  const Program &p_;
  Block &b_;
  const Dim dim_;
  uint32_t threads_ = 0, warps_ = 0;
  size_t stride_ = 0;
  std::vector<uint8_t> params_;
  std::vector<uint32_t> turns_;
};

void release(Block &b, uint32_t id, Mode reduce) {
  std::vector<std::pair<uint32_t, uint32_t>> arrived;
  std::vector<uint32_t> released;
  uint32_t count = 0, threads = 0;
  for (Warp &w : b.warps) {
    if (w.barrier != static_cast<int>(id)) continue;
    arrived.push_back({w.index, w.arrived_at});
    released.push_back(w.index);
    count += __builtin_popcount(w.barrier_bits & w.launched);
    threads += __builtin_popcount(w.launched);
  }
  Block::Barrier &bar = b.barriers[id];
  arrived.insert(arrived.end(), bar.announced.begin(), bar.announced.end());
  for (uint32_t i : released) {
    Warp &w = b.warps[i];
    const Inst &inst = w.resume[-1];
    if (reduce == Mode::Popc) {
      auto *d = reinterpret_cast<uint32_t *>(w.regs + inst.d);
      for (int l = 0; l < 32; l++)
        if (w.launched >> l & 1) d[l] = count;
    } else if (reduce != Mode::None) {
      const bool yes = reduce == Mode::And ? count == threads : count > 0;
      *reinterpret_cast<uint32_t *>(w.regs + inst.d) = yes ? ~0u : 0;
    }
    w.barrier = -1;
  }
  Worker &k = *b.warps[0].worker;
  if (k.check_shared) {
    if (released.size() == b.warps.size()) k.race.barrier_all();
    else k.race.barrier_some(arrived, released);
  }
  bar = {};
}

void run_blocks(Worker &k, const std::vector<uint32_t> *turns, uint64_t blocks, std::atomic<uint64_t> &next, std::atomic<bool> &failed,
                std::mutex &mutex, std::optional<Fault> &first) {
  try {
    BlockRunner runner(k);
    for (uint64_t n; !failed && (n = next++) < blocks;) {
      const bool reverse = k.options->schedule == Schedule::Reverse;
      runner.run(turns ? (*turns)[n] : reverse ? blocks - 1 - n : n);
    }
  } catch (Faulted &f) {
    const std::lock_guard lock(mutex);
    if (!first) first = std::move(f.fault);
    failed = true;
  }
}

// Random order of blocks is drawn as a whole up to this many; larger grids start in order.
constexpr uint64_t kShuffle = 1 << 20;

Fault refused(const Launch &l, const std::string &why, int code) {
  Fault f;
  f.code = code;
  f.kind = "invalid-launch";
  f.kernel = l.function ? l.function->name : "";
  f.text = why + " in a launch of " + f.kernel;
  return f;
}

}  // namespace

const Inst *barrier_arrive(Warp &w, const Inst &i, uint32_t id, uint32_t threads, uint32_t predicate, Mode mode, Mode reduce) {
  Block &b = *w.block;
  const uint32_t all = static_cast<uint32_t>(w.worker->launch->block.count());
  if (id >= b.barriers.size()) fault(w, i, first_lane(w.mask), kIllegalInstruction, "barrier", "names barrier " + std::to_string(id) + " of 16");
  if (w.mask != w.launched) {
    const int other = first_lane(w.launched & ~w.mask);
    const bool gone = !(w.live >> other & 1);
    fault(w, i, first_lane(w.mask), kLaunchFailed, "barrier",
          "waits at a barrier that lane " + std::to_string(other) + " of its warp " + (gone ? "never reached before it exited" : "does not reach with it"));
  }
  if (threads % 32 && threads != all)
    fault(w, i, first_lane(w.mask), kIllegalInstruction, "barrier", "a barrier of " + std::to_string(threads) + " threads, not a multiple of 32");
  const uint32_t expected = threads ? threads : all;
  Block::Barrier &bar = b.barriers[id];
  if (bar.arrived && bar.threads != expected)
    fault(w, i, first_lane(w.mask), kLaunchFailed, "barrier",
          "expects " + std::to_string(expected) + " threads at barrier " + std::to_string(id) + " where others expect " + std::to_string(bar.threads));
  if (!threads) {
    // __syncthreads: every thread of the block, at the same one.
    for (const Warp &o : b.warps) {
      if (!o.live) fault(w, i, first_lane(w.mask), kLaunchFailed, "barrier", "waits at a barrier that warp " + std::to_string(o.index) + " never reached before it exited");
      if (o.barrier >= 0 && (o.barrier != static_cast<int>(id) || o.resume - 1 != &i) && o.barrier_threads == all)
        fault(w, i, first_lane(w.mask), kLaunchFailed, "barrier",
              "waits at another barrier than warp " + std::to_string(o.index) + ", which waits at line " + std::to_string(o.resume[-1].source.line));
    }
  }
  bar.threads = expected;
  bar.arrived += __builtin_popcount(w.launched);
  // A partial last warp counts as 32 where threads are counted by warps.
  if (threads && w.launched != ~0u && threads != all) bar.arrived += 32 - __builtin_popcount(w.launched);
  w.arrived_at = w.worker->check_shared ? w.worker->race.now() : 0;
  if (mode == Mode::Arrive) {
    bar.announced.push_back({w.index, w.arrived_at});
    if (w.worker->check_shared) w.worker->race.announce();
    if (bar.arrived >= expected) release(b, id, reduce);
    return &i + 1;
  }
  w.barrier = static_cast<int>(id);
  w.barrier_threads = expected;
  w.barrier_bits = predicate;
  w.resume = &i + 1;
  if (bar.arrived > expected)
    fault(w, i, first_lane(w.mask), kLaunchFailed, "barrier",
          std::to_string(bar.arrived) + " threads came to barrier " + std::to_string(id) + ", which expects " + std::to_string(expected));
  if (bar.arrived < expected) return nullptr;
  release(b, id, reduce);
  return &i + 1;
}

std::optional<Fault> run(const Launch &launch, Memory &memory, const Options &options, Counters *counters) {
  if (!launch.function || !launch.function->program) return refused(launch, "no function", kInvalidValue);
  const Program &p = *launch.function->program;
  const uint64_t threads = launch.block.count(), blocks = launch.grid.count();
  if (threads == 0 || threads > 1024) return refused(launch, std::to_string(threads) + " threads in a block", kInvalidValue);
  if (threads > launch.function->max_threads)
    return refused(launch, std::to_string(threads) + " threads in a block where the function allows " + std::to_string(launch.function->max_threads), kLaunchOutOfResources);
  if (blocks == 0) return refused(launch, "an empty grid", kInvalidValue);
  if (launch.params.size() < p.param_bytes)
    return refused(launch, std::to_string(launch.params.size()) + " bytes of parameters where " + std::to_string(p.param_bytes) + " are expected", kInvalidValue);

  const uint64_t n = options.cache ? 1 : std::min<uint64_t>(std::max(1, options.threads), blocks);
  std::vector<uint32_t> turns;
  if (options.schedule == Schedule::Random && blocks <= kShuffle) turns = order(static_cast<uint32_t>(blocks), options, 0);
  std::vector<Worker> workers(n);
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::optional<Fault> first;
  auto work = [&](Worker &k) { run_blocks(k, turns.empty() ? nullptr : &turns, blocks, next, failed, mutex, first); };
  for (Worker &k : workers) {
    k.program = &p;
    k.launch = &launch;
    k.memory = &memory;
    k.options = &options;
    if (options.cache) k.cache = std::make_unique<Cache>(options.cache);
  }
  std::vector<std::thread> pool;
  for (uint64_t t = 1; t < n; t++) pool.emplace_back(work, std::ref(workers[t]));
  work(workers[0]);
  for (std::thread &t : pool) t.join();

  if (counters)
    for (Worker &k : workers) {
      if (k.cache) {
        k.cache->flush();
        k.counters.memory_read_bytes = 32 * k.cache->read_sectors;
        k.counters.memory_write_bytes = 32 * k.cache->written_sectors;
      }
      for (size_t b = 0; b < k.entered.size(); b++) {
        const BlockCost &c = p.blocks[b];
#define EMU_ADD(name) k.counters.name += c.warp.name * k.entered[b] + c.lane.name * k.entered_lanes[b];
        EMU_COUNTERS(EMU_ADD)
#undef EMU_ADD
      }
      counters->add(k.counters);
    }
  return first;
}

}  // namespace emu
