// Per-row int8 codes, in the steps that a kernel needs which has a row in registers or passes over it anyway: track the
// largest magnitude, derive scale and inverse, write codes. The arithmetic is that of quantize_rows (elementwise.h).
#pragma once

#include "kernels/math_constants.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// The largest magnitude of a row, lane by lane: starts as no_magnitude().
ONEPASS_INLINE I16 no_magnitude() { return magnitude_bits(splat(0.0f)); }
ONEPASS_INLINE I16 track_magnitude(I16 so_far, F16 x) { return greater(so_far, magnitude_bits(x)); }

struct RowScale {
  float scale;       // value = code * scale; NaN where the row holds a NaN or an infinity
  float inverse;     // code = round(value * inverse)
  bool codes_are_0;  // inverse has no meaning: every code is 0
};
ONEPASS_INLINE RowScale row_scale(I16 magnitude) {
  constexpr int32_t infinity_bits = 0x7f800000;
  const int32_t max_bits = greatest_lane(magnitude);
  float max;
  memcpy(&max, &max_bits, sizeof max);
  if (max_bits >= infinity_bits) return {__builtin_nanf(""), 0.0f, true};
  if (max < quantize_smallest) return {0.0f, 0.0f, true};
  return {max / 127.0f, 127.0f / max, false};
}

// Sixteen, or 64, codes: round(x * inverse), half to even. |x * inverse| <= 127.0001.
#if defined(__AVX512BW__)
ONEPASS_INLINE __m512i rounded_part(Floats x, Floats inverse) { return _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)); }
ONEPASS_INLINE void store_codes(int8_t* codes, F16 x, F16 inverse) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(rounded_part(x.part[0], inverse.part[0])));
}
ONEPASS_INLINE void store_codes(int8_t* codes, F16s<4> x, F16 inverse) {
  const Floats factor = inverse.part[0];
  const __m512i low = _mm512_packs_epi32(rounded_part(x.v[0].part[0], factor), rounded_part(x.v[1].part[0], factor));
  const __m512i high = _mm512_packs_epi32(rounded_part(x.v[2].part[0], factor), rounded_part(x.v[3].part[0], factor));
  // Packing works within 128 bits, so lane l now holds the codes 4 l to 4 l + 3 of each of the four vectors.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(codes, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high)));
}
#elif defined(__AVX2__)
ONEPASS_INLINE __m256i rounded_part(Floats x, Floats inverse) { return _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)); }
ONEPASS_INLINE __m256i packed_pair(F16 x, F16 inverse) {
  return _mm256_packs_epi32(rounded_part(x.part[0], inverse.part[0]), rounded_part(x.part[1], inverse.part[1]));
}
ONEPASS_INLINE void store_codes(int8_t* codes, F16 x, F16 inverse) {
  const __m256i words = _mm256_permute4x64_epi64(packed_pair(x, inverse), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), bytes);
}
ONEPASS_INLINE void store_codes(int8_t* codes, F16s<4> x, F16 inverse) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 2
  for (size_t i = 0; i < 4; i += 2) {
    const __m256i bytes = _mm256_packs_epi16(packed_pair(x.v[i], inverse), packed_pair(x.v[i + 1], inverse));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + 16 * i), _mm256_permutevar8x32_epi32(bytes, order));
  }
}
#else
ONEPASS_INLINE int16x4_t rounded_part(Floats x, Floats inverse) {
  return vmovn_s32(vcvtnq_s32_f32(vmulq_f32(x, inverse)));
}
ONEPASS_INLINE void store_codes(int8_t* codes, F16 x, F16 inverse) {
  const int16x8_t low =
      vcombine_s16(rounded_part(x.part[0], inverse.part[0]), rounded_part(x.part[1], inverse.part[1]));
  const int16x8_t high =
      vcombine_s16(rounded_part(x.part[2], inverse.part[2]), rounded_part(x.part[3], inverse.part[3]));
  vst1q_s8(codes, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
ONEPASS_INLINE void store_codes(int8_t* codes, F16s<4> x, F16 inverse) {
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) store_codes(codes + 16 * i, x.v[i], inverse);
}
#endif

// The codes of the last rest < 16 elements, and 0 up to a multiple of four. Lanes of x beyond them are 0.
ONEPASS_INLINE void store_last_codes(int8_t* codes, F16 x, F16 inverse, size_t rest) {
  alignas(16) int8_t last[16];
  store_codes(last, x, inverse);
  const size_t padded = (rest + 3) / 4 * 4;
  for (size_t i = 0; i < padded; ++i) codes[i] = last[i];
}

}  // namespace
}  // namespace onepass::kernels
