#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void softmax_rows_scalar(const SoftmaxRows& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;
    float max = -INFINITY;
    for (size_t i = 0; i < op.width; ++i) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < op.width; ++i) x[i] = ref::exp_f32(x[i] - max);
    const float sum = ref::lanes16_sum(x, op.width);
    for (size_t i = 0; i < op.width; ++i) x[i] = x[i] / sum;
  }
}

}  // namespace onepass::kernels
