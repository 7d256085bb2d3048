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
    for (; i + 16 <= op.width; i += 16) store(x + i, function(load(x + i)));
    if (const size_t rest = op.width - i; rest != 0) {
      store_first(x + i, function(load_first(x + i, rest)), rest);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(activate)(const Activate& op) noexcept {
  with_act(op.act, [&](auto function) { apply(op, function); });
}

}  // namespace onepass::kernels
