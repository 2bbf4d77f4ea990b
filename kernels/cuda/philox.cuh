// Philox4x32-10 (Salmon 2011), the generator of kernels/ref and kernels/cpu to the bit: element i of a stream takes word i%4 of
// block i/4.
#pragma once
#include "common.cuh"

struct Philox {
  uint32_t word[4];

  __device__ Philox(uint64_t block, uint32_t stream, uint32_t step, uint64_t seed)
      : word{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream, step} {
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
    for (int i = 0; i < 10; i++) {
      const uint64_t p = static_cast<uint64_t>(word[0]) * 0xD2511F53u, q = static_cast<uint64_t>(word[2]) * 0xCD9E8D57u;
      const uint32_t w1 = word[1], w3 = word[3];
      word[0] = static_cast<uint32_t>(q >> 32) ^ w1 ^ k0;
      word[1] = static_cast<uint32_t>(q);
      word[2] = static_cast<uint32_t>(p >> 32) ^ w3 ^ k1;
      word[3] = static_cast<uint32_t>(p);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
  }

  // at selects a word without putting the words in memory.
  __device__ uint32_t at(int i) const {
    const uint32_t lo = i & 1 ? word[1] : word[0], hi = i & 1 ? word[3] : word[2];
    return i & 2 ? hi : lo;
  }
};

// Dropout keeps an element where u >= p, u the uniform number of its place in a stream (kernels/ref.Uniform): 24 bits of a word, so
// that u < p holds for the same integers as for the float64 of the oracle.
struct Dropout {
  bool on;
  uint32_t below, stream, step;
  float scale;  // of what is kept
  uint64_t seed;

  __device__ Dropout(double p, uint32_t stream, uint32_t step, uint64_t seed)
      : on(p > 0), below(static_cast<uint32_t>(ceil(p * (1 << 24)))), stream(stream), step(step), scale(static_cast<float>(1 / (1 - p))), seed(seed) {}

  __device__ Philox words(uint64_t block) const { return Philox(block, stream, step, seed); }
  __device__ bool keeps(uint32_t word) const { return word >> 8 >= below; }

  // apply drops out elements i, i+1, ..., which x holds.
  template <int W>
  __device__ Pack<W> apply(Pack<W> x, uint64_t i) const {
    if (!on) return x;
    const int at = i % 4;
    const Philox one = words(i / 4);
    Philox two = one;
    if (at + W > 4) two = words(i / 4 + 1);
#pragma unroll
    for (int e = 0; e < W; e++) x.v[e] = keeps(at + e < 4 ? one.at(at + e) : two.at(at + e - 4)) ? x.v[e] * scale : 0;
    return x;
  }
};
