#include <cstring>

#include "engine/blocks/blocks.h"

namespace onepass {

void embed_rows(const Config& config, const Weights& weights, const kernels::KernelTable& kernels, const uint32_t* ids,
                const uint32_t* positions, size_t rows, Matrix out, const RowScratch& scratch) noexcept {
  const auto gather = [&](const Table& table, const uint32_t* row_ids, bool add) {
    kernels.embed_rows({.table = table.data,
                        .layout = table.layout,
                        .n = table.n,
                        .width = config.width,
                        .ids = row_ids,
                        .out = out.data,
                        .out_stride = out.stride,
                        .rows = rows,
                        .add = add});
  };
  // The order of the sums is that of the reference implementation: token, segment, position.
  gather(weights.token, ids, false);
  if (config.arch.segment_types != 0) {
    std::memset(scratch.ids, 0, rows * sizeof(uint32_t));
    gather(weights.segment, scratch.ids, true);
  }
  switch (config.arch.position) {
    case Position::learned:
      gather(weights.position, positions, true);
      break;
    case Position::none:
      break;
  }
  if (config.arch.embed_norm != 0) {
    kernels.add_norm({.x = out.data,
                      .residual = nullptr,
                      .weight = weights.embed_norm.weight,
                      .bias = weights.embed_norm.bias,
                      .y = out.data,
                      .rows = rows,
                      .width = config.width,
                      .x_stride = out.stride,
                      .residual_stride = 0,
                      .y_stride = out.stride,
                      .eps = static_cast<float>(config.norm_eps)});
  }
}

}  // namespace onepass
