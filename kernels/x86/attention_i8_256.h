// What the attention_i8 of 256-bit registers share.
#pragma once

#include "kernels/attention_i8_blocks.h"

namespace onepass::kernels {
namespace {

struct Lanes256 {
  using Operand = __m256i;
  using Sums [[gnu::vector_size(32)]] = int32_t;  // see kernels/x86/tile_i8_256.h
  static constexpr size_t lanes = 8, tile_rows = 4, tile_panels = 1;

  ONEPASS_INLINE static Sums as_sums(__m256i x) { return reinterpret_cast<Sums>(x); }
  ONEPASS_INLINE static __m256i as_register(Sums x) { return reinterpret_cast<__m256i>(x); }
  ONEPASS_INLINE static Sums splat_sum(int32_t x) { return as_sums(_mm256_set1_epi32(x)); }
  ONEPASS_INLINE static Sums load_sum(const int32_t* p) {
    return as_sums(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  ONEPASS_INLINE static void store_sum(int32_t* to, Sums x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), as_register(x));
  }
  ONEPASS_INLINE static Operand load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
  ONEPASS_INLINE static __m256i broadcast(const void* p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    return _mm256_set1_epi32(bits);
  }
  static constexpr bool joins_columns = false;
  ONEPASS_INLINE static Operand load_terms(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  ONEPASS_INLINE static Operand splat_key(const void* p) { return broadcast(p); }
  ONEPASS_INLINE static void add_mix(float* to, Sums sum, float a, float b) {
    const __m256 before = _mm256_mul_ps(_mm256_loadu_ps(to), _mm256_set1_ps(a));
    _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(as_register(sum)), _mm256_set1_ps(b), before));
  }
  ONEPASS_INLINE static void store_half(void* to, __m128i x) { _mm_store_si128(static_cast<__m128i*>(to), x); }

  // The codes of 16 values of y as words, in order. vpsrlvw is missing.
  ONEPASS_INLINE static __m256i code_words(F16 y) {
    const __m256i packed = _mm256_packus_epi32(_mm256_cvtps_epi32(y.part[0]), _mm256_cvtps_epi32(y.part[1]));
    const __m256i steps = _mm256_permute4x64_epi64(packed, 0xd8);
    const __m256i whole = _mm256_srli_epi16(steps, 12), f = _mm256_slli_epi16(steps, 4);
    const auto constant = [](uint16_t c) { return _mm256_set1_epi16(static_cast<int16_t>(c)); };
    __m256i power = _mm256_sub_epi16(constant(exp_code_poly[2]), _mm256_mulhi_epu16(f, constant(exp_code_poly[3])));
    power = _mm256_sub_epi16(constant(exp_code_poly[1]), _mm256_mulhi_epu16(f, power));
    power = _mm256_sub_epi16(constant(exp_code_poly[0]), _mm256_mulhi_epu16(f, power));
    // 2^(8 - n): a byte from a table for n = 1 to 8; a high byte, whose index asks for 0, for n = 0.
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, static_cast<char>(128), 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0));
    const __m256i index = _mm256_or_si256(whole, _mm256_set1_epi16(static_cast<int16_t>(0x8000)));
    const __m256i first = _mm256_and_si256(_mm256_cmpeq_epi16(whole, _mm256_setzero_si256()), _mm256_set1_epi16(256));
    return _mm256_mulhrs_epi16(power, _mm256_or_si256(first, _mm256_shuffle_epi8(table, index)));
  }
  ONEPASS_INLINE static int32_t sum_lanes_of(__m256i x) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
  }
  ONEPASS_INLINE static void mix_starts(I16, int32_t* start) { memset(start, 0, query_rows * sizeof(int32_t)); }
};

}  // namespace
}  // namespace onepass::kernels
