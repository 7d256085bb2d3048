// sdot adds four products of signed bytes to each of four sums; the activations are its broadcast operand, one lane
// of a register that holds sixteen inputs of a row.
//
// A tile is 8 rows by 8 channels: 16 accumulators, 8 registers of activations and 2 of weights of 32. Fewer rows take
// more channels, so that enough sums are independent.
#pragma once

#include "kernels/arm/finish_i8.h"

namespace onepass::kernels {
namespace {

// sum += the four inputs from k + 4 * lane on; x[i] holds the sixteen from k on.
template <int lane, size_t rows, size_t vectors>
ONEPASS_INLINE void add_lane(int32x4_t (&sum)[rows][vectors], const int8x16_t (&x)[rows], const uint8_t* codes) {
#pragma GCC unroll 16
  for (size_t j = 0; j < vectors; ++j) {
    const int8x16_t w = load_codes(codes + lane * 128 + j * 16);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) sum[i][j] = vdotq_laneq_s32(sum[i][j], w, x[i], lane);
  }
}

template <size_t rows, size_t vectors>
ONEPASS_INLINE void tile(const MatmulI8& op, size_t m, const Panel& panel, size_t first) {
  int32x4_t sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j] = vdupq_n_s32(0);
  }
  const int8_t* a = op.a + m * op.a_stride;
  const uint8_t* codes = panel.codes + first * 4;
  const size_t k_end = round_up(op.k, 4);
  size_t k = 0;
  for (; k + 16 <= k_end; k += 16) {
    int8x16_t x[rows];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) x[i] = vld1q_s8(a + i * op.a_stride + k);
    add_lane<0>(sum, x, codes + k * 32);
    add_lane<1>(sum, x, codes + k * 32);
    add_lane<2>(sum, x, codes + k * 32);
    add_lane<3>(sum, x, codes + k * 32);
  }
  for (; k < k_end; k += 4) {
    int8x16_t x[rows];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) x[i] = broadcast_four(a + i * op.a_stride + k);
    add_lane<0>(sum, x, codes + k * 32);
  }
  int32x4_t done[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) done[i][j] = sum[i][j];
  }
  finish(op, m, panel, first, done);
}

struct Dotprod {
  static constexpr size_t rows = 8;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_dotprod(part); }
  ONEPASS_INLINE static int32_t start(const int8_t*, size_t) { return 0; }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t*) {
    constexpr size_t vectors = count <= 2 ? 8 : count <= 4 ? 4 : 2;
    for (size_t first = 0; first < panel.count; first += vectors * 4) tile<count, vectors>(op, m, panel, first);
  }
};

}  // namespace
}  // namespace onepass::kernels
