// What the int8 products of Arm share: reading stored codes, and turning sums into results.
#pragma once

#include <arm_neon.h>

#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// Sixteen stored codes (u8 = code + 128) as s8: flipping the top bit subtracts 128.
ONEPASS_INLINE int8x16_t load_codes(const uint8_t* stored) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(stored), vdupq_n_u8(0x80)));
}

// Four activations, repeated.
ONEPASS_INLINE int8x16_t broadcast_four(const int8_t* a) { return vreinterpretq_s8_s32(vdupq_n_s32(load_four(a))); }

// C of one row and the four channels from `first` of the panel: fma(float(sum) * w_scale, a_scale, bias). Channels
// that do not exist are left alone.
ONEPASS_INLINE void finish_four(const MatmulI8& op, size_t m, const Panel& panel, size_t first, int32x4_t sum) {
  if (first >= panel.count) return;
  const size_t count = panel.count - first;
  const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(panel.scale + first));
  const float32x4_t a_scale = vdupq_n_f32(op.a_scale[m]);
  float* out = op.c + m * op.c_stride + panel.n + first;
  if (count >= 4) {
    const float32x4_t bias = panel.bias != nullptr ? vld1q_f32(panel.bias + first) : vdupq_n_f32(0.0f);
    vst1q_f32(out, vfmaq_f32(bias, scaled, a_scale));
    return;
  }
  float bias[4] = {}, value[4];
  for (size_t i = 0; i < count && panel.bias != nullptr; ++i) bias[i] = panel.bias[first + i];
  vst1q_f32(value, vfmaq_f32(vld1q_f32(bias), scaled, a_scale));
  for (size_t i = 0; i < count; ++i) out[i] = value[i];
}

}  // namespace
}  // namespace onepass::kernels
