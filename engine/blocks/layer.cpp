#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

namespace {

// Of prepared rows. Ends with a sync().
void ffn(const Config& config, const LayerWeights& layer, const KernelTable& kernels, ConstMatrix x, size_t rows,
         Matrix out, const RowScratch& scratch, const Workplace& place) noexcept {
  const LinearInput input = prepared_input(layer.ffn_up, x, rows, scratch);
  switch (config.arch.ffn) {
    case Ffn::mlp: {
      linear_act_linear_rows(kernels, layer.ffn_up, config.arch.act, layer.ffn_down, input,
                             {scratch.wide, layer.ffn_up.n}, out, scratch, place);
      break;
    }
    case Ffn::gated: {
      Crew& crew = *place.crew;
      const Matrix hidden{scratch.wide, layer.ffn_up.n};
      const size_t width = layer.ffn_down.k;
      linear_share(kernels, layer.ffn_up, input, hidden, crew);
      crew.sync();
      const Range own = crew.share(rows);
      float* gate = hidden.row(own.begin);
      if (!own.empty()) {
        kernels.gate({.gate = gate,
                      .up = gate + width,
                      .out = gate,
                      .rows = own.end - own.begin,
                      .width = width,
                      .gate_stride = hidden.stride,
                      .up_stride = hidden.stride,
                      .out_stride = hidden.stride,
                      .act = config.arch.act});
      }
      linear_rows(kernels, layer.ffn_down, hidden, rows, out, scratch, crew);
      break;
    }
  }
}

}  // namespace

void layer_tail_rows(const Config& config, const LayerWeights& layer, const LayerWeights* next,
                     const KernelTable& kernels, ConstMatrix attn, size_t rows, Matrix x, const RowScratch& scratch,
                     const Workplace& place) noexcept {
  Crew& crew = *place.crew;
  const Range own = crew.share(rows);
  const Matrix branch{scratch.narrow, config.width}, nowhere{nullptr, 0};
  switch (config.arch.norm_place) {
    case NormPlace::post:
      linear_rows(kernels, layer.attn_out, attn, rows, branch, scratch, crew);
      norm_input_rows(config, layer.attn_norm, kernels, layer.ffn_up, branch, x, own, x, nowhere, scratch);
      crew.sync();
      ffn(config, layer, kernels, x, rows, branch, scratch, place);
      if (next != nullptr) {
        norm_input_rows(config, layer.ffn_norm, kernels, next->qkv, branch, x, own, x, nowhere, scratch);
      } else if (!own.empty()) {
        const Matrix result{x.row(own.begin), x.stride};
        norm_rows(config, layer.ffn_norm, kernels, {branch.row(own.begin), branch.stride}, result, own.end - own.begin,
                  config.width, result);
      }
      break;
    case NormPlace::pre:
    case NormPlace::sandwich: {
      const Matrix normed{scratch.normed, config.width};
      // Codes alone where those are what is read.
      const auto norm_of = [&](const Linear& reader) { return takes_codes(reader) ? nowhere : normed; };
      const auto norm_branch = [&](const NormWeights& norm) {
        if (config.arch.norm_place != NormPlace::sandwich || own.empty()) return;
        const Matrix added{branch.row(own.begin), branch.stride};
        norm_rows(config, norm, kernels, added, {nullptr, 0}, own.end - own.begin, config.width, added);
      };
      linear_rows(kernels, layer.attn_out, attn, rows, branch, scratch, crew);
      norm_branch(layer.attn_post_norm);
      norm_input_rows(config, layer.ffn_norm, kernels, layer.ffn_up, branch, x, own, norm_of(layer.ffn_up), x, scratch);
      crew.sync();
      ffn(config, layer, kernels, normed, rows, branch, scratch, place);
      norm_branch(layer.ffn_post_norm);
      if (next != nullptr) {
        norm_input_rows(config, next->attn_norm, kernels, next->qkv, branch, x, own, norm_of(next->qkv), x, scratch);
      } else if (!own.empty()) {
        kernels.add_scaled({.x = x.row(own.begin),
                            .r = branch.row(own.begin),
                            .y = x.row(own.begin),
                            .rows = own.end - own.begin,
                            .width = config.width,
                            .x_stride = x.stride,
                            .r_stride = branch.stride,
                            .y_stride = x.stride,
                            .scale = 1.0f});
      }
      break;
    }
  }
}

}  // namespace onepass
