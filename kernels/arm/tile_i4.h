// The int4 tile of Arm: rows x 8 channels, four times a panel. `Dot` is what differs between the levels: how the
// products of a group are summed. The float accumulators wait in memory.
#pragma once

#include <arm_neon.h>

#include "kernels/matmul_i4_blocks.h"

namespace onepass::kernels {
namespace {

constexpr size_t tile_channels = 8;

// Four activations, repeated.
ONEPASS_INLINE int8x16_t broadcast_four(const int8_t* a) { return vreinterpretq_s8_s32(vdupq_n_s32(load_four(a))); }

// Sixteen bytes of a group's nibbles, 0..15.
template <bool spread>
ONEPASS_INLINE int8x16_t load_nibbles(const uint8_t* codes, int8x16_t shift) {
  const uint8x16_t bytes = vld1q_u8(codes);
  return vreinterpretq_s8_u8(spread ? bytes : vandq_u8(vshlq_u8(bytes, shift), vdupq_n_u8(15)));
}

// Dot has: rows, of the largest tile, and
//   add_group<rows, spread>(sum, a, a_stride, codes, shift, inputs), which gives sums of nibbles times activations for
//   eight channels, from 0.
template <class Dot>
struct ArmLevel {
  static constexpr size_t rows = Dot::rows;
  static constexpr int32_t high_factor = 1;
  static constexpr size_t spread_from = Dot::rows + 1;

  ONEPASS_INLINE static void sum_128(const int8_t* a, int32_t* sums) {
    for (size_t i = 0; i < 4; ++i) {
      sums[i] = vaddlvq_s16(vpadalq_s8(vpaddlq_s8(vld1q_s8(a + i * 32)), vld1q_s8(a + i * 32 + 16)));
    }
  }

  ONEPASS_INLINE static void widen(const uint8_t* from, float factor, float* to) {
    for (size_t i = 0; i < 32; i += 4) {
      uint16x4_t half;
      memcpy(&half, from + i * 2, sizeof half);
      vst1q_f32(to + i, vmulq_f32(vcvt_f32_f16(vreinterpret_f16_u16(half)), vdupq_n_f32(factor)));
    }
  }

  ONEPASS_INLINE static void spread_step(const uint8_t* from, uint8_t* low, uint8_t* high) {
    for (size_t i = 0; i < 128; i += 16) {
      const uint8x16_t both = vld1q_u8(from + i);
      vst1q_u8(low + i, vandq_u8(both, vdupq_n_u8(15)));
      vst1q_u8(high + i, vshrq_n_u8(both, 4));
    }
  }

  template <size_t count, bool spread>
  ONEPASS_INLINE static void tile(const int8_t* a, size_t a_stride, const I4Block& block, size_t first_row,
                                  float* acc) {
    for (size_t first = 0; first < block.channels; first += tile_channels) {
      for (size_t g = 0; g < block.groups; ++g) {
        const uint8_t* codes = block.codes + (spread ? g * block.group * 32 : g / 2 * block.pair_bytes) + first * 4;
        const int8x16_t shift = vdupq_n_s8(g % 2 == 0 ? 0 : -4);
        int32x4_t sum[count][2];
        Dot::template add_group<count, spread>(sum, a + g * block.group, a_stride, codes, shift,
                                               lesser_of(block.group, block.inputs - g * block.group));
        const size_t begin = g * block.start_stride + first_row;
#pragma GCC unroll 16
        for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
          for (size_t j = 0; j < 2; ++j) {
            const size_t at = g * 32 + first + j * 4;
            float* out = acc + i * 32 + first + j * 4;
            const int32x4_t whole = vaddq_s32(sum[i][j], vdupq_n_s32(block.start[begin + i]));
            float32x4_t value = vfmaq_f32(vld1q_f32(out), vcvtq_f32_s32(whole), vld1q_f32(block.scale + at));
            if (block.minimum != nullptr) {
              value = vfmaq_f32(value, vdupq_n_f32(block.a_sum[begin + i]), vld1q_f32(block.minimum + at));
            }
            vst1q_f32(out, value);
          }
        }
      }
    }
  }

  ONEPASS_INLINE static void finish(const float* acc, float a_scale, const float* bias, float* c, size_t count) {
    for (size_t i = 0; i < count; i += 4) {
      float lanes[4] = {};
      const size_t here = lesser_of(count - i, 4);
      for (size_t l = 0; l < here && bias != nullptr; ++l) lanes[l] = bias[i + l];
      const float32x4_t value = vfmaq_f32(vld1q_f32(lanes), vld1q_f32(acc + i), vdupq_n_f32(a_scale));
      if (here == 4) {
        vst1q_f32(c + i, value);
      } else {
        vst1q_f32(lanes, value);
        for (size_t l = 0; l < here; ++l) c[i + l] = lanes[l];
      }
    }
  }
};

}  // namespace
}  // namespace onepass::kernels
