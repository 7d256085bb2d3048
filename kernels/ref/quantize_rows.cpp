#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void quantize_rows_scalar(const QuantizeRows& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x + row * op.x_stride;
    const auto element = [&](size_t i) { return x[i]; };
    const auto peak = [&](size_t i) { return std::bit_cast<float>(op.peak[row * 16 + i]); };
    bool finite;
    const float max = op.peak != nullptr ? ref::greatest_magnitude(16, peak, &finite)
                                         : ref::greatest_magnitude(op.width, element, &finite);
    ref::encode_row(max, finite, op.width, element, op.codes + row * op.codes_stride, op.scale + row);
  }
}

}  // namespace onepass::kernels
