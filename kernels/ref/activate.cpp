#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void activate_scalar(const Activate& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    for (size_t i = 0; i < op.width; ++i) {
      float& x = op.x[row * op.stride + i];
      x = ref::activated(op.act, x);
    }
  }
}

}  // namespace onepass::kernels
