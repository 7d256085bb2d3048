// few_rows_i4z.h in 512-bit registers.
#pragma once

#include "kernels/x86/few_rows_i4z.h"
#include "kernels/x86/tile_i8_512.h"

namespace onepass::kernels {
namespace {

// The factors of a pair of groups as operands: [even, odd group][16 channels].
struct StepOperands {
  __m512i step[2][2];
  __m512i zero[2];  // (8 - zero) x step of both groups
};
ONEPASS_INLINE StepOperands load_steps(const uint8_t* factors) {
  StepOperands operands;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    __m512i zero[2];
#pragma GCC unroll 2
    for (size_t odd = 0; odd < 2; ++odd) {
      const auto* bytes = reinterpret_cast<const __m128i*>(factors + odd * 32 + half * 16);
      const __m512i stored = _mm512_cvtepu8_epi32(_mm_load_si128(bytes));
      const __m512i step =
          _mm512_min_epi16(_mm512_and_si512(stored, _mm512_set1_epi32(15)), _mm512_set1_epi32(largest_step));
      const __m512i above = _mm512_and_si512(_mm512_srli_epi32(stored, 4), _mm512_set1_epi32(7));
      operands.step[odd][half] = step;
      zero[odd] = _mm512_mullo_epi16(step, _mm512_sub_epi16(_mm512_set1_epi32(8 - least_zero), above));
    }
    operands.zero[half] = _mm512_or_si512(zero[0], _mm512_slli_epi32(zero[1], 16));
  }
  return operands;
}

// sums (+)= four inputs of the low nibbles and, where they exist, of the high ones.
template <size_t rows, bool has_high>
ONEPASS_INLINE void add_nibbles(Sums (&sum)[2][rows][2], const int8_t* a, size_t a_stride, size_t group,
                                const uint8_t* codes) {
  const __m512i low_nibbles = _mm512_set1_epi8(15);
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    const __m512i both = _mm512_load_si512(codes + half * 64);
    const __m512i low = _mm512_and_si512(both, low_nibbles);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_nibbles);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m512i x = _mm512_set1_epi32(load_four(a + i * a_stride));
      sum[0][i][half] = as_sums(_mm512_dpbusd_epi32(as_register(sum[0][i][half]), low, x));
      if constexpr (has_high) {
        const __m512i y = _mm512_set1_epi32(load_four(a + i * a_stride + group));
        sum[1][i][half] = as_sums(_mm512_dpbusd_epi32(as_register(sum[1][i][half]), high, y));
      }
    }
  }
}

struct FewRows512 {
  // A function of its own: in one with other numbers of rows, g++ 12 keeps the addresses of rows in memory.
  // `whole`: both groups of every pair exist.
  template <size_t rows, bool whole>
  [[gnu::noinline, gnu::flatten]] static void panel(const MatmulI8& op, const Panel& panel, size_t group,
                                                    size_t pair_bytes, const CodeSums& sums) {
    Sums total[rows][2];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) total[i][0] = total[i][1] = as_sums(_mm512_setzero_si512());
    const uint8_t* pair = panel.codes;
    for (size_t begin = 0; begin < op.k; begin += 2 * group, pair += pair_bytes) {
      const StepOperands operands = load_steps(pair + group * 32);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) {
        const __m512i x = _mm512_set1_epi32(sums.pairs[i][begin / (2 * group)]);
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; ++half) {
          total[i][half] = as_sums(_mm512_dpwssd_epi32(as_register(total[i][half]), operands.zero[half], x));
        }
      }
      for (size_t run = begin; run < begin + group && run < op.k; run += 32) {
        Sums sum[2][rows][2];
#pragma GCC unroll 16
        for (size_t i = 0; i < rows; ++i) {
          sum[0][i][0] = sum[0][i][1] = as_sums(_mm512_set1_epi32(sums.start[i][run / 32]));
          sum[1][i][0] = sum[1][i][1] = as_sums(_mm512_set1_epi32(sums.start[i][(run + group) / 32]));
        }
        const uint8_t* codes = pair + (run - begin) * 32;
        const int8_t* a = op.a + run;
        if constexpr (whole) {
          for (size_t k = 0; k < 32; k += 4) {
            __builtin_prefetch(codes + k * 32 + few_rows_distance, 0, 3);
            __builtin_prefetch(codes + k * 32 + few_rows_distance + 64, 0, 3);
            add_nibbles<rows, true>(sum, a + k, op.a_stride, group, codes + k * 32);
          }
        } else {
          const size_t low_inputs = run_inputs(run, op.k), high_inputs = run_inputs(run + group, op.k);
          size_t k = 0;
          for (; k < high_inputs; k += 4) add_nibbles<rows, true>(sum, a + k, op.a_stride, group, codes + k * 32);
          for (; k < low_inputs; k += 4) add_nibbles<rows, false>(sum, a + k, op.a_stride, group, codes + k * 32);
        }
#pragma GCC unroll 2
        for (size_t odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 16
          for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 2
            for (size_t half = 0; half < 2; ++half) {
              total[i][half] = as_sums(_mm512_dpwssd_epi32(as_register(total[i][half]), as_register(sum[odd][i][half]),
                                                           operands.step[odd][half]));
            }
          }
        }
      }
    }
    store_tile<rows>(op, 0, panel, total);
  }
};

}  // namespace
}  // namespace onepass::kernels
