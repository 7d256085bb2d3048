// Processors without sdot: smull and smlal give 16-bit sums of two products, at most 2 * 128 * 127 = 32512, which
// cannot overflow; sadalp adds pairs of them to 32-bit sums. A channel's four inputs end in two neighbouring lanes,
// which are added at the end.
//
// A tile is 4 rows by 8 channels: 16 accumulators of 32 registers.
#pragma once

#include "kernels/arm/finish_i8.h"

namespace onepass::kernels {
namespace {

constexpr size_t vectors = 2;  // of four channels

// Lanes of low: channels 0, 0, 1, 1; of high: 2, 2, 3, 3.
struct Sums {
  int32x4_t low, high;
};

template <size_t rows>
ONEPASS_INLINE void tile(const MatmulI8& op, size_t m, const Panel& panel, size_t first) {
  Sums sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j].low = sum[i][j].high = vdupq_n_s32(0);
  }
  const int8_t* a = op.a + m * op.a_stride;
  const uint8_t* codes = panel.codes + first * 4;
  const size_t k_end = round_up(op.k, 4);
  size_t k = 0;
  for (; k + 8 <= k_end; k += 8) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      const int8x16_t w0 = load_codes(codes + k * 32 + j * 16), w1 = load_codes(codes + (k + 4) * 32 + j * 16);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) {
        const int8x16_t x0 = broadcast_four(a + i * op.a_stride + k), x1 = broadcast_four(a + i * op.a_stride + k + 4);
        int16x8_t low = vmull_s8(vget_low_s8(w0), vget_low_s8(x0));
        low = vmlal_s8(low, vget_low_s8(w1), vget_low_s8(x1));
        int16x8_t high = vmull_high_s8(w0, x0);
        high = vmlal_high_s8(high, w1, x1);
        sum[i][j].low = vpadalq_s16(sum[i][j].low, low);
        sum[i][j].high = vpadalq_s16(sum[i][j].high, high);
      }
    }
  }
  if (k < k_end) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      const int8x16_t w = load_codes(codes + k * 32 + j * 16);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) {
        const int8x16_t x = broadcast_four(a + i * op.a_stride + k);
        sum[i][j].low = vpadalq_s16(sum[i][j].low, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
        sum[i][j].high = vpadalq_s16(sum[i][j].high, vmull_high_s8(w, x));
      }
    }
  }
  int32x4_t done[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) done[i][j] = vpaddq_s32(sum[i][j].low, sum[i][j].high);
  }
  finish(op, m, panel, first, done);
}

struct Neon {
  static constexpr size_t rows = 4;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_neon(part); }
  ONEPASS_INLINE static int32_t start(const int8_t*, size_t) { return 0; }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t*) {
    for (size_t first = 0; first < panel.count; first += vectors * 4) tile<count>(op, m, panel, first);
  }
};

}  // namespace
}  // namespace onepass::kernels
