// As tile_i8_512.h, in 256-bit registers. vpdpbusd has a latency of five and two begin in each cycle, so a tile needs
// at least ten sums, better twelve, and 16 registers hold no more beside their operands: 6 rows by 16 channels, 4 by 24
// and then by 8 with three sums each, 3 by 16 with two, 2 by 16 with three, 1 by 32 with three. 5 rows would keep it
// waiting.
#pragma once

#include "kernels/x86/tile_i8_256.h"

namespace onepass::kernels {
namespace {

struct UnsignedWeights {
  using Weights = __m256i;
  ONEPASS_INLINE static __m256i weights(const uint8_t* codes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  }
  ONEPASS_INLINE static __m256i add(__m256i sum, __m256i w, __m256i a) { return _mm256_dpbusd_avx_epi32(sum, w, a); }
};

struct AvxVnni {
  static constexpr size_t rows = 6;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_avxvnni(part); }
  // The next tile's rows, of `left`: with sixes, fours and threes alone from 6 on.
  ONEPASS_INLINE static size_t next_rows(size_t left) {
    if (left >= 12 || left == 6 || left == 9 || left == 10) return 6;
    if (left == 5) return 3;
    return left < 4 ? left : 4;
  }
  // -128 times the sum of a row's codes.
  ONEPASS_INLINE static int32_t start(const int8_t* a, size_t k_end) {
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sum = _mm256_setzero_si256();
    size_t k = 0;
    for (; k + 32 <= k_end; k += 32) {
      sum = _mm256_dpbusd_avx_epi32(sum, ones, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + k)));
    }
    int32_t lanes[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum);
    int32_t total = 0;
    for (const int32_t lane : lanes) total += lane;
    for (; k < k_end; ++k) total += a[k];
    return -128 * total;
  }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
    if constexpr (count == 1) {
      columns<UnsignedWeights, 1, 4, 3>(op, m, panel, 0, start);
    } else if constexpr (count == 4) {
      columns<UnsignedWeights, 4, 3, 1>(op, m, panel, 0, start);
      columns<UnsignedWeights, 4, 1, 3>(op, m, panel, 24, start);
    } else if constexpr (count != 5) {
      constexpr size_t chains = count == 2 ? 3 : count == 3 ? 2 : 1;
#pragma GCC unroll 1
      for (size_t first = 0; first < 32; first += 16) {
        columns<UnsignedWeights, count, 2, chains>(op, m, panel, first, start);
      }
    }
  }
};

}  // namespace
}  // namespace onepass::kernels
