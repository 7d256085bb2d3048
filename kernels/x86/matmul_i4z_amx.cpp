#include "kernels/kernels.h"
#include "kernels/matmul_i4z_blocks.h"
#include "kernels/x86/expand_i4z_512.h"
#include "kernels/x86/tile_i8_amx.h"

namespace onepass::kernels {
namespace {

struct AmxRows {
  static constexpr size_t shared_rows = group_tiles * 16;
  TileRows tiles;

  ONEPASS_INLINE explicit AmxRows(size_t rows) : tiles(rows) { tiles.configure(); }
  ONEPASS_INLINE static int32_t start(const int8_t* a, size_t k_end) { return row_start(a, k_end); }
  template <class PanelOf>
  ONEPASS_INLINE void multiply(const MatmulI8& part, size_t panels, PanelOf panel_of, const int32_t* start) const {
    for (size_t first = 0; first < tiles.count(); first += group_tiles) {
      const size_t end = tiles.count() - first < group_tiles ? tiles.count() : first + group_tiles;
      for (size_t i = 0; i < panels; ++i) {
        multiply_panel_amx(part, panel_of(i), tiles, first, end, start + tiles.first(first),
                           first == 0 ? part.k * 16 : 0);
      }
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4z_amx(const MatmulI4Z& op) noexcept {
  if (op.m < least_rows || op.k % tile_inputs != 0) return matmul_i4z_avx512vnni(op);
  multiply_i4z<AmxRows>(
      op, [](const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) { expand_pair(pair, group, low, high); });
  _tile_release();
}

}  // namespace onepass::kernels
