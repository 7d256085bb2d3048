#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void activate_scalar(const Activate& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    for (size_t i = 0; i < op.width; ++i) {
      float& x = op.x[row * op.stride + i];
      switch (op.act) {
        case Act::none:
          break;
        case Act::gelu_erf:
          x = ref::gelu_erf_f32(x);
          break;
        case Act::gelu_tanh:
          x = ref::gelu_tanh_f32(x);
          break;
        case Act::relu:
          x = ref::relu_f32(x);
          break;
        case Act::tanh:
          x = ref::tanh_f32(x);
          break;
      }
    }
  }
}

}  // namespace onepass::kernels
