// Limits by compute capability: CUDA C++ Programming Guide, "Compute Capabilities"; clocks and caches of A100, RTX 3090, RTX 4090,
// H100, B200 and RTX 5090.
#include "card.h"

#include <algorithm>

namespace emu::api {

static const Card kCards[] = {
    {80, 164 << 10, 163 << 10, 2048, 32, 40 << 20, 1410000, 1593000, 5120},
    {86, 100 << 10, 99 << 10, 1536, 16, 6 << 20, 1695000, 9751000, 384},
    {89, 100 << 10, 99 << 10, 1536, 24, 72 << 20, 2520000, 10501000, 384},
    {90, 228 << 10, 227 << 10, 2048, 32, 50 << 20, 1980000, 2619000, 5120},
    {100, 228 << 10, 227 << 10, 2048, 32, 126 << 20, 1965000, 3996000, 8192},
    {120, 100 << 10, 99 << 10, 1536, 24, 96 << 20, 2407000, 14001000, 512},
};

const Card *find_card(int sm) {
  for (const Card &c : kCards)
    if (c.sm == sm) return &c;
  return nullptr;
}

int attribute(const Card &c, int which, int device) {
  switch (which) {
    case 1: case 2: case 3: return 1024;           // threads of a block, x, y
    case 4: return 64;                             // z
    case 5: return 0x7fffffff;                     // grid x
    case 6: case 7: return 65535;                  // y, z
    case 8: return kDefaultShared;
    case 9: return 64 << 10;                       // constant memory
    case 10: return 32;                            // warp
    case 11: return 0x7fffffff;                    // pitch
    case 12: return kRegistersPerSm;               // of a block
    case 13: return c.clock;
    case 14: return 512;                           // texture alignment
    case 15: return 1;                             // copies overlap kernels
    case 16: return kMultiprocessors;
    case 31: return 1;                             // concurrent kernels
    case 32: return 1;                             // ECC
    case 33: return device + 1;                    // PCI bus
    case 36: return c.memory_clock;
    case 37: return c.bus;
    case 38: return c.l2;
    case 39: return c.threads_per_sm;
    case 40: return 2;                             // copy engines
    case 41: return 1;                             // unified addresses
    case 51: return 32;                            // texture pitch alignment
    case 75: return c.sm / 10;
    case 76: return c.sm % 10;
    case 78: return 1;                             // stream priorities
    case 79: case 80: return 1;                    // L1 caches globals, locals
    case 81: return c.shared_per_sm;
    case 82: return kRegistersPerSm;
    case 87: return c.sm == 80 || c.sm == 90 || c.sm == 100 ? 2 : 64;  // float32 to float64
    case 90: return 1;                             // compute preemption
    case 97: return c.shared_optin;
    case 99: return 1;                             // host memory can be registered
    case 106: return c.blocks_per_sm;
    case 108: return c.l2 / 4 * 3;                 // persisting L2
    case 111: return kReservedShared;
    default: return which >= 1 && which <= 143 ? 0 : -1;
  }
}

int resident(const Card &c, int threads, int registers, uint64_t shared) {
  if (threads < 1 || threads > 1024) return 0;
  int warps = (threads + 31) / 32;
  int blocks = std::min(c.blocks_per_sm, c.threads_per_sm / (warps * 32));
  int per_warp = (std::max(registers, 1) * 32 + 255) / 256 * 256;  // registers are given out to warps in units of 256
  blocks = std::min(blocks, kRegistersPerSm / per_warp / warps);
  if (shared > uint64_t(c.shared_optin)) return 0;
  uint64_t per_block = (shared + kReservedShared + 127) / 128 * 128;
  return std::min<uint64_t>(blocks, c.shared_per_sm / per_block);
}

}  // namespace emu::api
