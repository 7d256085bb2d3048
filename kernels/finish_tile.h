// What the integer products share: reading activations, and the end of the epilogue.
// Only for sources of one level; internal linkage.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/finish_rows.h"
#include "kernels/inline.h"

namespace onepass::kernels {
namespace {

ONEPASS_INLINE int32_t load_four(const int8_t* a) {
  int32_t four;
  memcpy(&four, a, sizeof four);
  return four;
}

// finish_rows on the rows [m, m + rows) of C, `count` channels from `first` on.
template <class Op>
ONEPASS_INLINE void finish_tile(const Op& op, size_t m, size_t rows, size_t first, size_t count) {
  const FinishRows tile = {.c = op.c + m * op.c_stride + first,
                           .c_stride = op.c_stride,
                           .peak = op.peak != nullptr ? op.peak + m * 16 : nullptr,
                           .rows = rows,
                           .count = count,
                           .act = op.act};
#if defined(__AVX512BW__)
  finish_rows_avx512(tile);
#elif defined(__AVX2__)
  finish_rows_avx2(tile);
#else
  finish_rows_neon(tile);
#endif
}

}  // namespace
}  // namespace onepass::kernels
