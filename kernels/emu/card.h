// The card that the stand-in driver shows: the limits of a real one of its compute capability, with few multiprocessors.
#pragma once
#include <cstdint>

namespace emu::api {

struct Card {
  int sm;                        // compute capability, 90 for 9.0
  int shared_per_sm, shared_optin;
  int threads_per_sm, blocks_per_sm;
  int l2, clock, memory_clock, bus;  // bytes, kHz, kHz, bits
};

constexpr int kMultiprocessors = 4;
constexpr int kRegistersPerSm = 65536, kReservedShared = 1024, kDefaultShared = 48 << 10;

// find_card is the card of a compute capability, or null.
const Card *find_card(int sm);

// attribute is a CUdevice_attribute of the card; -1 for a value outside the enumeration.
int attribute(const Card &, int which, int device);

// resident is how many blocks fit on a multiprocessor.
int resident(const Card &, int threads, int registers, uint64_t shared);

}  // namespace emu::api
