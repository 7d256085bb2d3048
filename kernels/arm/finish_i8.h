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

// The sums of the parts of K before this one, and where they stay for the next: the first `count` of four values of C.
ONEPASS_INLINE int32x4_t load_sums(const float* c, size_t count) {
  int32_t lanes[4] = {};
  for (size_t l = 0; l < count; ++l) memcpy(lanes + l, c + l, sizeof *c);
  return vld1q_s32(lanes);
}

// C of `rows` rows and the `vectors` x 4 channels from `first` of the panel: fma(float(sum) * w_scale, a_scale, bias),
// or in a part of K the sums so far. Channels that do not exist are left alone.
template <size_t rows, size_t vectors>
ONEPASS_INLINE void finish(const MatmulI8& op, size_t m, const Panel& panel, size_t first,
                           const int32x4_t (&sum)[rows][vectors]) {
  for (size_t j = 0; j < vectors; ++j) {
    const size_t n = first + j * 4;
    if (n >= panel.count) return;
    const size_t count = panel.count - n < 4 ? panel.count - n : 4;
    const float32x4_t w_scale = vld1q_f32(panel.scale + n);
    float bias[4] = {};
    for (size_t l = 0; l < count && panel.bias != nullptr; ++l) bias[l] = panel.bias[n + l];
    for (size_t i = 0; i < rows; ++i) {
      float* out = op.c + (m + i) * op.c_stride + panel.n + n;
      int32x4_t total = sum[i][j];
      if (panel.continued) total = vaddq_s32(total, load_sums(out, count));
      const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(total), w_scale);
      float32x4_t value = vfmaq_f32(vld1q_f32(bias), scaled, vdupq_n_f32(op.a_scale[m + i]));
      if (panel.continues) value = vreinterpretq_f32_s32(total);
      if (count == 4) {
        vst1q_f32(out, value);
      } else {
        float lanes[4];
        vst1q_f32(lanes, value);
        for (size_t l = 0; l < count; ++l) out[l] = lanes[l];
      }
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
