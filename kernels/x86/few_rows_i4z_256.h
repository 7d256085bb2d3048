// few_rows_i4z.h in 256-bit registers: 16 channels of a panel, which are lines of their own, and of these 8 at a time.
#pragma once

#include "kernels/x86/few_rows_i4z.h"
#include "kernels/x86/tile_i8_avxvnni.h"

namespace onepass::kernels {
namespace {

// The factors of two groups of eight channels as operands; zero is (8 - zero) x step of both.
struct StepOperands {
  __m256i even, odd, zero;
};
ONEPASS_INLINE StepOperands load_steps(const uint8_t* factors) {
  __m256i step[2], zero[2];
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    const __m256i stored = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(factors + i * 32)));
    step[i] = _mm256_min_epi16(_mm256_and_si256(stored, _mm256_set1_epi32(15)), _mm256_set1_epi32(largest_step));
    const __m256i above = _mm256_and_si256(_mm256_srli_epi32(stored, 4), _mm256_set1_epi32(7));
    zero[i] = _mm256_mullo_epi16(step[i], _mm256_sub_epi16(_mm256_set1_epi32(8 - least_zero), above));
  }
  return {step[0], step[1], _mm256_or_si256(zero[0], _mm256_slli_epi32(zero[1], 16))};
}

// sums (+)= four inputs of the low nibbles and, where they exist, of the high ones.
template <size_t rows, bool has_high>
ONEPASS_INLINE void add_nibbles(Sums (&sum)[2][rows], const int8_t* a, size_t a_stride, size_t group,
                                const uint8_t* codes) {
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  const __m256i low = _mm256_and_si256(both, low_nibbles);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low_nibbles);
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
    sum[0][i] = as_sums(_mm256_dpbusd_avx_epi32(as_register(sum[0][i]), low, x));
    if constexpr (has_high) {
      const __m256i y = _mm256_set1_epi32(load_four(a + i * a_stride + group));
      sum[1][i] = as_sums(_mm256_dpbusd_avx_epi32(as_register(sum[1][i]), high, y));
    }
  }
}

// A function of its own: in one with other numbers of rows, g++ 12 keeps the addresses of rows in memory.
// `whole`: both groups of every pair exist.
template <size_t rows, bool whole>
[[gnu::noinline, gnu::flatten]] inline void few_rows_half(const MatmulI8& op, const Panel& panel, size_t half,
                                                          size_t group, size_t pair_bytes, const CodeSums& sums) {
  Sums total[rows][2];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) total[i][0] = total[i][1] = Sums{};
  const uint8_t* pair = panel.codes + half * 64;
  for (size_t begin = 0; begin < op.k; begin += 2 * group, pair += pair_bytes) {
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      const StepOperands operands = load_steps(pair - half * 48 + group * 32 + j * 8);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) {
        const __m256i x = _mm256_set1_epi32(sums.pairs[i][begin / (2 * group)]);
        total[i][j] = as_sums(_mm256_dpwssd_avx_epi32(as_register(total[i][j]), operands.zero, x));
      }
      for (size_t run = begin; run < begin + group && run < op.k; run += 32) {
        Sums sum[2][rows];
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; ++i) {
          sum[0][i] = as_sums(_mm256_set1_epi32(sums.start[i][run / 32]));
          sum[1][i] = as_sums(_mm256_set1_epi32(sums.start[i][(run + group) / 32]));
        }
        const uint8_t* codes = pair + (run - begin) * 32 + j * 32;
        const int8_t* a = op.a + run;
        if constexpr (whole) {
          for (size_t k = 0; k < 32; k += 4) {
            if (j == 0) __builtin_prefetch(codes + k * 32 + few_rows_distance, 0, 3);
            add_nibbles<rows, true>(sum, a + k, op.a_stride, group, codes + k * 32);
          }
        } else {
          const size_t low_inputs = run_inputs(run, op.k), high_inputs = run_inputs(run + group, op.k);
          size_t k = 0;
          for (; k < high_inputs; k += 4) add_nibbles<rows, true>(sum, a + k, op.a_stride, group, codes + k * 32);
          for (; k < low_inputs; k += 4) add_nibbles<rows, false>(sum, a + k, op.a_stride, group, codes + k * 32);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; ++i) {
          const __m256i even = _mm256_dpwssd_avx_epi32(as_register(total[i][j]), as_register(sum[0][i]), operands.even);
          total[i][j] = as_sums(_mm256_dpwssd_avx_epi32(even, as_register(sum[1][i]), operands.odd));
        }
      }
    }
  }
  finish_columns<rows, 2>(op, 0, panel, half * 16, total);
}

struct FewRows256 {
  template <size_t rows, bool whole>
  ONEPASS_INLINE static void panel(const MatmulI8& op, const Panel& panel, size_t group, size_t pair_bytes,
                                   const CodeSums& sums) {
    for (size_t half = 0; half * 16 < panel.count; ++half) {
      few_rows_half<rows, whole>(op, panel, half, group, pair_bytes, sums);
    }
  }
};

}  // namespace
}  // namespace onepass::kernels
