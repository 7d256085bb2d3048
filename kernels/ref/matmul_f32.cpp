#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void matmul_f32_scalar(const MatmulF32& op) noexcept {
  const auto* w_f32 = static_cast<const float*>(op.w);
  const auto* w_16 = static_cast<const uint16_t*>(op.w);
  for (size_t m = 0; m < op.m; ++m) {
    for (size_t n = op.n_begin; n < op.n_end; ++n) {
      float sum = 0.0f;
      for (size_t k = 0; k < op.k; ++k) {
        const size_t i = n / 16 * op.k * 16 + k * 16 + n % 16;
        const float w = op.layout == Layout::f16_n16    ? ref::f32_from_f16(w_16[i])
                        : op.layout == Layout::bf16_n16 ? ref::f32_from_bf16(w_16[i])
                                                        : w_f32[i];
        sum = ref::fused(op.a[m * op.a_stride + k], w, sum);
      }
      op.c[m * op.c_stride + n] = sum + (op.bias != nullptr ? op.bias[n] : 0.0f);
    }
  }
}

}  // namespace onepass::kernels
