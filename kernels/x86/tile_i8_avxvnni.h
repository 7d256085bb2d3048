// As tile_i8_512.h, in 256-bit registers: a tile is 6 rows by 16 channels, 12 accumulators and 2 weight vectors of 16
// registers.
#pragma once

#include "kernels/x86/tile_i8_256.h"

namespace onepass::kernels {
namespace {

struct UnsignedWeights {
  ONEPASS_INLINE static __m256i weights(const uint8_t* codes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  }
  ONEPASS_INLINE static __m256i add(__m256i sum, __m256i w, __m256i a) { return _mm256_dpbusd_avx_epi32(sum, w, a); }
};

struct AvxVnni {
  static constexpr size_t rows = 6;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_avxvnni(part); }
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
    tile_256<UnsignedWeights, count, count == 1 ? 4 : count <= 3 ? 2 : 1>(op, m, panel, start);
  }
};

}  // namespace
}  // namespace onepass::kernels
