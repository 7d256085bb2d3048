#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void softcap_scalar(const Softcap& op) noexcept {
  const float inverse = 1.0f / op.cap;
  for (size_t row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;
    for (size_t i = 0; i < op.width; ++i) x[i] = op.cap * ref::tanh_f32(x[i] * inverse);
  }
}

}  // namespace onepass::kernels
