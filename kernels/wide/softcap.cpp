#include "kernels/kernels.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

template <class V>
ONEPASS_INLINE V capped(V x, float cap, float inverse) {
  return spread<V>(cap) * tanh_f32(x * spread<V>(inverse));
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(softcap)(const Softcap& op) noexcept {
  const float cap = op.cap, inverse = 1.0f / op.cap;
  for (size_t row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;
    size_t i = 0;
    for (; i + 16 * interleaved <= op.width; i += 16 * interleaved) {
      store(x + i, capped(load_each<interleaved>(x + i), cap, inverse));
    }
    // What is left of the row, one vector at a time, the last one in part.
    for (; i < op.width; i += 16) {
      const size_t n = op.width - i < 16 ? op.width - i : 16;
      store_first(x + i, capped(load_first(x + i, n), cap, inverse), n);
    }
  }
}

}  // namespace onepass::kernels
