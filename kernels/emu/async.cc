// cp.async: a copy may land at any time between its issue and the wait for its group. Early and late are the two ends; a kernel
// that is right under both, and never touches a copy's bytes in between (RaceCheck), is right.
#include "warp.h"

namespace emu {
namespace {

void deliver(Block &b, Copy &c) {
  if (c.filled) std::memcpy(b.shared + c.to, c.from, c.filled);
  std::memset(b.shared + c.to + c.filled, 0, c.bytes - c.filled);
}

}  // namespace

void copy_issue(Warp &w, const Inst &, int lane, uint32_t to, const uint8_t *from, uint32_t bytes, uint32_t filled) {
  Copy c{w.groups[lane], static_cast<uint8_t>(lane), static_cast<uint8_t>(bytes), static_cast<uint8_t>(filled), to, from};
  if (!w.worker->options->async_late) deliver(*w.block, c);
  w.copies.push_back(c);
}

void copy_wait(Warp &w, uint32_t lanes, uint32_t pending) {
  size_t kept = 0;
  for (Copy &c : w.copies) {
    const bool done = (lanes >> c.lane & 1) && c.group + pending < w.groups[c.lane];
    if (!done) {
      w.copies[kept++] = c;
      continue;
    }
    if (w.worker->options->async_late) deliver(*w.block, c);
    if (w.worker->check_shared) w.worker->race.land_copy(w.index, c.lane, c.to, c.bytes);
  }
  w.copies.resize(kept);
}

}  // namespace emu
