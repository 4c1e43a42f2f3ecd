#pragma once

#include <cstdint>

struct __nv_bfloat16 {
  __nv_bfloat16() = default;
  __nv_bfloat16(float value) {
    const uint32_t word = __builtin_bit_cast(uint32_t, value);
    const bool nan = value != value;
    bits = static_cast<uint16_t>(nan ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  operator float() const { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
  uint16_t bits;
};
