#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void norm_quantize_scalar(const NormQuantize& op) noexcept {
  const auto width = static_cast<float>(op.width);
  for (size_t row = 0; row < op.rows; ++row) {
    const float* z = op.x + row * op.x_stride;
    float* y = op.y != nullptr ? op.y + row * op.y_stride : nullptr;
    if (op.residual != nullptr) {
      const float* residual = op.residual + row * op.residual_stride;
      float* sum = op.sum != nullptr ? op.sum + row * op.sum_stride : y;
      for (size_t i = 0; i < op.width; ++i) sum[i] = z[i] + residual[i];
      z = sum;
    }

    const float mean = op.rms ? 0.0f : ref::lanes16_sum(z, op.width) / width;
    ref::Lanes16 squares;
    for (size_t i = 0; i < op.width; ++i) {
      const float d = op.rms ? z[i] : z[i] - mean;
      squares.lane[i % 16] = ref::fused(d, d, squares.lane[i % 16]);
    }
    const float r = 1.0f / std::sqrt(squares.sum() / width + op.eps);
    const float shift = -(mean * r);
    const auto normal = [&](size_t i) {
      if (op.rms) return (z[i] * r) * (op.weight_offset + op.weight[i]);
      return ref::fused(ref::fused(z[i], r, shift), op.weight[i], op.bias != nullptr ? op.bias[i] : 0.0f);
    };

    int8_t* codes = op.codes + row * op.codes_stride;
    if (y == nullptr) {
      ref::quantize_row(op.width, normal, codes, op.scale + row);
      continue;
    }
    for (size_t i = 0; i < op.width; ++i) y[i] = normal(i);
    ref::quantize_row(
        op.width, [&](size_t i) { return y[i]; }, codes, op.scale + row);
  }
}

}  // namespace onepass::kernels
