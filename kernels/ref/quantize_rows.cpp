#include <bit>
#include <limits>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void quantize_rows_scalar(const QuantizeRows& op) noexcept {
  const size_t padded = round_up(op.width, 4);
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x + row * op.x_stride;
    int8_t* codes = op.codes + row * op.codes_stride;
    for (size_t i = 0; i < padded; ++i) codes[i] = 0;

    float max = 0.0f;
    bool finite = true;
    for (size_t i = 0; i < (op.peak != nullptr ? 16 : op.width); ++i) {
      const float value = op.peak != nullptr ? std::bit_cast<float>(op.peak[row * 16 + i]) : x[i];
      finite = finite && std::isfinite(value);
      max = std::fabs(value) > max ? std::fabs(value) : max;
    }
    if (!finite || max < quantize_smallest) {
      op.scale[row] = finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    op.scale[row] = max / 127.0f;
    const float inverse = 127.0f / max;
    for (size_t i = 0; i < op.width; ++i) {
      const float rounded = x[i] * inverse + round_magic;  // half to even; |x * inverse| <= 127.0001
      codes[i] = static_cast<int8_t>(static_cast<int32_t>(rounded - round_magic));
    }
  }
}

}  // namespace onepass::kernels
