#include "kernels/kernels.h"
#include "kernels/wide/tile_f32.h"

namespace onepass::kernels {
namespace {

ONEPASS_INLINE Floats load_weights(const float* p) { return Floats::load_unaligned(p); }
#if defined(__AVX512BW__)
ONEPASS_INLINE Floats load_weights(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
#elif defined(__AVX2__)
ONEPASS_INLINE Floats load_weights(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
#else
ONEPASS_INLINE Floats load_weights(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
#endif

ONEPASS_INLINE Floats load_weights(const Bf16* p) { return load_part(p); }

// `rows` rows from m by `vectors` registers of channels from n.
template <size_t rows, size_t vectors, class W>
ONEPASS_INLINE void block(const MatmulF32& op, size_t m, size_t n) {
  const W* w[vectors];
#pragma GCC unroll 16
  for (size_t j = 0; j < vectors; ++j) {
    const size_t channel = n + j * part_width;
    w[j] = static_cast<const W*>(op.w) + channel / 16 * op.k * 16 + channel % 16;
  }
  constexpr size_t width = vectors * part_width;
  alignas(64) float sums[rows * width];
  tile_f32<rows, vectors>(
      op.a + m * op.a_stride, op.a_stride, op.k, [&](size_t k, size_t j) { return load_weights(w[j] + k * 16); }, sums,
      width);
  const size_t count = op.n_end - n < width ? op.n_end - n : width;
  for (size_t j = 0; j < count; j += part_width) {
    const Floats bias = op.bias != nullptr ? load_part(op.bias + n + j, count - j) : Floats(0.0f);
    for (size_t i = 0; i < rows; ++i) {
      const Floats sum = Floats::load_unaligned(sums + i * width + j);
      store_part(op.c + (m + i) * op.c_stride + n + j, sum + bias, count - j);
    }
  }
}

// Channels outside, rows inside: the weights of a tile stay in the first-level cache for all rows.
template <size_t vectors, class W>
ONEPASS_INLINE size_t channels(const MatmulF32& op, size_t n) {
  constexpr size_t step = vectors * part_width;
  for (; n < op.n_end && op.n_end - n > step - part_width; n += step) {
    for_row_blocks<tile_rows>(op.m, [&](size_t m, auto rows) { block<rows, vectors, W>(op, m, n); });
  }
  return n;
}

template <class W>
ONEPASS_INLINE void multiply(const MatmulF32& op) {
  size_t n = op.n_begin;
  if (op.m == 1) {  // one row has one chain a register: more registers hide their latency
    constexpr size_t vectors = 4 * tile_vectors, step = vectors * part_width;
    for (; n < op.n_end && op.n_end - n > step - part_width; n += step) block<1, vectors, W>(op, 0, n);
  }
  n = channels<tile_vectors, W>(op, n);
  channels<1, W>(op, n);
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(matmul_f32)(const MatmulF32& op) noexcept {
  if (op.layout == Layout::f16_n16) {
    multiply<uint16_t>(op);
  } else if (op.layout == Layout::bf16_n16) {
    multiply<Bf16>(op);
  } else {
    multiply<float>(op);
  }
}

}  // namespace onepass::kernels
