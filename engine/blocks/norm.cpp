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
  }
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
