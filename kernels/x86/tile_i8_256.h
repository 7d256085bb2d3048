// The int8 tile of 256-bit registers: some rows by 8, 16, 24 or 32 channels of a panel. `Dot` is what differs between
// the levels: how weights are read, and how four products are added to each of eight sums.
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

// For levels whose sums are right as they are.
struct NothingToCorrect {
  static constexpr bool corrects = false;
  template <size_t rows, size_t vectors>
  ONEPASS_INLINE void operator()(Sums (&)[rows][vectors]) const {}
};

// Some of a panel's last channels, or a part of K: rare, and so out of the tiles, whose sums a compiler would otherwise
// keep in memory.
[[gnu::noinline]] inline void finish_rest(const MatmulI8& op, size_t m, size_t rows, const Panel& panel, size_t first,
                                          size_t vectors, const Sums* sums) {
  const size_t end = panel.count < first + 8 * vectors ? panel.count : first + 8 * vectors;
  for (size_t n = first; n < end; n += 8, ++sums) {
    const __m256 w_scale = _mm256_load_ps(panel.scale + n);
    const __m256 bias = panel.bias != nullptr ? load_bias(panel.bias + n, end - n) : _mm256_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      float* c = op.c + (m + i) * op.c_stride + panel.n + n;
      Sums total = sums[i * vectors];
      if (panel.continued) total += load_sums(c, end - n);
      if (panel.continues) {
        store_sums(c, end - n, total);
      } else {
        finish_eight(total, w_scale, _mm256_set1_ps(op.a_scale[m + i]), bias, c, end - n);
      }
    }
  }
}

// Channels [first, first + 8 * vectors) of a panel of C from their sums, to which `correct` is applied before.
template <size_t rows, size_t vectors, class Correct = NothingToCorrect>
ONEPASS_INLINE void finish_columns(const MatmulI8& op, size_t m, const Panel& panel, size_t first,
                                   const Sums (&sum)[rows][vectors], Correct correct = {}) {
  const auto finish_whole = [&](const Sums(&total)[rows][vectors]) {
    const float* a_scale = op.a_scale + m;
    const size_t c_stride = op.c_stride;
    float* out = op.c + m * c_stride + panel.n;
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
      const size_t n = first + 8 * j;
      const __m256 w_scale = _mm256_load_ps(panel.scale + n);
      const __m256 bias = panel.bias != nullptr ? _mm256_loadu_ps(panel.bias + n) : _mm256_setzero_ps();
      float* c = out + n;
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i, c += c_stride) {
        finish_eight(total[i][j], w_scale, _mm256_set1_ps(a_scale[i]), bias, c, 8);
      }
    }
  };
  const bool whole = panel.count >= first + 8 * vectors && !panel.continued && !panel.continues;
  if constexpr (!Correct::corrects) {
    if (whole) return finish_whole(sum);
  }
  // In memory: what follows takes sums by a variable index.
  alignas(64) Sums done[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) done[i][j] = sum[i][j];
  }
  correct(done);
  if (whole) return finish_whole(done);
  finish_rest(op, m, rows, panel, first, vectors, &done[0][0]);
}

// sum += four inputs. The fewer operands, weights or activations, stay in registers.
template <class Dot, size_t rows, size_t vectors>
ONEPASS_INLINE void add_products(Sums (&sum)[rows][vectors], const int8_t* a, size_t a_stride, const uint8_t* codes) {
  if constexpr (vectors > rows) {
    __m256i x[rows];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) x[i] = _mm256_set1_epi32(load_four(a + i * a_stride));
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
      const auto w = Dot::weights(codes + 32 * j);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) sum[i][j] = as_sums(Dot::add(as_register(sum[i][j]), w, x[i]));
    }
  } else {
    typename Dot::Weights w[vectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) w[j] = Dot::weights(codes + 32 * j);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j) sum[i][j] = as_sums(Dot::add(as_register(sum[i][j]), w[j], x));
    }
  }
}

// Channels [first, first + 8 * vectors) of the panel, for those that exist. `chains` is how many sums each gets where
// few would leave the multiplier waiting for its own results. Of what the block of rows fetches ahead, the columns
// fetch their share.
template <class Dot, size_t rows, size_t vectors, size_t chains, class Correct = NothingToCorrect>
ONEPASS_INLINE void columns(const MatmulI8& op, size_t m, const Panel& panel, size_t first, const int32_t* start,
                            Correct correct = {}) {
  if (first >= panel.count) return;
  Sums sum[chains][rows][vectors];
#pragma GCC unroll 16
  for (size_t c = 0; c < chains; ++c) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j) sum[c][i][j] = as_sums(_mm256_set1_epi32(c == 0 ? start[i] : 0));
    }
  }
  const int8_t* a = op.a + m * op.a_stride;
  const uint8_t* codes = panel.codes + first * 4;
  const size_t k_end = round_up(op.k, 4), next_step = panel.next_step * vectors / 4;
  const uint8_t* next = panel.next + panel.next_step * first / 32 * (k_end / 4);
  size_t k = 0;
  if constexpr (chains > 1) {
    for (; k + 4 * chains <= k_end; k += 4 * chains) {
#pragma GCC unroll 16
      for (size_t c = 0; c < chains; ++c, next += next_step) {
        if (c % 2 == 0) fetch_far(next);
        __builtin_prefetch(codes + (k + 4 * c) * 32 + near_distance, 0, 3);
        if constexpr (vectors > 2) __builtin_prefetch(codes + (k + 4 * c) * 32 + near_distance + 64, 0, 3);
        add_products<Dot, rows, vectors>(sum[c], a + k + 4 * c, op.a_stride, codes + (k + 4 * c) * 32);
      }
    }
  }
  for (; k < k_end; k += 4, next += next_step) {
    fetch_far(next);
    add_products<Dot, rows, vectors>(sum[0], a + k, op.a_stride, codes + k * 32);
  }

#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
#pragma GCC unroll 16
      for (size_t c = 1; c < chains; ++c) sum[0][i][j] += sum[c][i][j];
    }
  }
  finish_columns<rows, vectors>(op, m, panel, first, sum[0], correct);
}

}  // namespace
}  // namespace onepass::kernels
