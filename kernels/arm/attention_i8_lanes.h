// What the attention_i8 of Arm share.
#pragma once

#include "kernels/attention_i8_blocks.h"

namespace onepass::kernels {
namespace {

struct Lanes128 {
  using Sums = int32x4_t;
  static constexpr size_t lanes = 4, tile_rows = 4, tile_panels = 1;
  static constexpr bool joins_columns = false;

  ONEPASS_INLINE static Sums splat_sum(int32_t x) { return vdupq_n_s32(x); }
  ONEPASS_INLINE static Sums load_sum(const int32_t* p) { return vld1q_s32(p); }
  ONEPASS_INLINE static void store_sum(int32_t* to, Sums x) { vst1q_s32(to, x); }
  ONEPASS_INLINE static int16x4_t words(I16 codes, size_t part) { return vqmovn_s32(codes.part[part]); }

  ONEPASS_INLINE static void add_mix(float* to, Sums sum, float a, float b) {
    vst1q_f32(to, vfmaq_n_f32(vmulq_n_f32(vld1q_f32(to), a), vcvtq_f32_s32(sum), b));
  }
  ONEPASS_INLINE static uint16x8_t high_product(uint16x8_t a, uint16x8_t b) {
    return vuzp2q_u16(vreinterpretq_u16_u32(vmull_u16(vget_low_u16(a), vget_low_u16(b))),
                      vreinterpretq_u16_u32(vmull_high_u16(a, b)));
  }

  // The codes of 8 values of y, in parts `part` and `part` + 1, as words.
  ONEPASS_INLINE static int16x8_t code_words(F16 y, size_t part) {
    const uint16x8_t steps =
        vcombine_u16(vqmovun_s32(vcvtnq_s32_f32(y.part[part])), vqmovun_s32(vcvtnq_s32_f32(y.part[part + 1])));
    const int16x8_t whole = vreinterpretq_s16_u16(vshrq_n_u16(steps, 12));
    const uint16x8_t f = vshlq_n_u16(steps, 4);
    uint16x8_t power = vsubq_u16(vdupq_n_u16(exp_code_poly[2]), high_product(f, vdupq_n_u16(exp_code_poly[3])));
    power = vsubq_u16(vdupq_n_u16(exp_code_poly[1]), high_product(f, power));
    power = vsubq_u16(vdupq_n_u16(exp_code_poly[0]), high_product(f, power));
    return vqrdmulhq_s16(vreinterpretq_s16_u16(power), vshlq_s16(vdupq_n_s16(256), vnegq_s16(whole)));
  }
  ONEPASS_INLINE static void plain_starts(int32_t* start, int32_t value) {
    for (size_t i = 0; i < query_rows; ++i) start[i] = value;
  }
};

}  // namespace
}  // namespace onepass::kernels
