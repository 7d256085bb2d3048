#include "kernels/wide/quantize.h"

#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

// Four chains of maxima: one would wait for the latency of each.
ONEPASS_INLINE I16 row_magnitude(const float* x, size_t width) {
  I16 m0 = no_magnitude(), m1 = m0, m2 = m0, m3 = m0;
  size_t i = 0;
  for (; i + 64 <= width; i += 64) {
    m0 = track_magnitude(m0, load(x + i));
    m1 = track_magnitude(m1, load(x + i + 16));
    m2 = track_magnitude(m2, load(x + i + 32));
    m3 = track_magnitude(m3, load(x + i + 48));
  }
  for (; i + 16 <= width; i += 16) m0 = track_magnitude(m0, load(x + i));
  if (i < width) m1 = track_magnitude(m1, load_first(x + i, width - i));
  return greater(greater(m0, m1), greater(m2, m3));
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(quantize_rows)(const QuantizeRows& op) noexcept {
  const size_t width = op.width;
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x + row * op.x_stride;
    int8_t* codes = op.codes + row * op.codes_stride;
    const RowScale scale = row_scale(op.peak != nullptr ? load_bits(op.peak + row * 16) : row_magnitude(x, width));
    op.scale[row] = scale.scale;
    if (scale.codes_are_0) {
      memset(codes, 0, round_up(width, 4));
      continue;
    }
    const F16 inverse = splat(scale.inverse);
    size_t i = 0;
    for (; i + 64 <= width; i += 64) store_codes(codes + i, load_each<4>(x + i), inverse);
    for (; i + 16 <= width; i += 16) store_codes(codes + i, load(x + i), inverse);
    if (i < width) store_last_codes(codes + i, load_first(x + i, width - i), inverse, width - i);
  }
}

}  // namespace onepass::kernels
