// How every int4 product walks over C: groups of rows, panels of 32 channels, blocks of K, blocks of rows.
// Only for sources of one level; internal linkage.
//
// The sums of a group of K become floats at its end, so a tile has both integer and float accumulators; the float ones
// live in memory (the first-level cache) between groups, and blocks of K cost nothing more. With enough rows the
// nibbles of a block are spread to bytes once, for all rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/finish_tile.h"
#include "kernels/matmul_i4.h"

namespace onepass::kernels {
namespace {

// 256 inputs of 32 channels are 4 KiB packed and 8 KiB spread; with the float sums and the rows of A they stay in the
// first-level cache.
constexpr size_t i4_block_k = 256;
constexpr size_t i4_block_groups = i4_block_k / 32;
constexpr size_t i4_most_rows = 48;
// Where the sums of groups start: rows by groups of K, so very long rows are taken fewer at a time. 48 KiB of stack
// with their sums.
constexpr size_t i4_start_count = i4_most_rows * 128;
static_assert(i4_start_count >= max_int8_k / 32);

// Bytes by which packed codes are fetched ahead, from the second-level cache or further away into the first.
constexpr size_t i4_near_distance = 2048;

// At most i4_block_k inputs of a panel.
struct I4Block {
  const uint8_t* codes;  // of the first pair of groups; spread: [groups][group/4][32][4]
  const float* scale;    // [groups][32]
  const float* minimum;  // likewise; null in layouts that have none
  const int32_t* start;  // [groups][start_stride]: what a sum of integers starts with
  const float* a_sum;    // likewise, what the minimum is multiplied by
  size_t start_stride;
  size_t group, groups, inputs;  // inputs: a multiple of 4
  size_t pair_bytes, channels;   // channels: how many of the 32 exist
  // Where a tile fetches ahead while it multiplies, and how far on after each group.
  const uint8_t* next;
  size_t next_step;
};

// What follows, over all the arithmetic of a block: only so many lines can be under way.
ONEPASS_INLINE void fetch_ahead(const I4Block& block, size_t g) {
  for (size_t at = 0; at < block.next_step; at += 64) {
    __builtin_prefetch(block.next + g * block.next_step + at, 0, 2);
  }
}

ONEPASS_INLINE size_t lesser_of(size_t a, size_t b) { return a < b ? a : b; }

// start[g * stride] of one row: -8 times the sum of the row's codes in group g, since nibbles are 8 too high, in the
// unit of the level's sums. With a minimum nibbles are what they are: start is 0, and a_sum the sum of the codes.
template <class Level>
ONEPASS_INLINE void start_row(const int8_t* a, size_t k_end, size_t group, bool minimum, int32_t* start, float* a_sum,
                              size_t stride) {
  for (size_t k = 0; k < k_end; k += 128) {
    int32_t sums[4] = {};  // of 32 inputs each
    if (k + 128 <= k_end) {
      Level::sum_128(a + k, sums);
    } else {
      for (size_t i = k; i < k_end; ++i) sums[(i - k) / 32] += a[i];
    }
    for (size_t g = k / group, part = 0; part < 4 && g * group < k_end; ++g) {
      int32_t sum = sums[part++];
      if (group == 64) sum += sums[part++];
      start[g * stride] = minimum ? 0 : -8 * sum * (g % 2 == 0 ? 1 : Level::high_factor);
      if (minimum) a_sum[g * stride] = static_cast<float>(sum);
    }
  }
}

// Scales and minima of the block, from f16; the odd groups' scales take back the level's factor, which is exact.
template <class Level>
ONEPASS_INLINE void widen_scales(const uint8_t* codes, size_t group, size_t groups, size_t pair_bytes, bool minimum,
                                 float* scale, float* least) {
  for (size_t g = 0; g < groups; ++g) {
    const uint8_t* stored = codes + g / 2 * pair_bytes + group * 32 + g % 2 * 64;
    Level::widen(stored, g % 2 == 0 ? 1.0f : 1.0f / static_cast<float>(Level::high_factor), scale + g * 32);
    if (minimum) Level::widen(stored + 128, 1.0f, least + g * 32);
  }
}

// Calls the tile with `rows`, 1..most, as a constant.
template <class Level, bool spread, size_t most, size_t least>
ONEPASS_INLINE void dispatch_i4(size_t rows, const int8_t* a, size_t a_stride, const I4Block& block, size_t first,
                                float* acc) {
  if (rows == most) {
    Level::template tile<most, spread>(a, a_stride, block, first, acc);
  } else if constexpr (most > least) {
    dispatch_i4<Level, spread, most - 1, least>(rows, a, a_stride, block, first, acc);
  }
}

// Blocks of equal height. `spread` needs spread_from rows, so that no block is lower than half a tile.
template <class Level, bool spread>
ONEPASS_INLINE void multiply_rows(const MatmulI4& op, const int8_t* a, size_t rows, I4Block& block, float* acc) {
  constexpr size_t least = spread ? (Level::spread_from < Level::rows ? Level::spread_from : Level::rows / 2) : 1;
  size_t m = 0, count = (rows + Level::rows - 1) / Level::rows;
  block.next_step = (block.next_step + count * block.groups - 1) / (count * block.groups);
  for (; count > 0; --count) {
    const size_t height = (rows - m + count - 1) / count;
    dispatch_i4<Level, spread, Level::rows, least>(height, a + m * op.a_stride, op.a_stride, block, m, acc + m * 32);
    m += height;
    block.next += block.groups * block.next_step;
  }
}

// Level has: rows, the largest tile; high_factor, what a high nibble is multiplied by; spread_from, the rows from
// which nibbles are spread first; sum_128, widen, spread_step, tile<rows, spread>, which begins at row
// `first` of the block's, finish.
template <class Level>
ONEPASS_INLINE void multiply_i4(const MatmulI4& op) {
  const bool minimum = has_minimum(op.layout);
  const size_t group = group_size(op.layout), pair_bytes = i4_pair_bytes(op.layout);
  const size_t k_end = round_up(op.k, 4), groups = (op.k + group - 1) / group;
  const size_t panel_bytes = i4_panel_bytes(op.layout, op.k);
  const size_t most_rows = lesser_of(i4_most_rows, i4_start_count / groups);
  alignas(64) uint8_t spread[i4_block_k * 32];
  alignas(64) float scale[i4_block_groups * 32], least[i4_block_groups * 32];
  alignas(64) float acc[i4_most_rows * 32];
  int32_t start[i4_start_count];
  float a_sum[i4_start_count];
  for (size_t m = 0; m < op.m; m += most_rows) {
    const size_t rows = lesser_of(op.m - m, most_rows);
    const int8_t* a = op.a + m * op.a_stride;
    for (size_t i = 0; i < rows; ++i) {
      start_row<Level>(a + i * op.a_stride, k_end, group, minimum, start + i, a_sum + i, rows);
    }
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      const uint8_t* codes = static_cast<const uint8_t*>(op.w) + n / 32 * panel_bytes;
      memset(acc, 0, rows * 32 * sizeof *acc);
      for (size_t k = 0; k < k_end; k += i4_block_k) {
        const size_t inputs = lesser_of(k_end - k, i4_block_k);
        const size_t block_bytes = (inputs + 2 * group - 1) / (2 * group) * pair_bytes;
        I4Block block = {.codes = codes + k / group / 2 * pair_bytes,
                         .scale = scale,
                         .minimum = minimum ? least : nullptr,
                         .start = start + k / group * rows,
                         .a_sum = a_sum + k / group * rows,
                         .start_stride = rows,
                         .group = group,
                         .groups = (inputs + group - 1) / group,
                         .inputs = inputs,
                         .pair_bytes = pair_bytes,
                         .channels = lesser_of(op.n_end - n, 32),
                         .next = codes + k / group / 2 * pair_bytes + block_bytes,
                         .next_step = block_bytes};  // to be shared out
        widen_scales<Level>(block.codes, group, block.groups, pair_bytes, minimum, scale, least);
        if (rows < Level::spread_from) {
          multiply_rows<Level, false>(op, a + k, rows, block, acc);
        } else {
          for (size_t g = 0; g < block.groups; g += 2) {
            const uint8_t* from = block.codes + g / 2 * pair_bytes;
            uint8_t* low = spread + g * group * 32;
            for (size_t at = 0; at < group * 32; at += 128)
              Level::spread_step(from + at, low + at, low + group * 32 + at);
          }
          block.codes = spread;
          multiply_rows<Level, true>(op, a + k, rows, block, acc);
        }
      }
      for (size_t i = 0; i < rows; ++i) {
        Level::finish(acc + i * 32, op.a_scale[m + i], op.bias != nullptr ? op.bias + n : nullptr,
                      op.c + (m + i) * op.c_stride + n, lesser_of(op.n_end - n, 32));
      }
      if (op.act != Act::none || op.peak != nullptr) finish_tile(op, m, rows, n, lesser_of(op.n_end - n, 32));
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
