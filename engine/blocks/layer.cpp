#include <algorithm>
#include <cmath>

#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

namespace {

// x = norm(y + x)
void residual_norm(const Config& config, const NormWeights& norm, const KernelTable& kernels, ConstMatrix y,
                   size_t rows, Matrix x) noexcept {
  switch (config.arch.norm) {
    case Norm::layer_norm:
      kernels.add_norm({.x = y.data,
                        .residual = x.data,
                        .weight = norm.weight,
                        .bias = norm.bias,
                        .y = x.data,
                        .rows = rows,
                        .width = config.width,
                        .x_stride = y.stride,
                        .residual_stride = x.stride,
                        .y_stride = x.stride,
                        .eps = static_cast<float>(config.norm_eps)});
      break;
  }
}

void ffn(const Config& config, const LayerWeights& layer, const KernelTable& kernels, ConstMatrix x, size_t rows,
         Matrix out, const RowScratch& scratch) noexcept {
  switch (config.arch.ffn) {
    case Ffn::mlp: {
      linear_act_linear_rows(kernels, layer.ffn_up, config.arch.act, layer.ffn_down, x, rows,
                             {scratch.wide, config.ffn_width}, out, scratch);
      break;
    }
  }
}

}  // namespace

namespace {

// Texts beyond the limit of the int8 kernel take the f32 one, whichever their batch.
bool int8_attention(const Config& config, size_t tokens) noexcept {
  return config.attention == AttentionType::i8 && tokens <= kernels::max_attention_i8_keys;
}

template <class Args>
Args attention_args(const Config& config, size_t head, ConstMatrix q, size_t q_count, ConstMatrix k, ConstMatrix v,
                    size_t kv_count, Matrix out, float* scratch) noexcept {
  const size_t width = config.head_width;
  const size_t kv_head = head / (config.heads / config.kv_heads);
  return {.q = q.data + head * width,
          .q_stride = q.stride,
          .k = k.data + kv_head * width,
          .k_stride = k.stride,
          .v = v.data + kv_head * width,
          .v_stride = v.stride,
          .out = out.data + head * width,
          .out_stride = out.stride,
          .q_count = q_count,
          .kv_count = kv_count,
          .head_width = width,
          .scale = 1.0f / std::sqrt(static_cast<float>(width)),
          .scratch = scratch};
}

}  // namespace

size_t attention_floats(const Config& config, size_t tokens) noexcept {
  const size_t width = config.head_width;
  const size_t f32 = kernels::attention_scratch_floats(tokens, width);
  if (config.attention == AttentionType::f32) return f32;
  const size_t i8 = kernels::attention_i8_scratch_bytes(std::min(tokens, kernels::max_attention_i8_keys), width);
  return int8_attention(config, tokens) ? i8 / sizeof(float) : std::max(f32, i8 / sizeof(float));
}

void attention_head(const Config& config, const KernelTable& kernels, size_t head, ConstMatrix q, size_t q_count,
                    ConstMatrix k, ConstMatrix v, size_t kv_count, Matrix out, const RowScratch& scratch) noexcept {
  if (int8_attention(config, kv_count)) {
    kernels.attention_i8(
        attention_args<kernels::AttentionI8>(config, head, q, q_count, k, v, kv_count, out, scratch.attention));
  } else {
    kernels.attention_f32(
        attention_args<kernels::AttentionF32>(config, head, q, q_count, k, v, kv_count, out, scratch.attention));
  }
}

void layer_tail_rows(const Config& config, const LayerWeights& layer, const KernelTable& kernels, ConstMatrix attn,
                     size_t rows, Matrix x, const RowScratch& scratch) noexcept {
  const Matrix branch{scratch.narrow, config.width};
  switch (config.arch.norm_place) {
    case NormPlace::post:
      linear_rows(kernels, layer.attn_out, attn, rows, branch, scratch);
      residual_norm(config, layer.attn_norm, kernels, branch, rows, x);
      ffn(config, layer, kernels, x, rows, branch, scratch);
      residual_norm(config, layer.ffn_norm, kernels, branch, rows, x);
      break;
  }
}

}  // namespace onepass
