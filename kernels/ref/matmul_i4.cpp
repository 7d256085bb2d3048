#include <string.h>

#include <algorithm>
#include <bit>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

float f16_at(const uint8_t* bytes, size_t index) {
  uint16_t half;
  memcpy(&half, bytes + index * sizeof half, sizeof half);
  return ref::f32_from_f16(half);
}

}  // namespace

void matmul_i4_scalar(const MatmulI4& op) noexcept {
  const size_t group = group_size(op.layout);
  const bool minimum = has_minimum(op.layout);
  for (size_t m = 0; m < op.m; ++m) {
    const int8_t* a = op.a + m * op.a_stride;
    for (size_t n = op.n_begin; n < op.n_end; ++n) {
      const uint8_t* panel = static_cast<const uint8_t*>(op.w) + n / 32 * i4_panel_bytes(op.layout, op.k);
      float acc = 0.0f;
      for (size_t g = 0; g * group < op.k; ++g) {
        const uint8_t* pair = panel + g / 2 * i4_pair_bytes(op.layout);
        const uint8_t* scales = pair + group * 32;
        const size_t count = op.k - g * group < group ? op.k - g * group : group;
        int32_t sum = 0, a_sum = 0;
        for (size_t i = 0; i < count; ++i) {
          const int32_t x = a[g * group + i];
          const int32_t nibble = pair[i / 4 * 128 + n % 32 * 4 + i % 4] >> (g % 2 * 4) & 15;
          sum += x * (minimum ? nibble : nibble - 8);
          a_sum += x;
        }
        const size_t at = g % 2 * 32 + n % 32;
        acc = ref::fused(static_cast<float>(sum), f16_at(scales, at), acc);
        if (minimum) acc = ref::fused(static_cast<float>(a_sum), f16_at(scales, 64 + at), acc);
      }
      float& c = op.c[m * op.c_stride + n];
      c = ref::fused(acc, op.a_scale[m], op.bias != nullptr ? op.bias[n] : 0.0f);
      activate_scalar({.x = &c, .rows = 1, .width = 1, .stride = 1, .act = op.act});
      if (op.peak != nullptr) {
        int32_t& peak = op.peak[m * 16 + n % 16];
        peak = std::max(peak, std::bit_cast<int32_t>(std::fabs(c)));
      }
    }
  }
}

}  // namespace onepass::kernels
