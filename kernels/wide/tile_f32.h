// The f32 tile of matmul_f32 and attention_f32: rows x vectors of sums, each one chain of fma over ascending k.
// The outer-product form gives every sum its own lane, so the register width cannot change a result.
#pragma once

#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// Tile sizes fill the register file: 12 x 2 of 32 zmm, 6 x 2 of 16 ymm, 6 x 4 of 32 NEON registers, which leaves
// room for the vectors of b and one broadcast of a. Each has at least 8 independent chains, the latency of fma times
// its rate.
#if defined(__AVX512BW__)
constexpr size_t tile_rows = 12, tile_vectors = 2;
#elif defined(__AVX2__)
constexpr size_t tile_rows = 6, tile_vectors = 2;
#else
constexpr size_t tile_rows = 6, tile_vectors = 4;
#endif

// The first n <= part_width lanes of one register; no byte beyond them is touched, and the others load as 0.
#if defined(__AVX512BW__)
ONEPASS_INLINE Floats load_part(const float* p, size_t n) {
  return n < 16 ? _mm512_maskz_loadu_ps(first(n), p) : _mm512_loadu_ps(p);
}
ONEPASS_INLINE void store_part(float* p, Floats a, size_t n) {
  if (n < 16)
    _mm512_mask_storeu_ps(p, first(n), a);
  else
    _mm512_storeu_ps(p, a);
}
#elif defined(__AVX2__)
ONEPASS_INLINE __m256i first_lanes(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ONEPASS_INLINE Floats load_part(const float* p, size_t n) {
  return n < 8 ? _mm256_maskload_ps(p, first_lanes(n)) : _mm256_loadu_ps(p);
}
ONEPASS_INLINE void store_part(float* p, Floats a, size_t n) {
  if (n < 8)
    _mm256_maskstore_ps(p, first_lanes(n), a);
  else
    _mm256_storeu_ps(p, a);
}
#else
ONEPASS_INLINE Floats load_part(const float* p, size_t n) {
  if (n >= 4) return vld1q_f32(p);
  float lanes[4] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
ONEPASS_INLINE void store_part(float* p, Floats a, size_t n) {
  if (n >= 4) return vst1q_f32(p, a);
  float lanes[4];
  vst1q_f32(lanes, a);
  for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
}
#endif

// to[i * to_stride + j * part_width] = vector j of row i; load(k, j) is vector j of row k of b.
template <size_t rows, size_t vectors, class Load>
ONEPASS_INLINE void tile_f32(const float* a, size_t a_stride, size_t k_count, Load load, float* to, size_t to_stride) {
  Floats sum[rows][vectors];
  // The loops that clear and store the sums are unrolled as well: with a variable index anywhere, g++ keeps the whole
  // array in memory.
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j] = Floats(0.0f);
  }
  for (size_t k = 0; k < k_count; ++k) {
    Floats b[vectors];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) b[j] = load(k, j);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const Floats x(a[i * a_stride + k]);
#pragma GCC unroll 16
      for (size_t j = 0; j < vectors; ++j) sum[i][j] = fused(x, b[j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j].store_unaligned(to + i * to_stride + j * part_width);
  }
}

// Covers `count` rows with blocks of at most `most`: block(first row, rows as a constant).
template <size_t most, class Block>
ONEPASS_INLINE void for_row_blocks(size_t count, Block block) {
  size_t i = 0;
  for (; i + most <= count; i += most) block(i, std::integral_constant<size_t, most>{});
  if constexpr (most > 8) {
    if (i + 8 <= count) block(i, std::integral_constant<size_t, 8>{}), i += 8;
  }
  if constexpr (most > 4) {
    if (i + 4 <= count) block(i, std::integral_constant<size_t, 4>{}), i += 4;
  }
  if (i + 2 <= count) block(i, std::integral_constant<size_t, 2>{}), i += 2;
  if (i < count) block(i, std::integral_constant<size_t, 1>{});
}

}  // namespace
}  // namespace onepass::kernels
