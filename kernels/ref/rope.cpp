#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void rope_scalar(const Rope& op) noexcept {
  const size_t half = op.rotated / 2;
  for (size_t row = 0; row < op.rows; ++row) {
    const float* cos = op.cos + op.positions[row] * op.table_stride;
    const float* sin = op.sin + op.positions[row] * op.table_stride;
    for (size_t head = 0; head < op.heads; ++head) {
      float* x = op.x + row * op.stride + head * op.head_stride;
      for (size_t i = 0; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = ref::fused(-b, sin[i], a * cos[i]);
        x[i + half] = ref::fused(b, cos[i], a * sin[i]);
      }
    }
  }
}

}  // namespace onepass::kernels
