// Traffic with device memory: the sectors that a modelled cache does not hold.
//
// All sectors of all requests would count a table that every row looks up as often as it is looked up; every sector once would not
// see a kernel that reads an operand twice. So requests go through one cache, smaller than the operands of a measurement and larger
// than its tables. It is sectors of 32 bytes, 16 ways by a hash of their address, the least recently used leaves. A sector of which
// anything is read is fetched whole, and one that was written is written back whole when it leaves or the launch ends, so that
// stores that fill a sector at different times count as often. It is empty when a launch begins: between two kernels of an
// iteration other operands have passed.
//
// Cards have 6 MiB and more, but hundreds of blocks share them at once where here one block runs after another: the size of a
// measurement says what all of them may keep, not what a card has.
#pragma once
#include <cstdint>
#include <vector>

namespace emu {

class Cache {
 public:
  explicit Cache(uint64_t bytes);
  void read(uint64_t sector) { touch(sector, 0); }
  void write(uint64_t sector) { touch(sector, 1); }
  void flush();
  uint64_t read_sectors = 0, written_sectors = 0;

 private:
  static constexpr uint32_t kWays = 16;
  void touch(uint64_t sector, uint64_t dirty);
  uint64_t sets_;
  std::vector<uint64_t> ways_;  // by set, most recently used first: sector and whether it was written; 0 is none
};

}  // namespace emu
