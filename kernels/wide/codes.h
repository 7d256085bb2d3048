// Sixteen floats and the whole numbers that they are rounded to. Only for sources of one level; internal linkage.
#pragma once

#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// Half to even.
ONEPASS_INLINE I16 rounded(F16 a) {
  I16 out;
  for (size_t i = 0; i < part_count; ++i) {
#if defined(__AVX512BW__)
    out.part[i] = _mm512_cvtps_epi32(a.part[i]);
#elif defined(__AVX2__)
    out.part[i] = _mm256_cvtps_epi32(a.part[i]);
#else
    out.part[i] = vcvtnq_s32_f32(a.part[i]);
#endif
  }
  return out;
}
ONEPASS_INLINE F16 as_floats(I16 a) {
  F16 out;
  for (size_t i = 0; i < part_count; ++i) {
#if defined(__AVX512BW__)
    out.part[i] = _mm512_castsi512_ps(a.part[i]);
#elif defined(__AVX2__)
    out.part[i] = _mm256_castsi256_ps(a.part[i]);
#else
    out.part[i] = vreinterpretq_f32_s32(a.part[i]);
#endif
  }
  return out;
}
ONEPASS_INLINE F16 to_floats(I16 a) {
  F16 out;
  for (size_t i = 0; i < part_count; ++i) {
#if defined(__AVX512BW__)
    out.part[i] = _mm512_cvtepi32_ps(a.part[i]);
#elif defined(__AVX2__)
    out.part[i] = _mm256_cvtepi32_ps(a.part[i]);
#else
    out.part[i] = vcvtq_f32_s32(a.part[i]);
#endif
  }
  return out;
}

// Bits of floats as integers that order as the floats do, -0 below 0; and those integers as the bits again.
ONEPASS_INLINE I16 in_order(I16 bits) {
  I16 out;
  for (size_t i = 0; i < part_count; ++i) {
#if defined(__AVX512BW__)
    const __m512i sign = _mm512_srai_epi32(bits.part[i], 31);
    out.part[i] = _mm512_xor_si512(bits.part[i], _mm512_srli_epi32(sign, 1));
#elif defined(__AVX2__)
    const __m256i sign = _mm256_srai_epi32(bits.part[i], 31);
    out.part[i] = _mm256_xor_si256(bits.part[i], _mm256_srli_epi32(sign, 1));
#else
    const uint32x4_t sign = vreinterpretq_u32_s32(vshrq_n_s32(bits.part[i], 31));
    out.part[i] = veorq_s32(bits.part[i], vreinterpretq_s32_u32(vshrq_n_u32(sign, 1)));
#endif
  }
  return out;
}
ONEPASS_INLINE I16 bits_of(F16 a) {
  I16 out;
  for (size_t i = 0; i < part_count; ++i) out.part[i] = bits_part(a.part[i]);
  return out;
}

// The first n of 16 values; all of them where n is 16.
ONEPASS_INLINE F16 load_upto(const float* p, size_t n) { return n == 16 ? load(p) : load_first(p, n); }
ONEPASS_INLINE F16 load_upto(const int8_t* p, size_t n) { return n == 16 ? load_i8(p) : load_first(p, n); }

}  // namespace
}  // namespace onepass::kernels
