#include "kernels/kernels.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

template <class Function>
ONEPASS_INLINE void apply(const Gate& op, Function function) {
  for (size_t row = 0; row < op.rows; ++row) {
    const float* gate = op.gate + row * op.gate_stride;
    const float* up = op.up + row * op.up_stride;
    float* out = op.out + row * op.out_stride;
    size_t i = 0;
    for (; i + 16 * interleaved <= op.width; i += 16 * interleaved) {
      store(out + i, function(load_each<interleaved>(gate + i)) * load_each<interleaved>(up + i));
    }
    // What is left of the row, one vector at a time, the last one in part.
    for (; i < op.width; i += 16) {
      const size_t n = op.width - i < 16 ? op.width - i : 16;
      store_first(out + i, function(load_first(gate + i, n)) * load_first(up + i, n), n);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(gate)(const Gate& op) noexcept {
  if (op.act == Act::none) return apply(op, [](auto x) { return x; });
  with_act(op.act, [&](auto function) { apply(op, function); });
}

}  // namespace onepass::kernels
