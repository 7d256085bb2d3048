// What the integer products share: reading activations, and the end of the epilogue.
// Only for sources of one level; internal linkage.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/inline.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

ONEPASS_INLINE int32_t load_four(const int8_t* a) {
  int32_t four;
  memcpy(&four, a, sizeof four);
  return four;
}

constexpr int32_t no_peak[16] = {};

// The end of the epilogue, on a tile of C, `count` channels from n on, that has just been stored and still lies in the
// first-level cache: written once for every level, it costs a load and a store more than in the registers of each tile.
template <class Op>
ONEPASS_INLINE void finish_tile(const Op& op, size_t m, size_t rows, size_t first, size_t count) {
  const auto each = [&](auto function) {
    for (size_t i = m; i < m + rows; ++i) {
      float* c = op.c + i * op.c_stride + first;
      I16 peak = load_bits(op.peak != nullptr ? op.peak + i * 16 : no_peak);
      size_t n = 0;
      for (; n + 16 <= count; n += 16) {
        const F16 value = function(load(c + n));
        store(c + n, value);
        peak = greater(peak, magnitude_bits(value));
      }
      if (n < count) {
        store_first(c + n, function(load_first(c + n, count - n)), count - n);
        // What a function makes of the absent lanes must not count.
        peak = greater(peak, magnitude_bits(load_first(c + n, count - n)));
      }
      if (op.peak != nullptr) store_bits(op.peak + i * 16, peak);
    }
  };
  if (op.act == Act::none) {
    each([](F16 x) { return x; });
  } else {
    with_act(op.act, each);
  }
}

}  // namespace
}  // namespace onepass::kernels
