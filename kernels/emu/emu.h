// emu executes PTX on the host: the part of the stand-in driver that knows nothing of the driver API.
//
// A Module is parsed once into a compact program; run executes a launch of one of its functions over a Memory, checking every
// access, and counts what a profiler would. The checks are those of compute-sanitizer (memcheck, initcheck, racecheck,
// synccheck); the counters those of Nsight Compute that do not depend on time.
//
// Rounding is the PTX ISA's, so every translation unit must be compiled with -ffp-contract=off; -fno-math-errno
// -fno-trapping-math let the loops over lanes vectorise.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace emu {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// Codes of CUresult that a kernel can cause.
enum : int {
  kInvalidValue = 1,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kLaunchTimeout = 702,
  kHardwareStackError = 714,
  kIllegalInstruction = 715,
  kMisalignedAddress = 716,
  kLaunchFailed = 719,
};

// Fault is one thing that a kernel did wrong. The text is one line: what, then "in KERNEL at FILE:LINE (inlined at FILE:LINE),
// block (x,y,z), thread (x,y,z)". kind is a stable word for tests and reports.
struct Fault {
  std::string text;
  int code = kLaunchFailed;
  std::string kind;  // out-of-bounds misaligned uninitialised race barrier warp-sync trap timeout invalid-launch
  std::string kernel, file;
  uint32_t line = 0;  // 0 when the PTX carries no .loc
  Dim block, thread;
  uint64_t address = 0;
};

// Memory is the device memory of one context. Addresses are not host addresses (a host that follows one crashes, as it should)
// and are never given out twice, so that use after release is seen. Host threads may allocate and release while a kernel runs.
class Memory {
 public:
  // One allocation. written has a byte for every byte of data: 0 as long as nothing has stored there.
  struct Extent {
    uint64_t lo = 0, hi = 0;  // device addresses [lo, hi)
    uint8_t *data = nullptr, *written = nullptr;
    bool released = false;
  };

  explicit Memory(size_t limit = size_t{8} << 30);
  ~Memory();
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  // allocate returns the address of bytes bytes, aligned to 512, with guard space around them, filled with 0xFF (NaN in every
  // float format) and marked unwritten; 0 when bytes is 0 or more than limit() - used().
  uint64_t allocate(size_t bytes);
  // release frees the allocation that starts at address; false when there is none.
  bool release(uint64_t address);

  // valid says whether [address, address + bytes) lies inside one live allocation.
  bool valid(uint64_t address, size_t bytes) const;
  // host is where the byte at address really is; null when it is in no live allocation.
  uint8_t *host(uint64_t address) const;
  // mark_written follows a copy or memset by the host. The range must be valid.
  void mark_written(uint64_t address, size_t bytes);
  // copy_written follows a copy from device to device: dst is as written as src was (dst may be in another Memory).
  static void copy_written(Memory &dst, uint64_t to, const Memory &src, uint64_t from, size_t bytes);
  // first_unwritten is the offset of the first byte of a valid range that nothing has stored, or bytes when all are written.
  size_t first_unwritten(uint64_t address, size_t bytes) const;

  // find is the live allocation that holds address; lo == hi when there is none.
  Extent find(uint64_t address) const;
  // describe says where address lies: "4 bytes past the 400 bytes at 0x...", "inside the 400 bytes at 0x..., released", ...
  std::string describe(uint64_t address) const;

  size_t used() const;
  size_t limit() const;
  void set_limit(size_t bytes);
  struct Live {
    uint64_t address;
    size_t bytes;
  };
  std::vector<Live> live() const;  // in order of address

 private:
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, Extent> extents_;  // by lo; released ones stay without their data
  uint64_t next_;
  size_t used_ = 0, limit_;
};

struct Param {
  uint32_t offset, size, align;
};

struct Program;

// Function is an entry point of a module.
struct Function {
  std::string name;
  std::vector<Param> params;
  uint32_t param_bytes = 0;
  uint32_t static_shared = 0;  // bytes of .shared variables; dynamic shared memory follows them
  uint32_t local_bytes = 0;    // per thread
  uint32_t max_threads = 1024; // .maxntid (product) when given
  uint32_t registers = 0;      // estimate: most 32-bit registers live at once
  std::shared_ptr<const Program> program;
};

// Variable is a .global or .const variable of a module.
struct Variable {
  std::string name;
  uint64_t address = 0;
  size_t bytes = 0;
};

// Module is parsed PTX bound to a Memory, where its variables live until the module is destroyed (before the Memory).
class Module {
 public:
  // parse returns null and sets *error ("line 17: instruction `tex.2d.v4.f32.f32` is not known") when anything in the text is
  // not understood; *out_of_memory, if given, tells a module whose variables did not fit.
  static std::unique_ptr<Module> parse(std::string_view ptx, Memory &memory, std::string *error, bool *out_of_memory = nullptr);
  ~Module();
  Module(const Module &) = delete;
  Module &operator=(const Module &) = delete;

  const Function *find(std::string_view name) const;       // null when there is none
  const Variable *variable(std::string_view name) const;   // null when there is none
  const std::vector<Function> &functions() const { return functions_; }
  const std::vector<Variable> &variables() const { return variables_; }

 private:
  Module() = default;
  friend struct Loader;
  Memory *memory_ = nullptr;
  std::vector<Function> functions_;
  std::vector<Variable> variables_;
};

// Schedule is the order in which the blocks of a grid start and the warps of a block run between two barriers.
enum class Schedule { Forward, Reverse, Random };

struct Options {
  Schedule schedule = Schedule::Forward;
  uint64_t seed = 0;                 // of Schedule::Random
  bool async_late = false;           // cp.async delivers at the wait; else at once. Real hardware: any time between
  bool check_uninitialised = true;   // reads of global, shared and local bytes that nothing has written
  bool check_races = true;           // shared memory
  int threads = 1;                   // host threads over which blocks are spread
  uint64_t cache = 0;                // bytes of the modelled cache (cache.h), which then one host thread fills; 0: none
  uint64_t max_steps = 1ull << 32;   // basic blocks that one warp may enter before it counts as hung
};

// The counters, in the order of a report. Instructions are counted per warp (issue slots) and, as thread_*, per active lane.
#define EMU_COUNTERS(F)                                                                                         \
  F(blocks) F(warps) F(threads)                                                                                 \
  F(instructions) F(thread_instructions)                                                                        \
  F(alu) F(fma) F(fp64) F(special) F(convert) F(memory) F(control) F(warp_ops) F(mma) F(barriers) F(atomics) F(async_copies) F(other) \
  F(thread_fma) F(thread_fp64) F(thread_special)                                                                \
  F(divergent_branches)                                                                                         \
  F(global_loads) F(global_load_bytes) F(global_load_sectors)       /* requests, bytes asked for by active lanes, 32-byte sectors */ \
  F(global_stores) F(global_store_bytes) F(global_store_sectors)                                                \
  F(shared_loads) F(shared_load_bytes) F(shared_load_conflicts)     /* wavefronts beyond those that the bytes need */ \
  F(shared_stores) F(shared_store_bytes) F(shared_store_conflicts)                                              \
  F(local_load_bytes) F(local_store_bytes)                                                                      \
  F(memory_read_bytes) F(memory_write_bytes)                        /* behind the modelled cache, when there is one */ \
  F(flops)                                                          /* fma 2, add mul 1, mma 2mnk, per active lane */

struct Counters {
#define EMU_COUNTER(name) uint64_t name = 0;
  EMU_COUNTERS(EMU_COUNTER)
#undef EMU_COUNTER
  void add(const Counters &o) {
#define EMU_COUNTER(name) name += o.name;
    EMU_COUNTERS(EMU_COUNTER)
#undef EMU_COUNTER
  }
};

struct Launch {
  const Function *function = nullptr;
  Dim grid, block;
  uint32_t dynamic_shared = 0;
  std::vector<uint8_t> params;  // laid out by function->params
};

// run executes a launch to its end or its first fault. Counters are added to *counters when it is not null, also after a fault.
// Limits of a launch (threads per block, shared memory of the card) are the caller's to check, except that a block has at most
// 1024 threads and max_threads.
std::optional<Fault> run(const Launch &launch, Memory &memory, const Options &options, Counters *counters);

}  // namespace emu
