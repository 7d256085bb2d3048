// From nibbles to the bytes of i8_n32k4, in 512-bit registers. 16-bit lanes hold two nibbles as lo + 256 hi, and one
// multiplication makes lo * step + 256 hi * step of them, at most 165 in a byte; one addition of 128 - zero * step in
// both bytes makes the code + 128. The high nibbles need no shift: the upper half of the product of 16 (lo + 256 hi)
// and 4096 step is the same.
#pragma once

#include <immintrin.h>

#include "kernels/inline.h"
#include "kernels/layouts.h"

namespace onepass::kernels {
namespace {

// Bytes of a whole vector from the 16 bytes at p, repeated, by the pattern of each 128-bit lane.
ONEPASS_INLINE __m512i spread_bytes(const uint8_t* p, __m512i pattern) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p))), pattern);
}

// Lane l of the result has what belongs to channels 4 l to 4 l + 3, the four bytes of a channel alike.
ONEPASS_INLINE __m512i four_times() {
  const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
  return _mm512_add_epi8(
      first, _mm512_setr_epi32(0, 0, 0, 0, 0x04040404, 0x04040404, 0x04040404, 0x04040404, 0x08080808, 0x08080808,
                               0x08080808, 0x08080808, 0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c, 0x0c0c0c0c));
}

// What the lines of a pair of groups are multiplied by and have added: [channels 0 to 15, 16 to 31 of the panel].
struct PairFactors {
  __m512i low_step[2], low_offset[2], high_step[2], high_offset[2];
};
ONEPASS_INLINE PairFactors load_factors(const uint8_t* pair, size_t group) {
  const __m512i factors = _mm512_load_si512(pair + group * 32);
  const __m512i even_bytes = _mm512_set1_epi16(0x00ff), odd_bytes = _mm512_set1_epi16(static_cast<short>(0xff00));
  const __m512i step = _mm512_min_epu8(_mm512_and_si512(factors, _mm512_set1_epi8(15)), _mm512_set1_epi8(largest_step));
  const __m512i zero = _mm512_add_epi8(_mm512_and_si512(_mm512_srli_epi16(factors, 4), _mm512_set1_epi8(7)),
                                       _mm512_set1_epi8(least_zero));
  const __m512i products =
      _mm512_or_si512(_mm512_mullo_epi16(_mm512_and_si512(step, even_bytes), _mm512_and_si512(zero, even_bytes)),
                      _mm512_mullo_epi16(_mm512_srli_epi16(step, 8), _mm512_and_si512(zero, odd_bytes)));
  alignas(64) uint8_t steps[64], offsets[64];
  // The steps of the high nibbles are the upper halves of bytes: with the pattern below, 4096 times the step.
  _mm512_store_si512(steps, _mm512_mask_slli_epi16(step, 0xffff0000u, step, 4));
  _mm512_store_si512(offsets, _mm512_sub_epi8(_mm512_set1_epi8(static_cast<char>(128)), products));

  const __m512i all = four_times();
  const __m512i first = _mm512_or_si512(all, odd_bytes), second = _mm512_or_si512(all, even_bytes);
  PairFactors result;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    result.low_step[half] = spread_bytes(steps + half * 16, first);
    result.low_offset[half] = spread_bytes(offsets + half * 16, all);
    result.high_step[half] = spread_bytes(steps + 32 + half * 16, second);
    result.high_offset[half] = spread_bytes(offsets + 32 + half * 16, all);
  }
  return result;
}

// 64 bytes, four inputs of each group for half the channels.
ONEPASS_INLINE void expand_line(const uint8_t* line, const PairFactors& factors, size_t half, uint8_t* low,
                                uint8_t* high) {
  const __m512i low_nibbles = _mm512_set1_epi8(0x0f);
  __m512i both = _mm512_load_si512(line);
  asm("" : "+v"(both));  // one load: a tile that does this beside its products has few to spare
  const __m512i lows = _mm512_mullo_epi16(_mm512_and_si512(both, low_nibbles), factors.low_step[half]);
  const __m512i highs = _mm512_mulhi_epu16(_mm512_andnot_si512(low_nibbles, both), factors.high_step[half]);
  _mm512_store_si512(low, _mm512_add_epi8(lows, factors.low_offset[half]));
  _mm512_store_si512(high, _mm512_add_epi8(highs, factors.high_offset[half]));
}

// One pair of groups into the panel bytes of each: [group/4][32][4].
ONEPASS_INLINE void expand_pair(const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) {
  const PairFactors factors = load_factors(pair, group);
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    for (size_t at = half * 64; at < group * 32; at += 128) expand_line(pair + at, factors, half, low + at, high + at);
  }
}

}  // namespace
}  // namespace onepass::kernels
