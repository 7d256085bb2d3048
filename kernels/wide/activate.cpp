#include "kernels/kernels.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

template <class Function>
ONEPASS_INLINE void apply(const Activate& op, Function function) {
  for (size_t row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;
    size_t i = 0;
    for (; i + 16 * interleaved <= op.width; i += 16 * interleaved) {
      store(x + i, function(load_each<interleaved>(x + i)));
    }
    // What is left of the row, one vector at a time, the last one in part.
    for (; i < op.width; i += 16) {
      const size_t n = op.width - i < 16 ? op.width - i : 16;
      store_first(x + i, function(load_first(x + i, n)), n);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(activate)(const Activate& op) noexcept {
  with_act(op.act, [&](auto function) { apply(op, function); });
}

}  // namespace onepass::kernels
