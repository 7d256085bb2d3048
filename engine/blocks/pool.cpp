#include <cstring>

#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

void pool_text(Pool pool, ConstMatrix x, size_t rows, size_t width, float* out) noexcept {
  switch (pool) {
    case Pool::first_token:
      std::memcpy(out, x.row(0), width * sizeof(float));
      break;
    case Pool::mean: {
      // Ascending tokens, one sum an element: the order does not depend on how texts are packed.
      std::memset(out, 0, width * sizeof(float));
      for (size_t t = 0; t < rows; ++t) {
        const float* row = x.row(t);
        for (size_t d = 0; d < width; ++d) out[d] += row[d];
      }
      const float count = static_cast<float>(rows);
      for (size_t d = 0; d < width; ++d) out[d] /= count;
      break;
    }
    case Pool::every_token:
      break;
  }
}

ConstMatrix pooler_rows(const Config& config, const Weights& weights, const KernelTable& kernels, size_t rows,
                        ConstMatrix pooled, const RowScratch& scratch) noexcept {
  if (config.arch.pooler == 0) return pooled;
  const Matrix out{scratch.narrow, config.width};
  linear_rows(kernels, weights.pooler, pooled, rows, out, scratch);
  kernels.activate(
      {.x = out.data, .rows = rows, .width = config.width, .stride = out.stride, .act = config.arch.pooler_act});
  if (config.arch.pooler_norm != 0) {
    norm_rows(config, weights.pooler_norm, kernels, out, {nullptr, 0}, rows, config.width, out);
  }
  return out;
}

void head_rows(const Weights& weights, const KernelTable& kernels, size_t rows, ConstMatrix pooled, Matrix logits,
               const RowScratch& scratch) noexcept {
  Matrix out = logits;
  for (const Linear& head : weights.heads) {
    linear_rows(kernels, head, pooled, rows, out, scratch);
    out.data += head.n;
  }
}

}  // namespace onepass
