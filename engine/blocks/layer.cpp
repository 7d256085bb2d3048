#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

namespace {

void ffn(const Config& config, const LayerWeights& layer, const KernelTable& kernels, ConstMatrix x, size_t rows,
         Matrix out, const RowScratch& scratch) noexcept {
  switch (config.arch.ffn) {
    case Ffn::mlp: {
      linear_act_linear_rows(kernels, layer.ffn_up, config.arch.act, layer.ffn_down, x, rows,
                             {scratch.wide, config.ffn_width}, out, scratch);
      break;
    }
    case Ffn::gated: {
      const Matrix hidden{scratch.wide, config.ffn_rows()};
      linear_rows(kernels, layer.ffn_up, x, rows, hidden, scratch);
      kernels.gate({.gate = hidden.data,
                    .up = hidden.data + config.ffn_width,
                    .out = hidden.data,
                    .rows = rows,
                    .width = config.ffn_width,
                    .gate_stride = hidden.stride,
                    .up_stride = hidden.stride,
                    .out_stride = hidden.stride,
                    .act = config.arch.act});
      linear_rows(kernels, layer.ffn_down, hidden, rows, out, scratch);
      break;
    }
  }
}

}  // namespace

void layer_tail_rows(const Config& config, const LayerWeights& layer, const KernelTable& kernels, ConstMatrix attn,
                     size_t rows, Matrix x, const RowScratch& scratch) noexcept {
  const Matrix branch{scratch.narrow, config.width};
  switch (config.arch.norm_place) {
    case NormPlace::post:
      linear_rows(kernels, layer.attn_out, attn, rows, branch, scratch);
      norm_rows(config, layer.attn_norm, kernels, branch, x, rows, config.width, x);
      ffn(config, layer, kernels, x, rows, branch, scratch);
      norm_rows(config, layer.ffn_norm, kernels, branch, x, rows, config.width, x);
      break;
    case NormPlace::pre:
    case NormPlace::sandwich: {
      const bool sandwich = config.arch.norm_place == NormPlace::sandwich;
      const Matrix normed{scratch.normed, config.width};
      linear_rows(kernels, layer.attn_out, attn, rows, branch, scratch);
      if (sandwich) {
        norm_rows(config, layer.attn_post_norm, kernels, branch, {nullptr, 0}, rows, config.width, branch);
      }
      norm_rows(config, layer.ffn_norm, kernels, branch, x, rows, config.width, normed, x);
      ffn(config, layer, kernels, normed, rows, branch, scratch);
      if (sandwich) {
        norm_rows(config, layer.ffn_post_norm, kernels, branch, {nullptr, 0}, rows, config.width, branch);
      }
      kernels.add_scaled({.x = x.data,
                          .r = branch.data,
                          .y = x.data,
                          .rows = rows,
                          .width = config.width,
                          .x_stride = x.stride,
                          .r_stride = branch.stride,
                          .y_stride = x.stride,
                          .scale = 1.0f});
      break;
    }
  }
}

}  // namespace onepass
