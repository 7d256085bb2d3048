// What the int4 products of every x86 level share: sums of activations, in 256-bit registers.
#pragma once

#include <immintrin.h>

#include "kernels/matmul_i4_blocks.h"

namespace onepass::kernels {
namespace {

// Eight sums of four neighbouring codes.
ONEPASS_INLINE __m256i sums_of_four(const int8_t* a) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
}

// The sums of four runs of 32 codes.
ONEPASS_INLINE void sums_of_32(const int8_t* a, int32_t* sums) {
  const __m256i low = _mm256_hadd_epi32(sums_of_four(a), sums_of_four(a + 32));
  const __m256i high = _mm256_hadd_epi32(sums_of_four(a + 64), sums_of_four(a + 96));
  const __m256i halves = _mm256_hadd_epi32(low, high);
  const __m128i all = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), all);
}

}  // namespace
}  // namespace onepass::kernels
