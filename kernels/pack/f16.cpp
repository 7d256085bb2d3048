#include <bit>

#include "kernels/pack/pack.h"

namespace onepass::kernels {

uint16_t f16_from_f32(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {  // NaN: the top of the fraction, made quiet
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // from 65520 on the nearest is beyond the largest finite, 65504
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal, from 2^-14
    const uint32_t rebiased = magnitude - 0x38000000u;
    half = (rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13;
  } else if (magnitude >= 0x33000000u) {  // subnormal: a multiple of 2^-24; 2^-25 is half of the least
    const uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t shift = 126u - (magnitude >> 23);  // 14..24
    const uint32_t down = fraction >> shift;
    const uint32_t rest = fraction & ((1u << shift) - 1u);
    const uint32_t middle = 1u << (shift - 1u);
    half = down + (rest > middle || (rest == middle && (down & 1u) != 0) ? 1u : 0u);
  }
  return static_cast<uint16_t>(sign | half);
}

uint16_t bf16_from_f32(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace onepass::kernels
