#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void rms_norm_scalar(const RmsNorm& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    for (size_t group = 0; group < op.groups; ++group) {
      const size_t first = group * op.group_stride;
      const float* x = op.x + row * op.x_stride + first;
      const float* residual = op.residual != nullptr ? op.residual + row * op.residual_stride + first : nullptr;
      float* y = op.y + row * op.y_stride + first;
      float* z = op.sum != nullptr ? op.sum + row * op.sum_stride + first : y;
      ref::Lanes16 squares;
      for (size_t i = 0; i < op.width; ++i) {
        z[i] = residual != nullptr ? x[i] + residual[i] : x[i];
        squares.lane[i % 16] = ref::fused(z[i], z[i], squares.lane[i % 16]);
      }
      const float r = 1.0f / std::sqrt(squares.sum() / static_cast<float>(op.width) + op.eps);
      for (size_t i = 0; i < op.width; ++i) y[i] = (z[i] * r) * (op.weight_offset + op.weight[i]);
    }
  }
}

}  // namespace onepass::kernels
