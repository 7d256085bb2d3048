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
    for (; i + 16 <= op.width; i += 16) store(x + i, capped(load(x + i), cap, inverse));
    if (const size_t rest = op.width - i; rest != 0) {
      store_first(x + i, capped(load_first(x + i, rest), cap, inverse), rest);
    }
  }
}

}  // namespace onepass::kernels
