// tdpbsud multiplies a tile of 16 rows x 64 inputs of activations by one of 64 inputs x 16 channels of weights, and
// adds to 16 x 16 sums: exact, as every other level. The stored panels are its second operand as they are: 16 lines of
// the layout, 128 bytes apart, are 16 channels of 64 inputs.
//
// A block is 2 x 2 tiles of sums, 32 rows by the 32 channels of a panel, over two tiles of each operand: all eight
// tile registers. Tiles of a product all have the same height, so that they are configured once: the last one begins
// early enough to end with the last row, and computes some rows again.
#pragma once

#include <immintrin.h>

#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// The operand of ldtilecfg (Intel SDM, "TILECFG").
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0..3 are sums, 4 and 5 activations, 6 and 7 weights.
ONEPASS_INLINE TileConfig config_of(size_t tile_rows) {
  TileConfig config;
  for (size_t tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = tile < 6 ? static_cast<uint8_t>(tile_rows) : 16;
  }
  return config;
}

constexpr size_t tile_inputs = 64;

// sums [2][tile_rows][32] = A W for one or two tiles of rows.
template <bool two>
ONEPASS_INLINE void multiply_block(const int8_t* a, size_t a_stride, size_t tile_rows, const uint8_t* codes,
                                   size_t k_end, const uint8_t* next, size_t next_step, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (two) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (size_t k = 0; k < k_end; k += tile_inputs) {
    _tile_loadd(4, a + k, a_stride);
    if constexpr (two) _tile_loadd(5, a + tile_rows * a_stride + k, a_stride);
    _tile_loadd(6, codes + k * 32, 128);
    _tile_dpbsud(0, 4, 6);
    if constexpr (two) _tile_dpbsud(2, 5, 6);
    _tile_loadd(7, codes + k * 32 + 64, 128);
    _tile_dpbsud(1, 4, 7);
    if constexpr (two) _tile_dpbsud(3, 5, 7);
    for (size_t line = 0; line < next_step; line += 64) fetch_far(next + line);
    next += next_step;
  }
  _tile_stored(0, sums, 128);
  _tile_stored(1, sums + 16, 128);
  if constexpr (two) {
    _tile_stored(2, sums + tile_rows * 32, 128);
    _tile_stored(3, sums + tile_rows * 32 + 16, 128);
  }
}

// C = fma(float(sum - 128 * the row's sum of codes) * w_scale, a_scale, bias), or in a part of K the sums so far.
ONEPASS_INLINE void store_rows(const MatmulI8& op, size_t m, size_t rows, const Panel& panel, const int32_t* sums,
                               const int32_t* start) {
  const auto lanes = [](size_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1u : 0xffffu); };
  const __mmask16 mask0 = lanes(panel.count), mask1 = lanes(panel.count < 16 ? 0 : panel.count - 16);
  const __m512 w_scale0 = _mm512_load_ps(panel.scale), w_scale1 = _mm512_load_ps(panel.scale + 16);
  __m512 bias0 = _mm512_setzero_ps(), bias1 = _mm512_setzero_ps();
  if (panel.bias != nullptr) {
    bias0 = _mm512_maskz_loadu_ps(mask0, panel.bias);
    bias1 = _mm512_maskz_loadu_ps(mask1, panel.bias + 16);
  }
  for (size_t i = 0; i < rows; ++i) {
    const __m512i first = _mm512_set1_epi32(start[i]);
    const __m512 a_scale = _mm512_set1_ps(op.a_scale[m + i]);
    float* out = op.c + (m + i) * op.c_stride + panel.n;
    __m512i sum0 = _mm512_add_epi32(_mm512_load_si512(sums + i * 32), first);
    __m512i sum1 = _mm512_add_epi32(_mm512_load_si512(sums + i * 32 + 16), first);
    if (panel.continued) {
      sum0 = _mm512_add_epi32(sum0, _mm512_maskz_loadu_epi32(mask0, out));
      sum1 = _mm512_add_epi32(sum1, _mm512_maskz_loadu_epi32(mask1, out + 16));
    }
    if (panel.continues) {
      _mm512_mask_storeu_epi32(out, mask0, sum0);
      _mm512_mask_storeu_epi32(out + 16, mask1, sum1);
      continue;
    }
    const __m512 x0 = _mm512_mul_ps(_mm512_cvtepi32_ps(sum0), w_scale0);
    const __m512 x1 = _mm512_mul_ps(_mm512_cvtepi32_ps(sum1), w_scale1);
    _mm512_mask_storeu_ps(out, mask0, _mm512_fmadd_ps(x0, a_scale, bias0));
    _mm512_mask_storeu_ps(out + 16, mask1, _mm512_fmadd_ps(x1, a_scale, bias1));
  }
}

// -128 times the sum of a row's codes.
ONEPASS_INLINE int32_t row_start(const int8_t* a, size_t k_end) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  for (size_t k = 0; k < k_end; k += 64) sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(a + k));
  return -128 * _mm512_reduce_add_epi32(sum);
}

// The rows of a product as tiles of equal height, at most 16.
class TileRows {
 public:
  ONEPASS_INLINE explicit TileRows(size_t rows)
      : rows_(rows), count_((rows + 15) / 16), height_((rows + count_ - 1) / count_) {}
  ONEPASS_INLINE size_t count() const { return count_; }
  ONEPASS_INLINE size_t height() const { return height_; }
  // The first row of a tile; the last ones move up so as to end with the last row.
  ONEPASS_INLINE size_t first(size_t tile) const {
    return tile * height_ + height_ > rows_ ? rows_ - height_ : tile * height_;
  }
  ONEPASS_INLINE size_t end(size_t tile) const { return first(tile) + height_; }

  ONEPASS_INLINE void configure() const {
    const TileConfig config = config_of(height_);
    __asm__ volatile("" ::: "memory");  // g++ 12 believes that the next line reads eight bytes of the configuration
    _tile_loadconfig(&config);
  }

 private:
  size_t rows_, count_, height_;
};

// Tiles that share a pass over the panels: their activations stay in the second-level cache, a panel in the first.
constexpr size_t group_tiles = 6;

// Fewer rows are as quick without tiles: their time is that of reading the weights.
constexpr size_t least_rows = 4;

// The tiles [first_tile, end_tile) of a panel. start[0] belongs to the first row of them. Lines of panel.next are
// fetched while the first four tiles of rows, or fewer, are multiplied: `next_bytes` of them.
ONEPASS_INLINE void multiply_panel_amx(const MatmulI8& op, const Panel& panel, const TileRows& tiles, size_t first_tile,
                                       size_t end_tile, const int32_t* start, size_t next_bytes) {
  alignas(64) int32_t sums[32 * 32];
  const bool finish = !panel.continues && (op.act != Act::none || op.peak != nullptr);
  const size_t fetching = end_tile - first_tile < 4 ? end_tile - first_tile : 4;
  const size_t next_step = round_up(next_bytes / (op.k / tile_inputs) / fetching, 64);
  const uint8_t* next = panel.next;
  const size_t group = tiles.first(first_tile);
  size_t done = first_tile == 0 ? group : tiles.end(first_tile - 1);  // rows stored
  for (size_t tile = first_tile; tile < end_tile;) {
    const size_t m = tiles.first(tile);
    const bool two = tile + 1 < end_tile && tiles.first(tile + 1) == tiles.end(tile);
    const size_t count = two ? 2 : 1, rows = count * tiles.height();
    const size_t step = tile - first_tile < fetching ? count * next_step : 0;
    const int8_t* a = op.a + m * op.a_stride;
    if (two) {
      multiply_block<true>(a, op.a_stride, tiles.height(), panel.codes, op.k, next, step, sums);
    } else {
      multiply_block<false>(a, op.a_stride, tiles.height(), panel.codes, op.k, next, step, sums);
    }
    // Rows that the tile before has stored are not stored again: in parts of K they would count twice.
    const size_t again = m < done ? done - m : 0;
    store_rows(op, m + again, rows - again, panel, sums + again * 32, start + (m + again - group));
    if (finish) finish_tile(op, m + again, rows - again, panel);
    done = m + rows;
    next += op.k / tile_inputs * step;
    tile += count;
  }
}

}  // namespace
}  // namespace onepass::kernels
