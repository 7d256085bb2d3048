#include <algorithm>
#include <bit>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void matmul_i8_scalar(const MatmulI8& op) noexcept {
  const auto* codes = static_cast<const uint8_t*>(op.w);
  const auto* w_scale = reinterpret_cast<const float*>(codes + scale_offset(Layout::i8_n32k4, op.n, op.k));
  const size_t panel_bytes = round_up(op.k, 4) * 32;
  for (size_t m = 0; m < op.m; ++m) {
    for (size_t n = op.n_begin; n < op.n_end; ++n) {
      const uint8_t* channel = codes + n / 32 * panel_bytes + n % 32 * 4;
      int32_t sum = 0;
      for (size_t k = 0; k < op.k; ++k) {
        const int32_t w = static_cast<int32_t>(channel[k / 4 * 128 + k % 4]) - 128;
        sum += op.a[m * op.a_stride + k] * w;
      }
      const float bias = op.bias != nullptr ? op.bias[n] : 0.0f;
      float& c = op.c[m * op.c_stride + n];
      c = ref::fused(static_cast<float>(sum) * w_scale[n], op.a_scale[m], bias);
      activate_scalar({.x = &c, .rows = 1, .width = 1, .stride = 1, .act = op.act});
      if (op.peak != nullptr) {
        int32_t& peak = op.peak[m * 16 + n % 16];
        peak = std::max(peak, std::bit_cast<int32_t>(std::fabs(c)));
      }
    }
  }
}

}  // namespace onepass::kernels
