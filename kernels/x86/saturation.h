// Exact products by vpmaddubsw of weights as they are stored, 1..255, and codes, -127..127.
//
// It adds two products in 16 bits. They fit where the sum of the two codes is at most 128 in magnitude: 255 * 128 =
// 32640, and codes of different signs do not add up at all. Most neighbours in a row are that small together, since
// the greatest code of a row is 127. So the tiles multiply everything as if nothing saturated, three instructions for
// 32 products where the sign trick needs four and two more a weight vector, and what saturates is found once for all
// channels, and put right afterwards. Where a tile has more of it than that is worth, it takes the sign trick.
#pragma once

#include <immintrin.h>

#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// Four inputs of a row that may saturate.
struct Saturating {
  uint16_t row;   // of the tile
  uint16_t four;  // k / 4
};
static_assert(max_int8_k / 4 <= 65536);

constexpr size_t most_saturating = 2048;  // in a group of rows

// A tile's rows, and their entries of Plan::saturating.
struct TilePlan {
  size_t first_row, rows, begin, end;
  bool by_sign;
};

struct Plan {
  TilePlan tiles[group_rows];
  size_t count = 0;
  Saturating saturating[most_saturating];
  int32_t start[group_rows];  // -128 times the sum of a row's codes
};

// Writes the entries of a row from out[0] on, up to `room`, and returns how many there are, or more than `room`.
// *sum is the sum of the row's codes.
ONEPASS_INLINE size_t find_saturating(const int8_t* a, size_t k_end, size_t row, Saturating* out, size_t room,
                                      int32_t* sum) {
  const __m256i one_each = _mm256_set1_epi8(1);
  __m256i sums = _mm256_setzero_si256();
  size_t found = 0, k = 0;
  const auto note = [&](size_t at) {
    if (found < room) out[found] = {static_cast<uint16_t>(row), static_cast<uint16_t>(at / 4)};
    ++found;
  };
  for (; k + 32 <= k_end; k += 32) {
    const __m256i pairs = _mm256_maddubs_epi16(one_each, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + k)));
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    const __m256i large = _mm256_cmpgt_epi16(_mm256_abs_epi16(pairs), _mm256_set1_epi16(128));
    // Four bits for four codes, of either pair.
    for (auto mask = static_cast<uint32_t>(_mm256_movemask_epi8(large)); mask != 0;) {
      const auto four = static_cast<uint32_t>(__builtin_ctz(mask)) / 4;
      note(k + four * 4);
      mask &= ~(15u << four * 4);
    }
    if (found > room) return found;
  }
  int32_t lanes[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sums);
  int32_t total = 0;
  for (const int32_t lane : lanes) total += lane;
  for (; k < k_end; k += 4) {
    const int first = a[k] + a[k + 1], second = a[k + 2] + a[k + 3];
    total += first + second;
    if (first > 128 || first < -128 || second > 128 || second < -128) note(k);
  }
  *sum = total;
  return found;
}

// Tiles of at most `height` rows, of equal height, for rows [m, m + rows).
template <size_t height>
ONEPASS_INLINE void make_plan(const MatmulI8& op, size_t m, size_t rows, Plan& plan) {
  const size_t k_end = round_up(op.k, 4);
  plan.count = (rows + height - 1) / height;
  size_t row = 0, used = 0;
  for (size_t t = 0; t < plan.count; ++t) {
    const size_t count = (rows - row + plan.count - t - 1) / (plan.count - t);
    // An entry costs about what the shorter way gains on six times four inputs of a row.
    const size_t worth = count * k_end / 4 / 6;
    const size_t room = most_saturating - used < worth ? most_saturating - used : worth;
    size_t found = 0;
    for (size_t i = 0; i < count && found <= room; ++i) {
      int32_t sum = 0;
      found += find_saturating(op.a + (m + row + i) * op.a_stride, k_end, i, plan.saturating + used + found,
                               room - found, &sum);
      plan.start[row + i] = -128 * sum;
    }
    const bool by_sign = found > room;
    plan.tiles[t] = {row, count, used, by_sign ? used : used + found, by_sign};
    if (!by_sign) used += found;
    row += count;
  }
}

}  // namespace
}  // namespace onepass::kernels
