// AVX-512 without VNNI. The sign trick of matmul_i8_avx2.cpp, where the sign is a mask: |w| is the unsigned operand of
// vpmaddubsw, and a is negated where w is negative. Two products are at most 2 * 128 * 127 = 32512, so its 16-bit sums
// never saturate, and the result is exact for every weight byte.
//
// Four instructions on two ports multiply 64 inputs, as fast as two of vpmaddwd on widened operands or four of f32 fma,
// without their conversions. A tile is 10 rows by the 32 channels of a panel: 20 accumulators, two magnitudes, the
// ones, zero, and temporaries of 32 registers.
#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

// Sixteen sums, as integers of 32 bits and not as __m512i: see matmul_i8_avx512vnni.cpp.
using Sums [[gnu::vector_size(64)]] = int32_t;
ONEPASS_INLINE Sums as_sums(__m512i x) { return reinterpret_cast<Sums>(x); }
ONEPASS_INLINE __m512i as_register(Sums x) { return reinterpret_cast<__m512i>(x); }

struct Weights {
  __m512i magnitudes;
  __mmask64 negative;
};
ONEPASS_INLINE Weights load_weights(const uint8_t* codes) {
  const __m512i top_bit = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m512i stored = _mm512_load_si512(codes);
  return {_mm512_abs_epi8(_mm512_xor_si512(stored, top_bit)), _mm512_testn_epi8_mask(stored, top_bit)};
}

ONEPASS_INLINE Sums add_four(Sums sum, const Weights& w, __m512i a) {
  const __m512i signed_a = _mm512_mask_sub_epi8(a, w.negative, _mm512_setzero_si512(), a);
  const __m512i pairs = _mm512_maddubs_epi16(w.magnitudes, signed_a);
  return as_sums(_mm512_add_epi32(as_register(sum), _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))));
}

template <size_t rows>
ONEPASS_INLINE void tile(const MatmulI8& op, size_t m, const Panel& panel) {
  Sums sum[rows][2];
  // Every loop over the sums is unrolled: with a variable index anywhere, g++ keeps them all in memory.
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) sum[i][0] = sum[i][1] = as_sums(_mm512_setzero_si512());
  const int8_t* a = op.a + m * op.a_stride;
  const size_t k_end = round_up(op.k, 4);
  const uint8_t* next = panel.next;
  for (size_t k = 0; k < k_end; k += 4, next += panel.next_step) {
    fetch_far(next);
    const Weights w0 = load_weights(panel.codes + k * 32), w1 = load_weights(panel.codes + k * 32 + 64);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m512i x = _mm512_set1_epi32(load_four(a + i * op.a_stride + k));
      sum[i][0] = add_four(sum[i][0], w0, x);
      sum[i][1] = add_four(sum[i][1], w1, x);
    }
  }

  const auto lanes = [](size_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1u : 0xffffu); };
  const __mmask16 mask[2] = {lanes(panel.count), lanes(panel.count < 16 ? 0 : panel.count - 16)};
#pragma GCC unroll 2
  for (size_t j = 0; j < 2; ++j) {
    const __m512 w_scale = _mm512_load_ps(panel.scale + 16 * j);
    const __m512 bias =
        panel.bias != nullptr ? _mm512_maskz_loadu_ps(mask[j], panel.bias + 16 * j) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(as_register(sum[i][j])), w_scale);
      _mm512_mask_storeu_ps(op.c + (m + i) * op.c_stride + panel.n + 16 * j, mask[j],
                            _mm512_fmadd_ps(scaled, _mm512_set1_ps(op.a_scale[m + i]), bias));
    }
  }
}

struct Avx512 {
  static constexpr size_t rows = 10;
  ONEPASS_INLINE static void panel(const PanelI8& part) { multiply_panel<Avx512>(part); }
  ONEPASS_INLINE static int32_t start(const int8_t*, size_t) { return 0; }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t*) {
    tile<count>(op, m, panel);
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i8_avx512(const MatmulI8& op) noexcept { multiply_panels<Avx512>(op); }

}  // namespace onepass::kernels
