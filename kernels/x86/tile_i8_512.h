// The int8 tile of vpdpbusd, 12 rows by the 32 channels of a panel: 24 accumulators and 2 weight vectors leave 6 of 32
// registers, and two instructions share each broadcast.
//
// vpdpbusd takes the stored weights as its unsigned operand, as they are, and the activations as its signed one,
// four at a time, broadcast from memory. The stored codes are 128 too high, so every sum is 128 times the row's sum
// of activations too high; the accumulators start at minus that.
#pragma once

#include <immintrin.h>

#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// Sixteen sums, as integers of 32 bits and not as __m512i: g++ 12 would otherwise move the conversion between the two
// into the loop over K (partial redundancy elimination), copy every accumulator, and spill them.
using Sums [[gnu::vector_size(64)]] = int32_t;
ONEPASS_INLINE Sums as_sums(__m512i x) { return reinterpret_cast<Sums>(x); }
ONEPASS_INLINE __m512i as_register(Sums x) { return reinterpret_cast<__m512i>(x); }

// sum += four inputs from k on, for rows x 32 channels.
template <size_t rows>
ONEPASS_INLINE void add_products(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes) {
  const __m512i w0 = _mm512_load_si512(codes), w1 = _mm512_load_si512(codes + 64);
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    const __m512i x = _mm512_set1_epi32(load_four(a + i * a_stride));
    sum[i][0] = as_sums(_mm512_dpbusd_epi32(as_register(sum[i][0]), w0, x));
    sum[i][1] = as_sums(_mm512_dpbusd_epi32(as_register(sum[i][1]), w1, x));
  }
}

// C = fma(float(sum) * w_scale, a_scale, bias), or in a part of K the sums so far.
template <size_t rows>
ONEPASS_INLINE void store_tile(const MatmulI8& op, size_t m, const Panel& panel, Sums (&sum)[rows][2]) {
  const auto lanes = [](size_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1u : 0xffffu); };
  const __mmask16 mask0 = lanes(panel.count), mask1 = lanes(panel.count < 16 ? 0 : panel.count - 16);
  if (panel.continued) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const float* before = op.c + (m + i) * op.c_stride + panel.n;
      sum[i][0] += as_sums(_mm512_maskz_loadu_epi32(mask0, before));
      sum[i][1] += as_sums(_mm512_maskz_loadu_epi32(mask1, before + 16));
    }
  }
  if (panel.continues) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      float* out = op.c + (m + i) * op.c_stride + panel.n;
      _mm512_mask_storeu_epi32(out, mask0, as_register(sum[i][0]));
      _mm512_mask_storeu_epi32(out + 16, mask1, as_register(sum[i][1]));
    }
    return;
  }
  const __m512 w_scale0 = _mm512_load_ps(panel.scale), w_scale1 = _mm512_load_ps(panel.scale + 16);
  __m512 bias0 = _mm512_setzero_ps(), bias1 = _mm512_setzero_ps();
  if (panel.bias != nullptr) {
    bias0 = _mm512_maskz_loadu_ps(mask0, panel.bias);
    bias1 = _mm512_maskz_loadu_ps(mask1, panel.bias + 16);
  }
  // Nothing of op is read between the stores, which might change it as far as a compiler knows.
  const float* a_scale = op.a_scale + m;
  const size_t c_stride = op.c_stride;
  float* out = op.c + m * c_stride + panel.n;
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i, out += c_stride) {
    const __m512 scale = _mm512_set1_ps(a_scale[i]);
    const __m512 x0 = _mm512_mul_ps(_mm512_cvtepi32_ps(as_register(sum[i][0])), w_scale0);
    const __m512 x1 = _mm512_mul_ps(_mm512_cvtepi32_ps(as_register(sum[i][1])), w_scale1);
    _mm512_mask_storeu_ps(out, mask0, _mm512_fmadd_ps(x0, scale, bias0));
    _mm512_mask_storeu_ps(out + 16, mask1, _mm512_fmadd_ps(x1, scale, bias1));
  }
}

// rows x 32 accumulators, `chains` times where few rows would leave the multiplier waiting for its own results.
// Every loop over them is unrolled: with a variable index anywhere, g++ keeps them all in memory.
template <size_t rows, size_t chains>
ONEPASS_INLINE void tile(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
  Sums sum[chains][rows][2];
#pragma GCC unroll 16
  for (size_t c = 0; c < chains; ++c) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      sum[c][i][0] = sum[c][i][1] = as_sums(_mm512_set1_epi32(c == 0 ? start[i] : 0));
    }
  }
  const int8_t* a = op.a + m * op.a_stride;
  const size_t k_end = round_up(op.k, 4);
  size_t k = 0;
  if constexpr (chains > 1) {
    for (; k + 4 * chains <= k_end; k += 4 * chains) {
#pragma GCC unroll 16
      for (size_t c = 0; c < chains; ++c) {
        fetch_near(panel.codes + (k + 4 * c) * 32);
        add_products<rows>(sum[c], a + k + 4 * c, op.a_stride, panel.codes + (k + 4 * c) * 32);
      }
    }
  }
  const uint8_t* next = panel.next;
  for (; k < k_end; k += 4, next += panel.next_step) {
    fetch_near(panel.codes + k * 32);
    fetch_far(next);
    add_products<rows>(sum[0], a + k, op.a_stride, panel.codes + k * 32);
  }

#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t c = 1; c < chains; ++c) {
      sum[0][i][0] += sum[c][i][0];
      sum[0][i][1] += sum[c][i][1];
    }
  }
  store_tile<rows>(op, m, panel, sum[0]);
}

struct Avx512Vnni {
  static constexpr size_t rows = 12;
  ONEPASS_INLINE static void panel(const PanelI8& part) { panel_i8_avx512vnni(part); }
  // -128 times the sum of a row's codes.
  ONEPASS_INLINE static int32_t start(const int8_t* a, size_t k_end) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    size_t k = 0;
    for (; k + 64 <= k_end; k += 64) sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(a + k));
    if (k < k_end) {
      const __mmask64 rest = ~0ull >> (64 - (k_end - k));
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(rest, a + k));
    }
    return -128 * _mm512_reduce_add_epi32(sum);
  }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
    tile<count, count <= 2 ? 4 : count <= 5 ? 2 : 1>(op, m, panel, start);
  }
};

}  // namespace
}  // namespace onepass::kernels
