#include <algorithm>
#include <bit>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void matmul_i4z_scalar(const MatmulI4Z& op) noexcept {
  const auto* bytes = static_cast<const uint8_t*>(op.w);
  const auto* w_scale = reinterpret_cast<const float*>(bytes + scale_offset(op.layout, op.n, op.k));
  const size_t group = group_size(op.layout);
  for (size_t m = 0; m < op.m; ++m) {
    for (size_t n = op.n_begin; n < op.n_end; ++n) {
      const uint8_t* panel = bytes + n / 32 * i4_panel_bytes(op.layout, op.k);
      int32_t sum = 0;
      for (size_t k = 0; k < op.k; ++k) {
        const size_t g = k / group, i = k % group;
        const uint8_t* pair = panel + g / 2 * i4_pair_bytes(op.layout);
        const uint8_t factors = pair[group * 32 + g % 2 * 32 + n % 32];
        const int nibble = pair[i / 4 * 128 + n % 32 * 4 + i % 4] >> (g % 2 * 4) & 15;
        sum += op.a[m * op.a_stride + k] * ((nibble - zero_of(factors)) * step_of(factors));
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
