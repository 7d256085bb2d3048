#include <cstring>

#include "engine/blocks/blocks.h"

namespace onepass {

void embed_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, const uint32_t* ids,
                const uint32_t* positions, size_t rows, Matrix out, const RowScratch& scratch) noexcept {
  const size_t width = config.table_width();
  // Rows that are projected are made beside their result.
  const Matrix sum = config.embed_width != 0 ? Matrix{scratch.wide, width} : out;
  const auto gather = [&](const Table& table, const uint32_t* row_ids, bool add) {
    kernels.embed_rows({.table = table.data,
                        .layout = table.layout,
                        .n = table.n,
                        .width = width,
                        .ids = row_ids,
                        .out = sum.data,
                        .out_stride = sum.stride,
                        .rows = rows,
                        .add = add});
  };
  // The order of the sums is that of the reference implementation: token, segment, position.
  gather(weights.token, ids, false);
  if (config.embed_scale != 0) {
    kernels.add_scaled({.x = nullptr,
                        .r = sum.data,
                        .y = sum.data,
                        .rows = rows,
                        .width = width,
                        .x_stride = 0,
                        .r_stride = sum.stride,
                        .y_stride = sum.stride,
                        .scale = static_cast<float>(config.embed_scale)});
  }
  if (config.arch.segment_types != 0) {
    std::memset(scratch.ids, 0, rows * sizeof(uint32_t));
    gather(weights.segment, scratch.ids, true);
  }
  switch (config.arch.position) {
    case Position::learned:
    case Position::learned_after_pad:
      gather(weights.position, positions, true);
      break;
    case Position::none:
    case Position::rotary:
      break;
  }
  if (config.arch.embed_norm != 0) {
    norm_rows(config, weights.embed_norm, kernels, sum, {nullptr, 0}, rows, width, sum);
  }
  if (config.embed_width != 0) {
    Crew alone;
    linear_rows(kernels, weights.embed_project, sum, rows, out, scratch, alone);
  }
}

}  // namespace onepass
