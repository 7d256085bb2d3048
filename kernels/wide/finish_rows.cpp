#include "kernels/finish_rows.h"

#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

constexpr int32_t no_peak[16] = {};

template <class Function>
ONEPASS_INLINE void apply(const FinishRows& op, Function function) {
  for (size_t i = 0; i < op.rows; ++i) {
    float* c = op.c + i * op.c_stride;
    I16 peak = load_bits(op.peak != nullptr ? op.peak + i * 16 : no_peak);
    size_t n = 0;
    for (; n + 16 <= op.count; n += 16) {
      const F16 value = function(load(c + n));
      store(c + n, value);
      peak = greater(peak, magnitude_bits(value));
    }
    if (n < op.count) {
      store_first(c + n, function(load_first(c + n, op.count - n)), op.count - n);
      // What a function makes of the absent lanes must not count.
      peak = greater(peak, magnitude_bits(load_first(c + n, op.count - n)));
    }
    if (op.peak != nullptr) store_bits(op.peak + i * 16, peak);
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(finish_rows)(const FinishRows& op) noexcept {
  if (op.act == Act::none) return apply(op, [](F16 x) { return x; });
  with_act(op.act, [&](auto function) { apply(op, function); });
}

}  // namespace onepass::kernels
