// The text of faults.
#include <cstdio>

#include "warp.h"

namespace emu {
namespace {

std::string hex(uint64_t v) {
  char s[32];
  std::snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

std::string triple(const Dim &d) { return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")"; }

Dim thread_of(const Warp &w, int lane) {
  const Dim dim = w.worker->launch->block;
  const uint32_t t = w.index * 32 + lane;
  return {t % dim.x, t / dim.x % dim.y, t / dim.x / dim.y};
}

std::string bytes_of(uint32_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

}  // namespace

void fault(const Warp &w, const Inst &i, int lane, int code, const char *kind, const std::string &what, uint64_t address) {
  Faulted f;
  Fault &r = f.fault;
  r.code = code;
  r.kind = kind;
  r.kernel = w.program->name;
  if (i.source.line && i.source.file < w.program->files.size()) {
    r.file = w.program->files[i.source.file];
    r.line = i.source.line;
  }
  r.block = w.block->index;
  r.thread = thread_of(w, lane);
  r.address = address;
  std::string where = r.line ? " at " + r.file + ":" + std::to_string(r.line) : "";
  if (r.line && i.source.at_line && i.source.at_file < w.program->files.size())
    where += " (inlined at " + w.program->files[i.source.at_file] + ":" + std::to_string(i.source.at_line) + ")";
  r.text = what + " in " + r.kernel + where + ", block " + triple(r.block) +
           ", thread " + triple(r.thread);
  throw f;
}

void global_fault(const Warp &w, const Inst &i, int lane, uint64_t address, uint32_t bytes, const char *verb) {
  uint64_t bad = address;  // the first byte that is not there
  while (bad < address + bytes && w.worker->memory->valid(bad, 1)) bad++;
  fault(w, i, lane, kIllegalAddress, "out-of-bounds",
        std::string(verb) + " " + bytes_of(bytes) + " at " + hex(address) + ", " + w.worker->memory->describe(bad), address);
}

void unwritten_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes, uint32_t first) {
  std::string where = hex(address);
  if (space == std::string_view("global")) where += ", " + w.worker->memory->describe(address);
  fault(w, i, lane, kLaunchFailed, "uninitialised",
        "reads " + bytes_of(bytes) + " of " + space + " memory at " + where + ", of which byte " + std::to_string(first) + " was never written", address);
}

void misaligned_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes) {
  fault(w, i, lane, kMisalignedAddress, "misaligned",
        std::string(space) + " access of " + bytes_of(bytes) + " at " + hex(address) + ", which is not a multiple of " + std::to_string(bytes), address);
}

void range_fault(const Warp &w, const Inst &i, int lane, const char *space, uint64_t address, uint32_t bytes, uint64_t size, const char *verb) {
  fault(w, i, lane, kIllegalAddress, "out-of-bounds",
        std::string(verb) + " " + bytes_of(bytes) + " at " + hex(address) + " of " + bytes_of(size) + " of " + space + " memory", address);
}

void race_fault(const Warp &w, const Inst &i, const RaceCheck::Conflict &c) {
  using R = RaceCheck;
  const int lane = static_cast<int>(c.lane);
  if (c.what == R::kUnwritten) unwritten_fault(w, i, lane, "shared", c.at, 1, 0);
  std::string who = "another warp";
  const R::Kind kind = R::kind(c.other);
  const bool reader = c.what == R::kWriteAfterRead;
  if (!(reader && kind == R::kManyWarps)) {
    const Warp &o = w.block->warps[R::warp(c.other)];
    who = reader && kind == R::kManyLanes ? "several lanes of warp " + std::to_string(o.index) : "thread " + triple(thread_of(o, static_cast<int>(R::lane(c.other))));
  }
  std::string what;
  switch (c.what) {
    case R::kReadAfterWrite: what = "reads a byte that " + who + " wrote, with no barrier between"; break;
    case R::kWriteAfterRead: what = "writes a byte that " + who + " read, with no barrier between"; break;
    case R::kWriteAfterWrite: what = "writes a byte that " + who + " wrote, with no barrier between"; break;
    case R::kReadInFlight: what = "reads a byte that a cp.async of " + who + " is still writing"; break;
    case R::kWriteInFlight: what = "writes a byte that a cp.async of " + who + " is still writing"; break;
    default: what = "and " + who + " write different values in one instruction";
  }
  fault(w, i, lane, kLaunchFailed, "race", what + ", shared memory at " + hex(c.at), c.at);
}

}  // namespace emu
