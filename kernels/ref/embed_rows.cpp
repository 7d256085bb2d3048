#include <string.h>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void embed_rows_scalar(const EmbedRows& op) noexcept {
  const auto* f32 = static_cast<const float*>(op.table);
  const auto* f16 = static_cast<const uint16_t*>(op.table);
  const auto* i8 = static_cast<const int8_t*>(op.table);
  const auto* scales = reinterpret_cast<const float*>(i8 + scale_offset(op.layout, op.n, op.width));
  for (size_t row = 0; row < op.rows; ++row) {
    const size_t id = op.ids[row];
    float* out = op.out + row * op.out_stride;
    for (size_t i = 0; i < op.width; ++i) {
      float v = 0.0f;
      switch (op.layout) {
        case Layout::f16_rows:
          v = ref::f32_from_f16(f16[id * op.width + i]);
          break;
        case Layout::bf16_rows:
          v = ref::f32_from_bf16(f16[id * op.width + i]);
          break;
        case Layout::i8_rows:
          v = static_cast<float>(i8[id * op.width + i]) * scales[id];
          break;
        case Layout::i4g32_rows: {
          const auto* bytes = static_cast<const uint8_t*>(op.table) + id * i4_row_bytes(op.width);
          const int nibble = bytes[i / 32 * 16 + i % 16] >> (i % 32 / 16 * 4) & 15;
          uint16_t scale;
          memcpy(&scale, bytes + i4_groups(op.layout, op.width) * 16 + i / 32 * 2, sizeof scale);
          v = static_cast<float>(nibble - 8) * ref::f32_from_f16(scale);
          break;
        }
        default:
          v = f32[id * op.width + i];
          break;
      }
      out[i] = op.add ? out[i] + v : v;
    }
  }
}

}  // namespace onepass::kernels
