#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void gate_scalar(const Gate& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    const float* gate = op.gate + row * op.gate_stride;
    const float* up = op.up + row * op.up_stride;
    float* out = op.out + row * op.out_stride;
    for (size_t i = 0; i < op.width; ++i) out[i] = ref::activated(op.act, gate[i]) * up[i];
  }
}

}  // namespace onepass::kernels
