// usmmla multiplies two channels by two rows over eight inputs: the stored weights, 128 too high, are its unsigned
// operand as they are, and the activations its signed one. Every sum is 128 times the row's sum of activations too
// high; the accumulators start at minus that.
//
// Eight inputs of a channel are two groups of four, which the layout keeps 128 bytes apart: one zip of two loads makes
// the operands of two channels, another those of the next two, and every pair of rows shares them.
//
// A tile is 8 rows by 8 channels: 16 accumulators of 2 x 2, 4 operands of each side and their loads of 32 registers.
// Fewer rows take more channels, so that enough sums are independent. The last row of an odd number is its own pair.
#pragma once

#include "kernels/arm/finish_i8.h"

namespace onepass::kernels {
namespace {

// Of four channels and eight inputs: the operands of two channels each.
struct Weights {
  uint8x16_t low, high;
};
ONEPASS_INLINE Weights pairs_of_channels(uint8x16_t first_four, uint8x16_t next_four) {
  const uint32x4_t a = vreinterpretq_u32_u8(first_four), b = vreinterpretq_u32_u8(next_four);
  return {vreinterpretq_u8_u32(vzip1q_u32(a, b)), vreinterpretq_u8_u32(vzip2q_u32(a, b))};
}

// sum[i][j]: rows 2 i and 2 i + 1 by channels 2 j and 2 j + 1, the channel outside.
template <size_t pairs, size_t fours>
ONEPASS_INLINE void add_products(int32x4_t (&sum)[pairs][2 * fours], const int8x16_t (&x)[pairs], const uint8_t* codes,
                                 bool has_next) {
#pragma GCC unroll 16
  for (size_t j = 0; j < fours; ++j) {
    const uint8x16_t next = has_next ? vld1q_u8(codes + 128 + j * 16) : vdupq_n_u8(0);
    const Weights w = pairs_of_channels(vld1q_u8(codes + j * 16), next);
#pragma GCC unroll 16
    for (size_t i = 0; i < pairs; ++i) {
      sum[i][2 * j] = vusmmlaq_s32(sum[i][2 * j], w.low, x[i]);
      sum[i][2 * j + 1] = vusmmlaq_s32(sum[i][2 * j + 1], w.high, x[i]);
    }
  }
}

template <size_t rows, size_t fours>
ONEPASS_INLINE void tile(const MatmulI8& op, size_t m, const Panel& panel, size_t first, const int32_t* start) {
  constexpr size_t pairs = (rows + 1) / 2;
  const int8_t* a[2 * pairs];
  int32x4_t sum[pairs][2 * fours];
#pragma GCC unroll 16
  for (size_t i = 0; i < pairs; ++i) {
    const size_t even = 2 * i, odd = 2 * i + 1 < rows ? 2 * i + 1 : 2 * i;
    a[even] = op.a + (m + even) * op.a_stride;
    a[even + 1] = op.a + (m + odd) * op.a_stride;
    const int32x2_t starts = vset_lane_s32(start[odd], vdup_n_s32(start[even]), 1);
#pragma GCC unroll 16
    for (size_t j = 0; j < 2 * fours; ++j) sum[i][j] = vcombine_s32(starts, starts);
  }
  const uint8_t* codes = panel.codes + first * 4;
  const size_t k_end = round_up(op.k, 4);
  size_t k = 0;
  for (; k + 16 <= k_end; k += 16) {
    int8x16_t x0[pairs], x1[pairs];
#pragma GCC unroll 16
    for (size_t i = 0; i < pairs; ++i) {
      const int64x2_t even = vreinterpretq_s64_s8(vld1q_s8(a[2 * i] + k));
      const int64x2_t odd = vreinterpretq_s64_s8(vld1q_s8(a[2 * i + 1] + k));
      x0[i] = vreinterpretq_s8_s64(vtrn1q_s64(even, odd));
      x1[i] = vreinterpretq_s8_s64(vtrn2q_s64(even, odd));
    }
    add_products<pairs, fours>(sum, x0, codes + k * 32, true);
    add_products<pairs, fours>(sum, x1, codes + (k + 8) * 32, true);
  }
  for (; k < k_end; k += 4) {  // four inputs, and four zeros
    int8x16_t x[pairs];
#pragma GCC unroll 16
    for (size_t i = 0; i < pairs; ++i) {
      int32x4_t four = vdupq_n_s32(0);
      four = vsetq_lane_s32(load_four(a[2 * i] + k), four, 0);
      x[i] = vreinterpretq_s8_s32(vsetq_lane_s32(load_four(a[2 * i + 1] + k), four, 2));
    }
    add_products<pairs, fours>(sum, x, codes + k * 32, false);
  }
  int32x4_t done[rows][fours];
#pragma GCC unroll 16
  for (size_t i = 0; i < pairs; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < fours; ++j) {
      done[2 * i][j] = vuzp1q_s32(sum[i][2 * j], sum[i][2 * j + 1]);
      if (2 * i + 1 < rows) done[2 * i + 1][j] = vuzp2q_s32(sum[i][2 * j], sum[i][2 * j + 1]);
    }
  }
  finish(op, m, panel, first, done);
}

struct I8mm {
  static constexpr size_t rows = 8;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_i8mm(part); }
  // -128 times the sum of a row's codes.
  ONEPASS_INLINE static int32_t start(const int8_t* a, size_t k_end) {
    int32x4_t sums = vdupq_n_s32(0);
    size_t k = 0;
    for (; k + 16 <= k_end; k += 16) sums = vdotq_s32(sums, vld1q_s8(a + k), vdupq_n_s8(1));
    int32_t sum = vaddvq_s32(sums);
    for (; k < k_end; ++k) sum += a[k];
    return -128 * sum;
  }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
    constexpr size_t fours = count <= 4 ? 4 : 2;
    for (size_t first = 0; first < panel.count; first += fours * 4) tile<count, fours>(op, m, panel, first, start);
  }
};

}  // namespace
}  // namespace onepass::kernels
