#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

void norm_rows(const Config& config, const NormWeights& norm, const KernelTable& kernels, ConstMatrix x,
               ConstMatrix residual, size_t rows, size_t width, Matrix y, Matrix sum) noexcept {
  switch (config.arch.norm) {
    case Norm::layer_norm:
      kernels.add_norm({.x = x.data,
                        .residual = residual.data,
                        .weight = norm.weight,
                        .bias = norm.bias,
                        .y = y.data,
                        .rows = rows,
                        .width = width,
                        .x_stride = x.stride,
                        .residual_stride = residual.stride,
                        .y_stride = y.stride,
                        .eps = static_cast<float>(config.norm_eps),
                        .sum = sum.data,
                        .sum_stride = sum.stride});
      break;
    case Norm::rms_norm:
      kernels.rms_norm({.x = x.data,
                        .residual = residual.data,
                        .weight = norm.weight,
                        .sum = sum.data,
                        .y = y.data,
                        .rows = rows,
                        .groups = 1,
                        .width = width,
                        .x_stride = x.stride,
                        .residual_stride = residual.stride,
                        .sum_stride = sum.stride,
                        .y_stride = y.stride,
                        .group_stride = width,
                        .eps = static_cast<float>(config.norm_eps),
                        .weight_offset = 0});
      break;
  }
}

void norm_heads(const Config& config, const NormWeights& norm, const KernelTable& kernels, Matrix x, size_t heads,
                size_t rows) noexcept {
  kernels.rms_norm({.x = x.data,
                    .residual = nullptr,
                    .weight = norm.weight,
                    .sum = nullptr,
                    .y = x.data,
                    .rows = rows,
                    .groups = heads,
                    .width = config.head_width,
                    .x_stride = x.stride,
                    .residual_stride = 0,
                    .sum_stride = 0,
                    .y_stride = x.stride,
                    .group_stride = config.head_width,
                    .eps = static_cast<float>(config.norm_eps),
                    .weight_offset = 0});
}

void norm_input_rows(const Config& config, const NormWeights& norm, const KernelTable& kernels, const Linear& next,
                     ConstMatrix x, ConstMatrix residual, Range rows, Matrix y, Matrix sum,
                     const RowScratch& scratch) noexcept {
  if (rows.empty()) return;
  const auto at = [&](auto matrix) {
    if (matrix.data != nullptr) matrix.data = matrix.row(rows.begin);
    return matrix;
  };
  x = at(x), residual = at(residual), y = at(y), sum = at(sum);
  const size_t count = rows.end - rows.begin;
  if (!takes_codes(next)) {
    norm_rows(config, norm, kernels, x, residual, count, next.k, y, sum);
    return;
  }
  const size_t stride = codes_stride(next.k);
  kernels.norm_quantize({.x = x.data,
                         .residual = residual.data,
                         .weight = norm.weight,
                         .bias = norm.bias,
                         .sum = sum.data,
                         .y = y.data,
                         .codes = scratch.codes + rows.begin * stride,
                         .scale = scratch.scales + rows.begin,
                         .rows = count,
                         .width = next.k,
                         .x_stride = x.stride,
                         .residual_stride = residual.stride,
                         .sum_stride = sum.stride,
                         .y_stride = y.stride,
                         .codes_stride = stride,
                         .eps = static_cast<float>(config.norm_eps),
                         .rms = config.arch.norm == Norm::rms_norm,
                         .weight_offset = 0});
}

namespace {

bool reads_the_norm(const Config& config, size_t number) noexcept {
  return config.arch.norm_place != NormPlace::post && (number != 0 || config.arch.skip_first_norm == 0);
}

}  // namespace

ConstMatrix attention_input(const Config& config, size_t number, ConstMatrix x, const RowScratch& scratch) noexcept {
  if (!reads_the_norm(config, number)) return x;
  return {scratch.normed, config.width};
}

void first_attention_input_rows(const Config& config, const LayerWeights& layer, const KernelTable& kernels,
                                ConstMatrix x, Range rows, const RowScratch& scratch) noexcept {
  if (reads_the_norm(config, 0)) {
    norm_input_rows(config, layer.attn_norm, kernels, layer.qkv, x, {nullptr, 0}, rows, {scratch.normed, config.width},
                    {nullptr, 0}, scratch);
  } else {
    quantize_input_rows(kernels, layer.qkv, x, rows, scratch);
  }
}

}  // namespace onepass
