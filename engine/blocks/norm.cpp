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

ConstMatrix attention_input_rows(const Config& config, const LayerWeights& layer, size_t number,
                                 const KernelTable& kernels, ConstMatrix x, size_t rows,
                                 const RowScratch& scratch) noexcept {
  if (config.arch.norm_place == NormPlace::post || (number == 0 && config.arch.skip_first_norm != 0)) return x;
  const Matrix normed{scratch.normed, config.width};
  norm_rows(config, layer.attn_norm, kernels, x, {nullptr, 0}, rows, config.width, normed);
  return normed;
}

}  // namespace onepass
