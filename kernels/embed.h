// embed_rows: rows of a table, widened to f32, written or added.
//
// Shapes    table [N,width] in f32_rows, f16_rows, bf16_rows, i8_rows or i4g32_rows (layouts.h); ids [rows];
//           out [rows, width] f32.
// Requires  Every id < n (the runtime checks ids before any kernel sees them); table 64-byte aligned.
// Numerics  v = element, exact (f32, f16, bf16), float(code) * scale[id] (i8) or float(nibble - 8) * scale of its group
//           (i4); out = v, or out = out + v when add.
//           Every ISA is bit-identical to the reference.
// Threads   None. The caller splits rows.
#pragma once

#include "kernels/layouts.h"

namespace onepass::kernels {

struct EmbedRows {
  const void* table;  // packed_bytes(layout, n, width)
  Layout layout;
  size_t n, width;
  const uint32_t* ids;
  float* out;
  size_t out_stride;
  size_t rows;
  bool add;
};

using EmbedRowsFn = void (*)(const EmbedRows&) noexcept;

}  // namespace onepass::kernels
