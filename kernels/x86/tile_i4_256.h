// The int4 tile of 256-bit registers: rows x 16 channels, twice a panel. `Dot` is what differs between the levels: how
// nibbles are read, and how the products of a group are summed. Sixteen registers hold the integer accumulators; the
// float ones wait in memory.
#pragma once

#include "kernels/x86/i4_256.h"

namespace onepass::kernels {
namespace {

// As in tile_i8_256.h: g++ 12 spills accumulators of type __m256i.
using Sums [[gnu::vector_size(32)]] = int32_t;
ONEPASS_INLINE Sums as_sums(__m256i x) { return reinterpret_cast<Sums>(x); }
ONEPASS_INLINE __m256i as_register(Sums x) { return reinterpret_cast<__m256i>(x); }

ONEPASS_INLINE __m256i load_codes(const uint8_t* codes) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
}

// All ones in the first `count` of eight lanes.
ONEPASS_INLINE __m256i first_lanes(size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// acc[0..8) += float(sum) * scale.
ONEPASS_INLINE void add_scaled(Sums sum, const float* scale, float* acc) {
  const __m256 value = _mm256_cvtepi32_ps(as_register(sum));
  _mm256_store_ps(acc, _mm256_fmadd_ps(value, _mm256_load_ps(scale), _mm256_load_ps(acc)));
}
// acc[0..8) += a_sum * least.
ONEPASS_INLINE void add_minimum(float a_sum, const float* least, float* acc) {
  _mm256_store_ps(acc, _mm256_fmadd_ps(_mm256_set1_ps(a_sum), _mm256_load_ps(least), _mm256_load_ps(acc)));
}

template <class Dot, size_t rows, bool spread>
ONEPASS_INLINE void half_tile_i4(const int8_t* a, size_t a_stride, const I4Block& block, size_t half, size_t first,
                                 float* acc) {
  for (size_t g = 0; g < block.groups; ++g) {
    if (half == 0) fetch_ahead(block, g);
    const uint8_t* codes = block.codes + (spread ? g * block.group * 32 : g / 2 * block.pair_bytes) + half * 64;
    const int32_t* start = block.start + g * block.start_stride + first;
    const Dot dot(g % 2 != 0);
    Sums sum[rows][2];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) sum[i][0] = sum[i][1] = as_sums(_mm256_set1_epi32(start[i]));
    dot.template add_group<rows, spread>(sum, a, a_stride, codes,
                                         lesser_of(block.group, block.inputs - g * block.group));
    const float* scale = block.scale + g * 32 + half * 16;
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      add_scaled(sum[i][0], scale, acc + i * 32);
      add_scaled(sum[i][1], scale + 8, acc + i * 32 + 8);
    }
    if (block.minimum != nullptr) {
      const float* a_sum = block.a_sum + g * block.start_stride + first;
      const float* least = block.minimum + g * 32 + half * 16;
      for (size_t i = 0; i < rows; ++i) {
        add_minimum(a_sum[i], least, acc + i * 32);
        add_minimum(a_sum[i], least + 8, acc + i * 32 + 8);
      }
    }
    a += block.group;
  }
}

// What a level of 256-bit registers gives to multiply_i4; `Dot` also says how high nibbles are spread.
template <class Dot, size_t tile_rows>
struct Level256 {
  static constexpr size_t rows = tile_rows;
  static constexpr int32_t high_factor = Dot::high_factor;
  static constexpr size_t spread_from = tile_rows + 1;

  ONEPASS_INLINE static void sum_128(const int8_t* a, int32_t* sums) { sums_of_32(a, sums); }

  ONEPASS_INLINE static void widen(const uint8_t* from, float factor, float* to) {
    for (size_t i = 0; i < 32; i += 8) {
      const __m128i half = _mm_load_si128(reinterpret_cast<const __m128i*>(from + i * 2));
      _mm256_store_ps(to + i, _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(factor)));
    }
  }

  ONEPASS_INLINE static void spread_step(const uint8_t* from, uint8_t* low, uint8_t* high) {
    for (size_t i = 0; i < 128; i += 32) {
      const __m256i both = load_codes(from + i);
      _mm256_store_si256(reinterpret_cast<__m256i*>(low + i), Dot(false).nibbles(both));
      _mm256_store_si256(reinterpret_cast<__m256i*>(high + i), Dot(true).nibbles(both));
    }
  }

  template <size_t count, bool spread>
  ONEPASS_INLINE static void tile(const int8_t* a, size_t a_stride, const I4Block& block, size_t first, float* acc) {
    for (size_t half = 0; half * 16 < block.channels; ++half) {
      half_tile_i4<Dot, count, spread>(a, a_stride, block, half, first, acc + half * 16);
    }
  }

  ONEPASS_INLINE static void finish(const float* acc, float a_scale, const float* bias, float* c, size_t count) {
    const __m256 factor = _mm256_set1_ps(a_scale);
    for (size_t i = 0; i < count; i += 8) {
      const __m256i lanes = first_lanes(count - i);
      const __m256 offset = bias != nullptr ? _mm256_maskload_ps(bias + i, lanes) : _mm256_setzero_ps();
      const __m256 value = _mm256_fmadd_ps(_mm256_load_ps(acc + i), factor, offset);
      if (count - i >= 8) {
        _mm256_storeu_ps(c + i, value);
      } else {
        _mm256_maskstore_ps(c + i, lanes, value);
      }
    }
  }
};

}  // namespace
}  // namespace onepass::kernels
