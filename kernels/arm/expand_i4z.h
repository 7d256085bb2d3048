// From nibbles to the bytes of i8_n32k4: nibble * step + (128 - zero * step), one mla of bytes; at most 165 + 128 - 44
// before the last of them is 8 bits again, which the sum always fits.
#pragma once

#include <arm_neon.h>

#include "kernels/inline.h"
#include "kernels/layouts.h"

namespace onepass::kernels {
namespace {

// One pair of groups into the panel bytes of each: [group/4][32][4].
ONEPASS_INLINE void expand_pair(const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) {
  const uint8x16_t low_nibbles = vdupq_n_u8(15);
  const uint8_t* factors = pair + group * 32;
  for (size_t channel = 0; channel < 32; channel += 4) {
    // Steps and offsets of four channels, four times each.
    uint8x16_t step[2], offset[2];
    for (size_t odd = 0; odd < 2; ++odd) {
      const uint8x16_t stored = vld1q_u8(factors + odd * 32 + channel / 16 * 16);
      const uint8x16_t steps = vminq_u8(vandq_u8(stored, low_nibbles), vdupq_n_u8(largest_step));
      const uint8x16_t zeros = vaddq_u8(vandq_u8(vshrq_n_u8(stored, 4), vdupq_n_u8(7)), vdupq_n_u8(least_zero));
      const uint8x16_t each = vreinterpretq_u8_u32(
          vmulq_n_u32(vcombine_u32(vcreate_u32(0x0000000100000000u), vcreate_u32(0x0000000300000002u)), 0x01010101u));
      const uint8x16_t from = vaddq_u8(each, vdupq_n_u8(static_cast<uint8_t>(channel % 16)));
      step[odd] = vqtbl1q_u8(steps, from);
      offset[odd] = vqtbl1q_u8(vmlsq_u8(vdupq_n_u8(128), zeros, steps), from);
    }
    for (size_t at = channel * 4; at < group * 32; at += 128) {
      const uint8x16_t both = vld1q_u8(pair + at);
      vst1q_u8(low + at, vmlaq_u8(offset[0], vandq_u8(both, low_nibbles), step[0]));
      vst1q_u8(high + at, vmlaq_u8(offset[1], vshrq_n_u8(both, 4), step[1]));
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
