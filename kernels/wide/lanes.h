// F16: sixteen float lanes, one arithmetic on every register width: one 512-bit, two 256-bit or four 128-bit
// registers. Only for sources that are compiled once per level; everything here has internal linkage, and names
// the architecture, so that nothing compiled for one machine can be linked into code for another.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <utility>
#include <xsimd/xsimd.hpp>

#include "kernels/inline.h"

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// The name of this level's kernel of an operation: activate_avx2. The build defines ONEPASS_ISA.
#define ONEPASS_JOIN_(op, isa) op##_##isa
#define ONEPASS_JOIN(op, isa) ONEPASS_JOIN_(op, isa)
#define ONEPASS_NAME(op) ONEPASS_JOIN(op, ONEPASS_ISA)

namespace onepass::kernels {
namespace {

#if defined(__AVX512BW__)
using Arch = xsimd::avx512bw;
#elif defined(__AVX2__)
using Arch = xsimd::fma3<xsimd::avx2>;
#elif defined(__aarch64__)
using Arch = xsimd::neon64;
#else
#error "kernels/wide has no level for these flags"
#endif

using Floats = xsimd::batch<float, Arch>;
using Ints = xsimd::batch<int32_t, Arch>;
constexpr size_t part_width = Floats::size;
constexpr size_t part_count = 16 / part_width;

struct F16 {
  Floats part[part_count];
};
struct I16 {
  Ints part[part_count];
};

// What xsimd lacks, or leaves open in the order of its arguments, on one register.
#if defined(__AVX512BW__)
ONEPASS_INLINE Floats divided(Floats a, Floats b) { return _mm512_div_ps(a, b); }
ONEPASS_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
ONEPASS_INLINE Floats fused_negative(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
ONEPASS_INLINE Floats lesser_part(Floats a, Floats b) { return _mm512_min_ps(a, b); }
ONEPASS_INLINE Floats greater_part(Floats a, Floats b) { return _mm512_max_ps(a, b); }
ONEPASS_INLINE Ints bits_part(Floats a) { return _mm512_castps_si512(a); }
ONEPASS_INLINE Floats exponent_part(Floats a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
#elif defined(__AVX2__)
ONEPASS_INLINE Floats divided(Floats a, Floats b) { return _mm256_div_ps(a, b); }
ONEPASS_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
ONEPASS_INLINE Floats fused_negative(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
ONEPASS_INLINE Floats lesser_part(Floats a, Floats b) { return _mm256_min_ps(a, b); }
ONEPASS_INLINE Floats greater_part(Floats a, Floats b) { return _mm256_max_ps(a, b); }
ONEPASS_INLINE Ints bits_part(Floats a) { return _mm256_castps_si256(a); }
ONEPASS_INLINE Floats exponent_part(Floats a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
#else
// Not operator/: xsimd's for Arm is an approximation.
ONEPASS_INLINE Floats divided(Floats a, Floats b) { return vdivq_f32(a, b); }
ONEPASS_INLINE Floats fused(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
ONEPASS_INLINE Floats fused_negative(Floats a, Floats b, Floats c) { return vfmsq_f32(c, a, b); }
ONEPASS_INLINE Floats lesser_part(Floats a, Floats b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
ONEPASS_INLINE Floats greater_part(Floats a, Floats b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
// Not xsimd::bitwise_cast: on Arm it dispatches through tables that leave weak symbols behind.
ONEPASS_INLINE Ints bits_part(Floats a) { return vreinterpretq_s32_f32(a); }
ONEPASS_INLINE Floats exponent_part(Floats a) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(a), 23));
}
#endif

// An F16 whose part i is op(i). The indices are constants, so the parts live in registers.
template <class Op, size_t... i>
ONEPASS_INLINE F16 make_parts(Op op, std::index_sequence<i...>) {
  return F16{{op(i)...}};
}
template <class Op>
ONEPASS_INLINE F16 make(Op op) {
  return make_parts(op, std::make_index_sequence<part_count>{});
}

ONEPASS_INLINE F16 splat(float x) {
  return make([&](size_t) { return Floats(x); });
}
ONEPASS_INLINE F16 operator+(F16 a, F16 b) {
  return make([&](size_t i) { return a.part[i] + b.part[i]; });
}
ONEPASS_INLINE F16 operator-(F16 a, F16 b) {
  return make([&](size_t i) { return a.part[i] - b.part[i]; });
}
ONEPASS_INLINE F16 operator-(F16 a) {
  return make([&](size_t i) { return a.part[i] ^ Floats(-0.0f); });
}
ONEPASS_INLINE F16 operator*(F16 a, F16 b) {
  return make([&](size_t i) { return a.part[i] * b.part[i]; });
}
ONEPASS_INLINE F16 operator/(F16 a, F16 b) {
  return make([&](size_t i) { return divided(a.part[i], b.part[i]); });
}
// a * b + c, rounded once.
ONEPASS_INLINE F16 fma(F16 a, F16 b, F16 c) {
  return make([&](size_t i) { return fused(a.part[i], b.part[i], c.part[i]); });
}
// c - a * b, rounded once.
ONEPASS_INLINE F16 fnma(F16 a, F16 b, F16 c) {
  return make([&](size_t i) { return fused_negative(a.part[i], b.part[i], c.part[i]); });
}
// a < b ? a : b, so b where either is a NaN; likewise a > b ? a : b.
ONEPASS_INLINE F16 lesser(F16 a, F16 b) {
  return make([&](size_t i) { return lesser_part(a.part[i], b.part[i]); });
}
ONEPASS_INLINE F16 greater(F16 a, F16 b) {
  return make([&](size_t i) { return greater_part(a.part[i], b.part[i]); });
}
// x < limit ? yes : no.
ONEPASS_INLINE F16 where_less(F16 x, F16 limit, F16 yes, F16 no) {
  return make([&](size_t i) { return xsimd::select(x.part[i] < limit.part[i], yes.part[i], no.part[i]); });
}
ONEPASS_INLINE F16 absolute(F16 a) {
  return make([&](size_t i) { return xsimd::abs(a.part[i]); });
}
// The magnitude of one with the sign of the other; `magnitude` is not negative.
ONEPASS_INLINE F16 with_sign(F16 magnitude, F16 sign) {
  return make([&](size_t i) { return magnitude.part[i] | (sign.part[i] & Floats(-0.0f)); });
}
// The bits of each lane, shifted left by 23: see half_power_of_two in kernels/ref/math_ref.h.
ONEPASS_INLINE F16 exponent_from_low_bits(F16 a) {
  return make([&](size_t i) { return exponent_part(a.part[i]); });
}

// Independent vectors, for functions that are one long chain of dependent operations.
template <size_t n>
struct F16s {
  F16 v[n];
};
template <class Op, size_t... i>
ONEPASS_INLINE auto make_each(Op op, std::index_sequence<i...>) {
  return F16s<sizeof...(i)>{{op(i)...}};
}
template <size_t n, class Op>
ONEPASS_INLINE F16s<n> each(Op op) {
  return make_each(op, std::make_index_sequence<n>{});
}
template <size_t n>
ONEPASS_INLINE F16s<n> operator+(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return a.v[i] + b.v[i]; });
}
template <size_t n>
ONEPASS_INLINE F16s<n> operator-(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return a.v[i] - b.v[i]; });
}
template <size_t n>
ONEPASS_INLINE F16s<n> operator-(F16s<n> a) {
  return each<n>([&](size_t i) { return -a.v[i]; });
}
template <size_t n>
ONEPASS_INLINE F16s<n> operator*(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return a.v[i] * b.v[i]; });
}
template <size_t n>
ONEPASS_INLINE F16s<n> operator/(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return a.v[i] / b.v[i]; });
}
template <size_t n>
ONEPASS_INLINE F16s<n> fma(F16s<n> a, F16s<n> b, F16s<n> c) {
  return each<n>([&](size_t i) { return fma(a.v[i], b.v[i], c.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> fnma(F16s<n> a, F16s<n> b, F16s<n> c) {
  return each<n>([&](size_t i) { return fnma(a.v[i], b.v[i], c.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> lesser(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return lesser(a.v[i], b.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> greater(F16s<n> a, F16s<n> b) {
  return each<n>([&](size_t i) { return greater(a.v[i], b.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> where_less(F16s<n> x, F16s<n> limit, F16s<n> yes, F16s<n> no) {
  return each<n>([&](size_t i) { return where_less(x.v[i], limit.v[i], yes.v[i], no.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> absolute(F16s<n> a) {
  return each<n>([&](size_t i) { return absolute(a.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> with_sign(F16s<n> magnitude, F16s<n> sign) {
  return each<n>([&](size_t i) { return with_sign(magnitude.v[i], sign.v[i]); });
}
template <size_t n>
ONEPASS_INLINE F16s<n> exponent_from_low_bits(F16s<n> a) {
  return each<n>([&](size_t i) { return exponent_from_low_bits(a.v[i]); });
}
// One number in every lane of a V.
template <class V>
struct Spread;
template <>
struct Spread<F16> {
  ONEPASS_INLINE static F16 of(float x) { return splat(x); }
};
template <size_t n>
struct Spread<F16s<n>> {
  ONEPASS_INLINE static F16s<n> of(float x) {
    return each<n>([&](size_t) { return splat(x); });
  }
};
template <class V>
ONEPASS_INLINE V spread(float x) {
  return Spread<V>::of(x);
}

ONEPASS_INLINE F16 load(const float* p) {
  return make([&](size_t i) { return Floats::load_unaligned(p + i * part_width); });
}
ONEPASS_INLINE void store(float* p, F16 a) {
  for (size_t i = 0; i < part_count; ++i) a.part[i].store_unaligned(p + i * part_width);
}

template <size_t n>
ONEPASS_INLINE F16s<n> load_each(const float* p) {
  return each<n>([&](size_t i) { return load(p + 16 * i); });
}
template <size_t n>
ONEPASS_INLINE void store(float* p, F16s<n> a) {
#pragma GCC unroll 16
  for (size_t i = 0; i < n; ++i) store(p + 16 * i, a.v[i]);
}

// The first n <= 16 lanes; no byte beyond them is touched, and the others load as 0. first_lanes: the others become 0.
#if defined(__AVX512BW__)
ONEPASS_INLINE __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
ONEPASS_INLINE F16 load_first(const float* p, size_t n) { return F16{{_mm512_maskz_loadu_ps(first(n), p)}}; }
ONEPASS_INLINE void store_first(float* p, F16 a, size_t n) { _mm512_mask_storeu_ps(p, first(n), a.part[0]); }
ONEPASS_INLINE F16 first_lanes(F16 a, size_t n) { return F16{{_mm512_maskz_mov_ps(first(n), a.part[0])}}; }
#elif defined(__AVX2__)
// All ones in the lanes of part i that are among the first n of sixteen.
ONEPASS_INLINE __m256i first(size_t n, size_t i) {
  const __m256i left = _mm256_set1_epi32(static_cast<int>(n) - static_cast<int>(i * 8));
  return _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ONEPASS_INLINE F16 load_first(const float* p, size_t n) {
  return make([&](size_t i) { return Floats(_mm256_maskload_ps(p + i * 8, first(n, i))); });
}
ONEPASS_INLINE void store_first(float* p, F16 a, size_t n) {
  for (size_t i = 0; i < part_count; ++i) _mm256_maskstore_ps(p + i * 8, first(n, i), a.part[i]);
}
ONEPASS_INLINE F16 first_lanes(F16 a, size_t n) {
  return make([&](size_t i) { return Floats(_mm256_and_ps(a.part[i], _mm256_castsi256_ps(first(n, i)))); });
}
#else
ONEPASS_INLINE F16 load_first(const float* p, size_t n) {
  alignas(64) float lanes[16] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
ONEPASS_INLINE void store_first(float* p, F16 a, size_t n) {
  alignas(64) float lanes[16];
  store(lanes, a);
  for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
}
ONEPASS_INLINE F16 first_lanes(F16 a, size_t n) {
  alignas(64) float lanes[16];
  store(lanes, a);
  for (size_t i = n; i < 16; ++i) lanes[i] = 0.0f;
  return load(lanes);
}
#endif

// Lane j += lane j+8, j+4, j+2, j+1: the tree of lanes16_sum.
#if defined(__AVX512BW__) || defined(__AVX2__)
ONEPASS_INLINE float sum_lanes(F16 a) {
#if defined(__AVX512BW__)
  const __m512 all = a.part[0];
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
#else
  const __m256 s8 = _mm256_add_ps(a.part[0], a.part[1]);
#endif
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
#else
ONEPASS_INLINE float sum_lanes(F16 a) {
  const float32x4_t s4 = vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
  const float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
  return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}
#endif

// A bfloat16: the upper half of an f32. A type of its own, so that loads can tell it from IEEE binary16.
struct Bf16 {
  uint16_t bits;
};

// Sixteen elements of another type, widened exactly.
#if defined(__AVX512BW__)
ONEPASS_INLINE F16 load_f16(const uint16_t* p) {
  return F16{{_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}};
}
ONEPASS_INLINE Floats load_part(const Bf16* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
ONEPASS_INLINE F16 load_i8(const int8_t* p) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return F16{{_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))}};
}
#elif defined(__AVX2__)
ONEPASS_INLINE F16 load_f16(const uint16_t* p) {
  return make(
      [&](size_t i) { return Floats(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * 8)))); });
}
ONEPASS_INLINE Floats load_part(const Bf16* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
ONEPASS_INLINE F16 load_i8(const int8_t* p) {
  return make([&](size_t i) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i * 8));
    return Floats(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)));
  });
}
#else
ONEPASS_INLINE F16 load_f16(const uint16_t* p) {
  return make([&](size_t i) { return Floats(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + i * 4)))); });
}
ONEPASS_INLINE Floats load_part(const Bf16* p) {
  uint16_t halves[4];
  memcpy(halves, p, sizeof halves);
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(halves), 16));
}
ONEPASS_INLINE F16 load_i8(const int8_t* p) {
  const int8x16_t codes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_s8(vget_high_s8(codes));
  return F16{{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
              vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
#endif

ONEPASS_INLINE F16 load_bf16(const Bf16* p) {
  return make([&](size_t i) { return load_part(p + i * part_width); });
}

// The first n < 16 elements of another type; the others are 0.
ONEPASS_INLINE F16 load_first(const Bf16* p, size_t n) {
  Bf16 lanes[16] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_bf16(lanes);
}
ONEPASS_INLINE F16 load_first(const uint16_t* p, size_t n) {
  alignas(32) uint16_t lanes[16] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_f16(lanes);
}
ONEPASS_INLINE F16 load_first(const int8_t* p, size_t n) {
  alignas(16) int8_t lanes[16] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_i8(lanes);
}

// The bits of |a| as integers, which order as the magnitudes do, with every NaN above infinity.
template <size_t... i>
ONEPASS_INLINE I16 magnitude_parts(F16 a, std::index_sequence<i...>) {
  return I16{{(bits_part(a.part[i]) & Ints(0x7fffffff))...}};
}
ONEPASS_INLINE I16 magnitude_bits(F16 a) { return magnitude_parts(a, std::make_index_sequence<part_count>{}); }
template <size_t... i>
ONEPASS_INLINE I16 greater_parts(I16 a, I16 b, std::index_sequence<i...>) {
  return I16{{xsimd::max(a.part[i], b.part[i])...}};
}
ONEPASS_INLINE I16 greater(I16 a, I16 b) { return greater_parts(a, b, std::make_index_sequence<part_count>{}); }
ONEPASS_INLINE I16 load_bits(const int32_t* p) {
  I16 bits;
  for (size_t i = 0; i < part_count; ++i) bits.part[i] = Ints::load_unaligned(p + i * part_width);
  return bits;
}
ONEPASS_INLINE void store_bits(int32_t* p, I16 bits) {
  for (size_t i = 0; i < part_count; ++i) bits.part[i].store_unaligned(p + i * part_width);
}
#if defined(__AVX512BW__) || defined(__AVX2__)
ONEPASS_INLINE int32_t greatest_lane(I16 a) {
#if defined(__AVX512BW__)
  const __m512i all = a.part[0];
  const __m256i m8 = _mm256_max_epi32(_mm512_castsi512_si256(all), _mm512_extracti32x8_epi32(all, 1));
#else
  const __m256i m8 = _mm256_max_epi32(a.part[0], a.part[1]);
#endif
  const __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));
  const __m128i m2 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m2, _mm_shuffle_epi32(m2, 0xb1)));
}
#else
ONEPASS_INLINE int32_t greatest_lane(I16 a) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.part[0], a.part[1]), vmaxq_s32(a.part[2], a.part[3])));
}
#endif

}  // namespace
}  // namespace onepass::kernels
