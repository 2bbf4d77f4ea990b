// 16-bit floats.

inline float from_half(uint16_t h) { return _cvtsh_ss(h); }

inline uint16_t to_half(float x, bool toward_zero) { return toward_zero ? _cvtss_sh(x, 3) : _cvtss_sh(x, 0); }

inline float from_bfloat(uint16_t h) { return std::bit_cast<float>(uint32_t{h} << 16); }

inline uint16_t to_bfloat(float x, bool toward_zero) {  // NaN to the canonical 0x7fff
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if (x != x) return 0x7fff;
  return static_cast<uint16_t>((toward_zero ? u : u + 0x7fff + (u >> 16 & 1)) >> 16);
}
