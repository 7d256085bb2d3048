// What the normalisations share.
#pragma once

#include <type_traits>

#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// 1 / sqrt(x), as two IEEE operations.
ONEPASS_INLINE float reciprocal_root(float x) { return 1.0f / __builtin_sqrtf(x); }

// Covers `count` rows with blocks that stay in the first-level cache from one pass to the next and, on AVX-512, have
// the registers for eight: block(first row, rows as a constant).
template <class Block>
ONEPASS_INLINE void for_norm_blocks(size_t count, size_t width, Block block) {
  size_t i = 0;
#if defined(__AVX512BW__)
  if (width <= 512) {
    for (; i + 8 <= count; i += 8) block(i, std::integral_constant<size_t, 8>{});
  }
#else
  (void)width;
#endif
  for (; i + 4 <= count; i += 4) block(i, std::integral_constant<size_t, 4>{});
  for (; i < count; ++i) block(i, std::integral_constant<size_t, 1>{});
}

}  // namespace
}  // namespace onepass::kernels
