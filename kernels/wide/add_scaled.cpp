#include "kernels/kernels.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

template <bool has_x>
ONEPASS_INLINE void add(const AddScaled& op) {
  const F16 scale = splat(op.scale);
  for (size_t row = 0; row < op.rows; ++row) {
    const float* x = has_x ? op.x + row * op.x_stride : nullptr;
    const float* r = op.r + row * op.r_stride;
    float* y = op.y + row * op.y_stride;
    size_t i = 0;
    for (; i + 16 <= op.width; i += 16) {
      if constexpr (has_x) {
        store(y + i, fma(scale, load(r + i), load(x + i)));
      } else {
        store(y + i, scale * load(r + i));
      }
    }
    if (const size_t rest = op.width - i; rest != 0) {
      if constexpr (has_x) {
        store_first(y + i, fma(scale, load_first(r + i, rest), load_first(x + i, rest)), rest);
      } else {
        store_first(y + i, scale * load_first(r + i, rest), rest);
      }
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(add_scaled)(const AddScaled& op) noexcept {
  if (op.x != nullptr) {
    add<true>(op);
  } else {
    add<false>(op);
  }
}

}  // namespace onepass::kernels
