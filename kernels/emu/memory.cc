// Device memory: allocations at addresses of their own, found by a map, with a shadow that knows which bytes were written.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "emu.h"

namespace emu {
namespace {

constexpr uint64_t kAlign = 512;
constexpr uint64_t kGuard = 512;  // at least, between any two allocations

// Address space: from 32 TiB, where Linux maps nothing of its own and no Go heap lies, 1 TiB for each Memory, 64 in turn.
// Addresses within a Memory only ever grow.
constexpr uint64_t kFirst = uint64_t{1} << 45, kSpan = uint64_t{1} << 40;
std::atomic<uint64_t> memories{0};

uint8_t *map(size_t bytes) {
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<uint8_t *>(p);
}

}  // namespace

Memory::Memory(size_t limit) : next_(kFirst + memories++ % 64 * kSpan + kGuard), limit_(limit) {}

Memory::~Memory() {
  for (auto &[lo, e] : extents_)
    if (!e.released) munmap(e.data, e.hi - e.lo), munmap(e.written, e.hi - e.lo);
}

uint64_t Memory::allocate(size_t bytes) {
  std::unique_lock lock(mutex_);
  if (bytes == 0 || bytes > limit_ || used_ > limit_ - bytes || bytes > kSpan / 2) return 0;
  Extent e;
  e.data = map(bytes);
  e.written = map(bytes);
  if (!e.data || !e.written) {
    if (e.data) munmap(e.data, bytes);
    if (e.written) munmap(e.written, bytes);
    return 0;
  }
  std::memset(e.data, 0xFF, bytes);
  e.lo = next_;
  e.hi = e.lo + bytes;
  next_ = (e.hi + kGuard + kAlign - 1) / kAlign * kAlign;
  used_ += bytes;
  extents_[e.lo] = e;
  return e.lo;
}

bool Memory::release(uint64_t address) {
  std::unique_lock lock(mutex_);
  auto it = extents_.find(address);
  if (it == extents_.end() || it->second.released) return false;
  Extent &e = it->second;
  munmap(e.data, e.hi - e.lo);
  munmap(e.written, e.hi - e.lo);
  used_ -= e.hi - e.lo;
  e.data = e.written = nullptr;
  e.released = true;
  return true;
}

Memory::Extent Memory::find(uint64_t address) const {
  std::shared_lock lock(mutex_);
  auto it = extents_.upper_bound(address);
  if (it == extents_.begin()) return {};
  const Extent &e = std::prev(it)->second;
  return e.released || address >= e.hi ? Extent{} : e;
}

bool Memory::valid(uint64_t address, size_t bytes) const {
  const Extent e = find(address);
  return e.hi > e.lo && bytes <= e.hi - address;
}

uint8_t *Memory::host(uint64_t address) const {
  const Extent e = find(address);
  return e.hi > e.lo ? e.data + (address - e.lo) : nullptr;
}

void Memory::mark_written(uint64_t address, size_t bytes) {
  const Extent e = find(address);
  std::memset(e.written + (address - e.lo), 1, bytes);
}

void Memory::copy_written(Memory &dst, uint64_t to, const Memory &src, uint64_t from, size_t bytes) {
  const Extent d = dst.find(to), s = src.find(from);
  std::memmove(d.written + (to - d.lo), s.written + (from - s.lo), bytes);
}

size_t Memory::first_unwritten(uint64_t address, size_t bytes) const {
  const Extent e = find(address);
  const uint8_t *w = e.written + (address - e.lo);
  const void *p = std::memchr(w, 0, bytes);
  return p ? static_cast<const uint8_t *>(p) - w : bytes;
}

std::string Memory::describe(uint64_t address) const {
  std::shared_lock lock(mutex_);
  char s[160];
  auto next = extents_.upper_bound(address);
  const Extent *before = next == extents_.begin() ? nullptr : &std::prev(next)->second;
  const Extent *after = next == extents_.end() ? nullptr : &next->second;
  constexpr uint64_t kNear = 1 << 20;
  auto say = [&](const char *how, uint64_t by, const Extent &e) {
    std::snprintf(s, sizeof s, "%llu bytes %s the %llu bytes at %#llx%s", (unsigned long long)by, how,
                  (unsigned long long)(e.hi - e.lo), (unsigned long long)e.lo, e.released ? ", which were released" : "");
    return std::string(s);
  };
  if (before && address < before->hi) return say("into", address - before->lo, *before);
  const uint64_t past = before ? address - before->hi : ~uint64_t{0}, ahead = after ? after->lo - address : ~uint64_t{0};
  if (past <= ahead && past < kNear) return say("past", past, *before);
  if (ahead < kNear) return say("before", ahead, *after);
  return address < 4096 ? "a null pointer" : "in no allocation";
}

size_t Memory::used() const {
  std::shared_lock lock(mutex_);
  return used_;
}

size_t Memory::limit() const {
  std::shared_lock lock(mutex_);
  return limit_;
}

void Memory::set_limit(size_t bytes) {
  std::unique_lock lock(mutex_);
  limit_ = bytes;
}

std::vector<Memory::Live> Memory::live() const {
  std::shared_lock lock(mutex_);
  std::vector<Live> out;
  for (auto &[lo, e] : extents_)
    if (!e.released) out.push_back({lo, e.hi - e.lo});
  return out;
}

}  // namespace emu
