#include "kernels/kernels.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {

[[gnu::flatten]] void ONEPASS_NAME(rope)(const Rope& op) noexcept {
  const size_t half = op.rotated / 2;
  for (size_t row = 0; row < op.rows; ++row) {
    const float* cosines = op.cos + op.positions[row] * op.table_stride;
    const float* sines = op.sin + op.positions[row] * op.table_stride;
    float* heads = op.x + row * op.stride;
    // Sixteen angles outside, heads inside: an angle is loaded once a row.
    size_t i = 0;
    for (; i + 16 <= half; i += 16) {
      const F16 cos = load(cosines + i), sin = load(sines + i);
      float* x = heads + i;
      for (size_t head = 0; head < op.heads; ++head, x += op.head_stride) {
        const F16 a = load(x), b = load(x + half);
        store(x, fnma(b, sin, a * cos));
        store(x + half, fma(b, cos, a * sin));
      }
    }
    if (const size_t rest = half - i; rest != 0) {
      const F16 cos = load_first(cosines + i, rest), sin = load_first(sines + i, rest);
      float* x = heads + i;
      for (size_t head = 0; head < op.heads; ++head, x += op.head_stride) {
        const F16 a = load_first(x, rest), b = load_first(x + half, rest);
        store_first(x, fnma(b, sin, a * cos), rest);
        store_first(x + half, fma(b, cos, a * sin), rest);
      }
    }
  }
}

}  // namespace onepass::kernels
