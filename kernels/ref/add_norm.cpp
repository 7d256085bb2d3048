#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void add_norm_scalar(const AddNorm& op) noexcept {
  const auto width = static_cast<float>(op.width);
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x + row * op.x_stride;
    const float* residual = op.residual != nullptr ? op.residual + row * op.residual_stride : nullptr;
    float* y = op.y + row * op.y_stride;
    float* z = op.sum != nullptr ? op.sum + row * op.sum_stride : y;
    for (size_t i = 0; i < op.width; ++i) z[i] = residual != nullptr ? x[i] + residual[i] : x[i];
    const float mean = ref::lanes16_sum(z, op.width) / width;
    ref::Lanes16 squares;
    for (size_t i = 0; i < op.width; ++i) {
      const float d = z[i] - mean;
      squares.lane[i % 16] = ref::fused(d, d, squares.lane[i % 16]);
    }
    const float r = 1.0f / std::sqrt(squares.sum() / width + op.eps);
    const float shift = -(mean * r);
    for (size_t i = 0; i < op.width; ++i) {
      y[i] = ref::fused(ref::fused(z[i], r, shift), op.weight[i], op.bias != nullptr ? op.bias[i] : 0.0f);
    }
  }
}

}  // namespace onepass::kernels
