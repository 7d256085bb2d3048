// As expand_i4z_512.h, in 256-bit registers.
#pragma once

#include <immintrin.h>

#include "kernels/inline.h"
#include "kernels/layouts.h"

namespace onepass::kernels {
namespace {

// The steps of 32 bytes of factors, and their products with the zeros.
struct Factors {
  __m256i step, product;
};
ONEPASS_INLINE Factors load_factors(const uint8_t* factors) {
  const __m256i stored = _mm256_load_si256(reinterpret_cast<const __m256i*>(factors));
  const __m256i even_bytes = _mm256_set1_epi16(0x00ff), odd_bytes = _mm256_set1_epi16(static_cast<short>(0xff00));
  const __m256i step = _mm256_min_epu8(_mm256_and_si256(stored, _mm256_set1_epi8(15)), _mm256_set1_epi8(largest_step));
  const __m256i zero = _mm256_add_epi8(_mm256_and_si256(_mm256_srli_epi16(stored, 4), _mm256_set1_epi8(7)),
                                       _mm256_set1_epi8(least_zero));
  const __m256i even = _mm256_mullo_epi16(_mm256_and_si256(step, even_bytes), _mm256_and_si256(zero, even_bytes));
  const __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(step, 8), _mm256_and_si256(zero, odd_bytes));
  return {step, _mm256_or_si256(even, odd)};
}

// Bytes of a whole vector from the 16 bytes at p, repeated, by the pattern of each 128-bit lane.
ONEPASS_INLINE __m256i spread_bytes(const uint8_t* p, __m256i pattern) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p))), pattern);
}

// One pair of groups into the panel bytes of each: [group/4][32][4].
ONEPASS_INLINE void expand_pair(const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) {
  alignas(32) uint8_t steps[64], offsets[64];
  for (size_t i = 0; i < 64; i += 32) {
    const Factors factors = load_factors(pair + group * 32 + i);
    // The steps of the high nibbles are the upper halves of bytes: with the pattern below, 4096 times the step.
    const __m256i step = i == 0 ? factors.step : _mm256_slli_epi16(factors.step, 4);
    const __m256i offset = _mm256_sub_epi8(_mm256_set1_epi8(static_cast<char>(128)), factors.product);
    _mm256_store_si256(reinterpret_cast<__m256i*>(steps + i), step);
    _mm256_store_si256(reinterpret_cast<__m256i*>(offsets + i), offset);
  }
  const __m256i low_nibbles = _mm256_set1_epi8(0x0f);
  for (size_t quarter = 0; quarter < 4; ++quarter) {
    // The two 128-bit lanes are four channels each.
    const __m256i first_four =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
    const int next = 0x04040404, begin = static_cast<int>(quarter % 2 * 0x08080808u);
    const __m256i all = _mm256_add_epi8(first_four, _mm256_setr_epi32(begin, begin, begin, begin, begin + next,
                                                                      begin + next, begin + next, begin + next));
    const __m256i first = _mm256_or_si256(all, _mm256_set1_epi16(static_cast<short>(0xff00)));
    const __m256i second = _mm256_or_si256(all, _mm256_set1_epi16(0x00ff));
    const size_t from = quarter / 2 * 16;
    const __m256i low_step = spread_bytes(steps + from, first), low_offset = spread_bytes(offsets + from, all);
    const __m256i high_step = spread_bytes(steps + 32 + from, second);
    const __m256i high_offset = spread_bytes(offsets + 32 + from, all);
    for (size_t at = quarter * 32; at < group * 32; at += 128) {
      const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(pair + at));
      const __m256i lows = _mm256_mullo_epi16(_mm256_and_si256(both, low_nibbles), low_step);
      const __m256i highs = _mm256_mulhi_epu16(_mm256_andnot_si256(low_nibbles, both), high_step);
      _mm256_store_si256(reinterpret_cast<__m256i*>(low + at), _mm256_add_epi8(lows, low_offset));
      _mm256_store_si256(reinterpret_cast<__m256i*>(high + at), _mm256_add_epi8(highs, high_offset));
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
