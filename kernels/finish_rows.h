// finish_rows: the end of the epilogue of an integer product, on a tile of C that has just been stored and still lies
// in the first-level cache. The products of every level call the one of their register width (finish_tile.h), so that
// the functions are there once a width and not once a product: a load and a store more than in the registers of each
// tile.
//
// Shapes    C [rows, count] f32; peak [rows, 16] or null.
// Numerics  c = act(c), as activate does; peak[m][n % 16] = max(itself, bits of |c|).
// Threads   None.
#pragma once

#include "kernels/elementwise.h"

namespace onepass::kernels {

struct FinishRows {
  float* c;
  size_t c_stride;
  int32_t* peak;
  size_t rows, count;
  Act act;
};

void finish_rows_avx2(const FinishRows& op) noexcept;
void finish_rows_avx512(const FinishRows& op) noexcept;
void finish_rows_neon(const FinishRows& op) noexcept;

}  // namespace onepass::kernels
