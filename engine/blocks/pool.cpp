#include <cstring>

#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

size_t pooled_token(const Config& config, std::span<const uint32_t> ids) noexcept {
  const size_t last = ids.size() - 1;
  switch (config.arch.pool) {
    case Pool::last:
      return last;
    case Pool::last_not_pad: {
      size_t at = last;
      while (at > 0 && ids[at] == config.pad_id) --at;
      return at;
    }
    case Pool::first_pad_minus_1: {
      size_t at = 0;
      while (at <= last && ids[at] != config.pad_id) ++at;
      return at == 0 ? last : at - 1;
    }
    default:
      return 0;
  }
}

void mean_of_rows(ConstMatrix x, size_t rows, size_t width, float* out) noexcept {
  // Ascending tokens, one sum an element: the order does not depend on how texts are packed.
  std::memset(out, 0, width * sizeof(float));
  for (size_t t = 0; t < rows; ++t) {
    const float* row = x.row(t);
    for (size_t d = 0; d < width; ++d) out[d] += row[d];
  }
  const float count = static_cast<float>(rows);
  for (size_t d = 0; d < width; ++d) out[d] /= count;
}

ConstMatrix pooler_rows(const Config& config, const Weights& weights, const KernelTable& kernels, size_t rows,
                        ConstMatrix pooled, const RowScratch& scratch, Crew& crew) noexcept {
  if (config.arch.pooler == 0) return pooled;
  const Matrix out{scratch.narrow, config.width};
  linear_rows(kernels, weights.pooler, pooled, rows, out, scratch, crew);
  const Range own = crew.share(rows);
  if (own.empty()) return out;
  const Matrix own_rows{out.row(own.begin), out.stride};
  const size_t count = own.end - own.begin;
  kernels.activate(
      {.x = own_rows.data, .rows = count, .width = config.width, .stride = out.stride, .act = config.arch.pooler_act});
  if (config.arch.pooler_norm != 0) {
    norm_rows(config, weights.pooler_norm, kernels, own_rows, {nullptr, 0}, count, config.width, own_rows);
  }
  return out;
}

void head_rows(const Config& config, const Weights& weights, const KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix logits, const RowScratch& scratch, Crew& crew) noexcept {
  Matrix out = logits;
  for (const Linear& head : weights.heads) {
    if (config.words != 0) {
      word_rows(config, head, kernels, rows, pooled, out, scratch, crew);
      out.data += head.n / config.words;
      continue;
    }
    linear_rows(kernels, head, pooled, rows, out, scratch, crew);
    out.data += head.n;
  }
}

}  // namespace onepass
