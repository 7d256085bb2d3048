#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void add_scaled_scalar(const AddScaled& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = op.x != nullptr ? op.x + row * op.x_stride : nullptr;
    const float* r = op.r + row * op.r_stride;
    float* y = op.y + row * op.y_stride;
    for (size_t i = 0; i < op.width; ++i) y[i] = x != nullptr ? ref::fused(op.scale, r[i], x[i]) : op.scale * r[i];
  }
}

}  // namespace onepass::kernels
