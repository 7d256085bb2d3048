// vpdpbusd takes nibbles as its unsigned operand and the activations, four at a time, broadcast from memory, as its
// signed one. The two groups of a byte are separate sums, so high nibbles need no shift: byte & 0xf0 is 16 times the
// nibble, all of the group's sum is 16 times as large, and a sixteenth of the scale takes it back, exactly.
//
// A tile is 6 rows by the 32 channels of a panel: 12 integer and 12 float accumulators and 2 weight vectors of 32
// registers. Twelve rows whose float accumulators wait in memory were slower: a 64-byte store costs a slot of its own.
#include "kernels/kernels.h"
#include "kernels/x86/i4_256.h"

namespace onepass::kernels {
namespace {

// As in matmul_i8_avx512vnni.cpp: g++ 12 spills accumulators of type __m512i.
using Sums [[gnu::vector_size(64)]] = int32_t;
ONEPASS_INLINE Sums as_sums(__m512i x) { return reinterpret_cast<Sums>(x); }
ONEPASS_INLINE __m512i as_register(Sums x) { return reinterpret_cast<__m512i>(x); }

// Sums of `rows` x 32 channels over four inputs.
template <size_t rows, bool spread>
ONEPASS_INLINE void add_products(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes,
                                 __m512i nibble) {
  __m512i w0 = _mm512_load_si512(codes), w1 = _mm512_load_si512(codes + 64);
  if constexpr (!spread) {
    __builtin_prefetch(codes + i4_near_distance, 0, 3);
    __builtin_prefetch(codes + i4_near_distance + 64, 0, 3);
    w0 = _mm512_and_si512(w0, nibble);
    w1 = _mm512_and_si512(w1, nibble);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    const __m512i x = _mm512_set1_epi32(load_four(a + i * a_stride));
    sum[i][0] = as_sums(_mm512_dpbusd_epi32(as_register(sum[i][0]), w0, x));
    sum[i][1] = as_sums(_mm512_dpbusd_epi32(as_register(sum[i][1]), w1, x));
  }
}

struct Avx512Vnni {
  static constexpr size_t rows = 6;
  static constexpr int32_t high_factor = 16;
  static constexpr size_t spread_from = 7;

  ONEPASS_INLINE static void sum_128(const int8_t* a, int32_t* sums) { sums_of_32(a, sums); }

  ONEPASS_INLINE static void widen(const uint8_t* from, float factor, float* to) {
    const __m512 by = _mm512_set1_ps(factor);
    for (size_t i = 0; i < 32; i += 16) {
      const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i * 2));
      _mm512_store_ps(to + i, _mm512_mul_ps(_mm512_cvtph_ps(half), by));
    }
  }

  ONEPASS_INLINE static void spread_step(const uint8_t* from, uint8_t* low, uint8_t* high) {
    for (size_t i = 0; i < 128; i += 64) {
      __builtin_prefetch(from + i + i4_near_distance, 0, 3);
      const __m512i both = _mm512_load_si512(from + i);
      _mm512_store_si512(low + i, _mm512_and_si512(both, _mm512_set1_epi8(0x0f)));
      _mm512_store_si512(high + i, _mm512_andnot_si512(_mm512_set1_epi8(0x0f), both));
    }
  }

  // Every loop over accumulators is unrolled: with a variable index anywhere, g++ keeps them all in memory.
  template <size_t count, bool spread>
  ONEPASS_INLINE static void tile(const int8_t* a, size_t a_stride, const I4Block& block, size_t first, float* acc) {
    __m512 value[count][2];
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
      value[i][0] = _mm512_load_ps(acc + i * 32);
      value[i][1] = _mm512_load_ps(acc + i * 32 + 16);
    }
    for (size_t g = 0; g < block.groups; ++g) {
      fetch_ahead(block, g);
      const uint8_t* codes = block.codes + (spread ? g * block.group * 32 : g / 2 * block.pair_bytes);
      const __m512i nibble = _mm512_set1_epi8(static_cast<char>(g % 2 == 0 ? 0x0f : 0xf0));
      Sums sum[count][2];
#pragma GCC unroll 16
      for (size_t i = 0; i < count; ++i) {
        sum[i][0] = sum[i][1] = as_sums(_mm512_set1_epi32(block.start[g * block.start_stride + first + i]));
      }
      const size_t end = lesser_of(block.group, block.inputs - g * block.group);
      size_t k = 0;
      for (; k + 16 <= end; k += 16) {
#pragma GCC unroll 16
        for (size_t step = 0; step < 16; step += 4) {
          add_products<count, spread>(sum, a + k + step, a_stride, codes + (k + step) * 32, nibble);
        }
      }
      for (; k < end; k += 4) add_products<count, spread>(sum, a + k, a_stride, codes + k * 32, nibble);
      const __m512 scale0 = _mm512_load_ps(block.scale + g * 32), scale1 = _mm512_load_ps(block.scale + g * 32 + 16);
#pragma GCC unroll 16
      for (size_t i = 0; i < count; ++i) {
        value[i][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(as_register(sum[i][0])), scale0, value[i][0]);
        value[i][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(as_register(sum[i][1])), scale1, value[i][1]);
      }
      if (block.minimum != nullptr) {
        const float* a_sums = block.a_sum + g * block.start_stride + first;
        const __m512 least0 = _mm512_load_ps(block.minimum + g * 32);
        const __m512 least1 = _mm512_load_ps(block.minimum + g * 32 + 16);
#pragma GCC unroll 16
        for (size_t i = 0; i < count; ++i) {
          const __m512 a_sum = _mm512_set1_ps(a_sums[i]);
          value[i][0] = _mm512_fmadd_ps(a_sum, least0, value[i][0]);
          value[i][1] = _mm512_fmadd_ps(a_sum, least1, value[i][1]);
        }
      }
      a += block.group;
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
      _mm512_store_ps(acc + i * 32, value[i][0]);
      _mm512_store_ps(acc + i * 32 + 16, value[i][1]);
    }
  }

  ONEPASS_INLINE static void finish(const float* acc, float a_scale, const float* bias, float* c, size_t count) {
    const __m512 factor = _mm512_set1_ps(a_scale);
    for (size_t i = 0; i < count; i += 16) {
      const auto lanes = static_cast<__mmask16>(count - i < 16 ? (1u << (count - i)) - 1u : 0xffffu);
      const __m512 offset = bias != nullptr ? _mm512_maskz_loadu_ps(lanes, bias + i) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(c + i, lanes, _mm512_fmadd_ps(_mm512_load_ps(acc + i), factor, offset));
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_avx512vnni(const MatmulI4& op) noexcept { multiply_i4<Avx512Vnni>(op); }

}  // namespace onepass::kernels
