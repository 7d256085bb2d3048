// The 16-bit floats of checkpoints as f32: exact, independent of the floating-point options of the compiler.
#pragma once

#include <bit>
#include <cstdint>

namespace onepass {

inline float f16_to_f32(uint16_t half) noexcept {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t fraction = half & 0x3FFu;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in f32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 0x1F ? 0xFFu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

inline float bf16_to_f32(uint16_t half) noexcept { return std::bit_cast<float>(uint32_t{half} << 16); }

// Neither an infinity nor a NaN, by bits.
inline bool is_finite_f32(float value) noexcept {
  return (std::bit_cast<uint32_t>(value) & 0x7F800000u) != 0x7F800000u;
}

}  // namespace onepass
