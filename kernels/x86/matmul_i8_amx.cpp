#include "kernels/kernels.h"
#include "kernels/x86/tile_i8_amx.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_amx(const MatmulI8& op) noexcept {
  if (op.m < least_rows || op.k % tile_inputs != 0) return matmul_i8_avx512vnni(op);
  const auto* codes = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(codes + scale_offset(Layout::i8_n32k4, op.n, op.k));
  const TileRows tiles(op.m);
  tiles.configure();
  for (size_t first = 0; first < tiles.count(); first += group_tiles) {
    const size_t end = tiles.count() - first < group_tiles ? tiles.count() : first + group_tiles;
    const size_t group = tiles.first(first), group_end = tiles.end(end - 1);
    int32_t start[group_tiles * 16];
    for (size_t m = group; m < group_end; ++m) start[m - group] = row_start(op.a + m * op.a_stride, op.k);
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      const Panel panel = {.codes = codes + n * op.k,
                           .scale = scale + n,
                           .bias = op.bias != nullptr ? op.bias + n : nullptr,
                           .n = n,
                           .count = op.n_end - n < 32 ? op.n_end - n : 32,
                           .next = codes + (n + 32) * op.k,
                           .next_step = 0,
                           .fetching = 0};
      multiply_panel_amx(op, panel, tiles, first, end, start, op.k * 32);
    }
  }
  _tile_release();
}

}  // namespace onepass::kernels
