// The int8 tile of 256-bit registers: rows x 16 channels, twice a panel. `Dot` is what differs between the levels:
// how weights are read, and how four products are added to each of eight sums.
#pragma once

#include <immintrin.h>

#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// Eight sums, as integers of 32 bits and not as __m256i: g++ 12 would otherwise move the conversion between the two
// into the loop over K (partial redundancy elimination), copy every accumulator, and spill them.
using Sums [[gnu::vector_size(32)]] = int32_t;
ONEPASS_INLINE Sums as_sums(__m256i x) { return reinterpret_cast<Sums>(x); }
ONEPASS_INLINE __m256i as_register(Sums x) { return reinterpret_cast<__m256i>(x); }

// All ones in the first `count` of eight lanes.
ONEPASS_INLINE __m256i first_lanes(size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// The sums of the parts of K before this one, and where they stay for the next: `count` of eight lanes of C.
ONEPASS_INLINE Sums load_sums(const float* c, size_t count) {
  return as_sums(_mm256_maskload_epi32(reinterpret_cast<const int*>(c), first_lanes(count)));
}
ONEPASS_INLINE void store_sums(float* c, size_t count, Sums sum) {
  _mm256_maskstore_epi32(reinterpret_cast<int*>(c), first_lanes(count), as_register(sum));
}

// c[0..count) = fma(float(sum) * w_scale, a_scale, bias).
ONEPASS_INLINE void finish_eight(Sums sum, __m256 w_scale, __m256 a_scale, __m256 bias, float* c, size_t count) {
  const __m256 value = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(as_register(sum)), w_scale), a_scale, bias);
  if (count >= 8) {
    _mm256_storeu_ps(c, value);
  } else {
    _mm256_maskstore_ps(c, first_lanes(count), value);
  }
}

ONEPASS_INLINE __m256 load_bias(const float* bias, size_t count) {
  return count >= 8 ? _mm256_loadu_ps(bias) : _mm256_maskload_ps(bias, first_lanes(count));
}

// Channels [half * 16, half * 16 + 16) of C from their sums.
template <size_t rows>
ONEPASS_INLINE void finish_half(const MatmulI8& op, size_t m, const Panel& panel, size_t half,
                                const Sums (&sum)[rows][2]) {
  alignas(64) Sums done[rows][2];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    done[i][0] = sum[i][0];
    done[i][1] = sum[i][1];
  }
  const size_t end = panel.count < half * 16 + 16 ? panel.count : half * 16 + 16;
  for (size_t n = half * 16; n < end; n += 8) {
    const __m256 w_scale = _mm256_load_ps(panel.scale + n);
    const __m256 bias = panel.bias != nullptr ? load_bias(panel.bias + n, end - n) : _mm256_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      float* c = op.c + (m + i) * op.c_stride + panel.n + n;
      Sums total = done[i][n / 8 % 2];
      if (panel.continued) total += load_sums(c, end - n);
      if (panel.continues) {
        store_sums(c, end - n, total);
      } else {
        finish_eight(total, w_scale, _mm256_set1_ps(op.a_scale[m + i]), bias, c, end - n);
      }
    }
  }
}

// sum += four inputs, for rows x 16 channels.
template <class Dot, size_t rows>
ONEPASS_INLINE void add_products(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes) {
  const auto w0 = Dot::weights(codes), w1 = Dot::weights(codes + 32);
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
    sum[i][0] = as_sums(Dot::add(as_register(sum[i][0]), w0, x));
    sum[i][1] = as_sums(Dot::add(as_register(sum[i][1]), w1, x));
  }
}

// Channels [half * 16, half * 16 + 16) of the panel, at least one of which exists. `chains` is how many sums each
// gets where few rows would leave the multiplier waiting for its own results.
template <class Dot, size_t rows, size_t chains>
ONEPASS_INLINE void half_tile(const MatmulI8& op, size_t m, const Panel& panel, size_t half, const int32_t* start) {
  Sums sum[chains][rows][2];
#pragma GCC unroll 16
  for (size_t c = 0; c < chains; ++c) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      sum[c][i][0] = sum[c][i][1] = as_sums(_mm256_set1_epi32(c == 0 ? start[i] : 0));
    }
  }
  const int8_t* a = op.a + m * op.a_stride;
  const uint8_t* codes = panel.codes + half * 64;
  const size_t k_end = round_up(op.k, 4);
  size_t k = 0;
  if constexpr (chains > 1) {
    for (; k + 4 * chains <= k_end; k += 4 * chains) {
#pragma GCC unroll 16
      for (size_t c = 0; c < chains; ++c) {
        add_products<Dot, rows>(sum[c], a + k + 4 * c, op.a_stride, codes + (k + 4 * c) * 32);
      }
    }
  }
  for (; k < k_end; k += 4) add_products<Dot, rows>(sum[0], a + k, op.a_stride, codes + k * 32);

#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t c = 1; c < chains; ++c) {
      sum[0][i][0] += sum[c][i][0];
      sum[0][i][1] += sum[c][i][1];
    }
  }
  finish_half<rows>(op, m, panel, half, sum[0]);
}

template <class Dot, size_t rows, size_t chains>
ONEPASS_INLINE void tile_256(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
#pragma GCC unroll 1
  for (size_t half = 0; half * 16 < panel.count; ++half) half_tile<Dot, rows, chains>(op, m, panel, half, start);
}

}  // namespace
}  // namespace onepass::kernels
