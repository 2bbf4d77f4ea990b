// How well a warp's access fits the memory system: 32-byte sectors of global memory, wavefronts of shared memory.
#include "warp.h"

namespace emu {

// sectors counts the different 32-byte sectors that the lanes touch. bytes is a power of two up to 16, and accesses are aligned.
uint32_t sectors(const uint64_t *address, uint32_t mask, uint32_t bytes) {
  (void)bytes;  // an aligned access of 16 bytes or fewer lies in one sector
  uint64_t table[64];
  uint64_t used = 0, last = ~uint64_t{0};
  uint32_t n = 0;
  for (; mask; mask &= mask - 1) {
    const uint64_t s = address[__builtin_ctz(mask)] >> 5;
    if (s == last) continue;
    last = s;
    uint32_t h = static_cast<uint32_t>(s * 0x9E3779B97F4A7C15u >> 58);
    while (used >> h & 1 && table[h] != s) h = (h + 1) & 63;
    if (used >> h & 1) continue;
    used |= uint64_t{1} << h;
    table[h] = s;
    n++;
  }
  return n;
}

// through_cache reads or writes what aligned accesses of 16 bytes or fewer touch.
void through_cache(Cache &cache, const uint64_t *address, uint32_t mask, bool write) {
  for (uint64_t last = ~uint64_t{0}; mask; mask &= mask - 1) {
    const uint64_t s = address[__builtin_ctz(mask)] >> 5;
    if (s == last) continue;
    last = s;
    if (write) cache.write(s);
    else cache.read(s);
  }
}

// bank_conflicts counts the wavefronts beyond one per group of lanes that the hardware serves together: 32 lanes of up to 4 bytes,
// 16 of 8, 8 of 16. Lanes that touch the same word share it; different words of one bank take turns.
uint32_t bank_conflicts(const uint64_t *address, uint32_t mask, uint32_t bytes) {
  const int together = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  const uint32_t words = bytes <= 4 ? 1 : bytes / 4;
  uint32_t extra = 0;
  for (int first = 0; first < 32; first += together) {
    const uint32_t group = mask >> first & (together == 32 ? ~0u : (1u << together) - 1);
    // Lanes that start in different banks, each as many apart as it has words, share none.
    uint32_t starts = 0;
    for (uint32_t m = group; m; m &= m - 1) starts |= 1u << (address[first + __builtin_ctz(m)] / (4 * words) & (32 / words - 1));
    if (starts && __builtin_popcount(starts) == __builtin_popcount(group)) continue;
    uint8_t depth[32] = {};
    uint64_t seen[32][32];
    uint32_t worst = 0;
    for (int l = first; l < first + together; l++) {
      if (!(mask >> l & 1)) continue;
      for (uint32_t k = 0; k < words; k++) {
        const uint64_t word = (address[l] >> 2) + k;
        const uint32_t bank = word & 31;
        uint8_t &n = depth[bank];
        uint32_t j = 0;
        while (j < n && seen[bank][j] != word) j++;
        if (j < n) continue;
        seen[bank][n++] = word;
        worst = n > worst ? n : worst;
      }
    }
    if (worst > 1) extra += worst - 1;
  }
  return extra;
}

}  // namespace emu
