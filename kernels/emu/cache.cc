#include "cache.h"

#include <algorithm>

namespace emu {

Cache::Cache(uint64_t bytes) : sets_(std::max<uint64_t>(1, bytes / 32 / kWays)), ways_(sets_ * kWays) {}

void Cache::touch(uint64_t sector, uint64_t dirty) {
  // Sectors that follow each other, and rows a power of two apart, go to different sets.
  uint64_t *set = &ways_[(sector * 0x9E3779B97F4A7C15u >> 32) % sets_ * kWays];
  uint32_t w = 0;
  while (w < kWays - 1 && set[w] && set[w] >> 1 != sector) w++;
  uint64_t found = set[w];
  if (found >> 1 != sector) {
    written_sectors += found & 1;
    read_sectors += !dirty;
    found = sector << 1;
  }
  std::copy_backward(set, set + w, set + w + 1);
  set[0] = found | dirty;
}

void Cache::flush() {
  for (uint64_t &s : ways_) written_sectors += s & 1, s = 0;
}

}  // namespace emu
