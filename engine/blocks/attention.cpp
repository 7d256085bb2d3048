#include <algorithm>
#include <cmath>

#include "engine/blocks/blocks.h"

namespace onepass {

using kernels::KernelTable;

void rotate_rows(const Config& config, const RotaryTable& table, const KernelTable& kernels, Matrix x, size_t heads,
                 const uint32_t* positions, size_t rows) noexcept {
  kernels.rope({.x = x.data,
                .stride = x.stride,
                .cos = table.cos,
                .sin = table.sin,
                .table_stride = table.stride,
                .positions = positions,
                .rows = rows,
                .heads = heads,
                .head_stride = config.head_width,
                .rotated = config.rotary_width});
}

namespace {

// Texts beyond the limit of the int8 kernel take the f32 one, whichever their batch.
bool int8_attention(const Config& config, size_t tokens) noexcept {
  return config.attention == AttentionType::i8 && tokens <= kernels::max_attention_i8_keys;
}

// Heads of one group for a kernel of either type.
template <class Args>
Args attention_args(const Config& config, size_t layer, HeadRange heads, ConstMatrix q, size_t first, size_t q_count,
                    ConstMatrix k, ConstMatrix v, size_t kv_count, Matrix out, float* scratch) noexcept {
  const size_t width = config.head_width;
  kernels::KeyWindow window{first, kernels::unlimited, config.causal() ? 0 : kernels::unlimited};
  if (config.windowed(layer)) {
    window.left = config.causal() ? config.window - 1 : config.window;
    if (!config.causal()) window.right = config.window;
  }
  return {.q = q.data + heads.begin * width,
          .q_stride = q.stride,
          .k = k.data,
          .k_stride = k.stride,
          .v = v.data,
          .v_stride = v.stride,
          .out = out.data + heads.begin * width,
          .out_stride = out.stride,
          .q_count = q_count,
          .kv_count = kv_count,
          .head_width = width,
          .scale = config.attn_scale != 0 ? static_cast<float>(config.attn_scale)
                                          : 1.0f / std::sqrt(static_cast<float>(width)),
          .scratch = scratch,
          .window = window,
          .q_heads = heads.end - heads.begin,
          .q_head_stride = width,
          .out_head_stride = width,
          .softcap = static_cast<float>(config.attn_softcap)};
}

// What both forms of the relative terms say of one head.
template <class Terms>
Terms terms_of_head(const Config& config, const Weights& weights, const LayerWeights& stored, size_t head,
                    const uint16_t* index) noexcept {
  Terms terms{};
  terms.index = index;
  terms.key_stride = terms.query_stride = stored.attn_out.k;
  terms.bias = weights.relative_bias == nullptr ? nullptr : weights.relative_bias + head * config.relative_rows;
  return terms;
}

kernels::RelativeTerms relative_terms(const Config& config, const Weights& weights, size_t layer, size_t head,
                                      const uint16_t* index) noexcept {
  const LayerWeights& stored = weights.layers[config.stored_layer(layer)];
  auto terms = terms_of_head<kernels::RelativeTerms>(config, weights, stored, head, index);
  const auto of_head = [&](const Table& t) {
    return t.data == nullptr ? nullptr : static_cast<const float*>(t.data) + head * config.head_width;
  };
  terms.key_table = of_head(stored.relative_key);
  terms.query_table = of_head(stored.relative_query);
  return terms;
}

kernels::RelativeCodes relative_codes(const Config& config, const Weights& weights, size_t layer, size_t head,
                                      const uint16_t* index) noexcept {
  const LayerWeights& stored = weights.layers[config.stored_layer(layer)];
  auto codes = terms_of_head<kernels::RelativeCodes>(config, weights, stored, head, index);
  const auto of_head = [&](const Table& t, const int8_t*& rows, const float*& scales) {
    if (t.data == nullptr) return;
    const auto* data = static_cast<const int8_t*>(t.data);
    rows = data + head * config.head_width;
    scales = reinterpret_cast<const float*>(data + kernels::scale_offset(t.layout, t.n, stored.attn_out.k));
  };
  of_head(stored.relative_key, codes.key_table, codes.key_scale);
  of_head(stored.relative_query, codes.query_table, codes.query_scale);
  return codes;
}

// Scores of disentangled attention are sums of several products.
float relative_scale(const Config& config) noexcept {
  const uint32_t kinds = config.arch.relative_terms;
  const float parts = 1.0f + static_cast<float>((kinds & 1) + (kinds >> 1));
  return 1.0f / std::sqrt(static_cast<float>(config.head_width) * parts);
}

}  // namespace

size_t attention_floats(const Config& config, size_t tokens) noexcept {
  const size_t width = config.head_width;
  const bool relative = config.arch.relative != Relative::none;
  const size_t f32 = kernels::attention_scratch_floats(tokens, width, relative);
  if (config.attention == AttentionType::f32) return f32;
  const size_t i8 =
      kernels::attention_i8_scratch_bytes(std::min(tokens, kernels::max_attention_i8_keys), width, relative);
  return int8_attention(config, tokens) ? i8 / sizeof(float) : std::max(f32, i8 / sizeof(float));
}

void attention_heads(const Config& config, const Weights& weights, const KernelTable& kernels, size_t layer,
                     HeadRange heads, ConstMatrix q, size_t first, size_t q_count, ConstMatrix k, ConstMatrix v,
                     size_t kv_count, const uint16_t* relative_index, Matrix out, const RowScratch& scratch) noexcept {
  const bool relative = config.arch.relative != Relative::none;
  if (int8_attention(config, kv_count)) {
    auto args = attention_args<kernels::AttentionI8>(config, layer, heads, q, first, q_count, k, v, kv_count, out,
                                                     scratch.attention);
    if (!relative) return kernels.attention_i8(args);
    const kernels::RelativeCodes codes = relative_codes(config, weights, layer, heads.begin, relative_index);
    args.scale = relative_scale(config);
    args.relative = &codes;
    return kernels.attention_i8(args);
  }
  auto args = attention_args<kernels::AttentionF32>(config, layer, heads, q, first, q_count, k, v, kv_count, out,
                                                    scratch.attention);
  if (!relative) return kernels.attention_f32(args);
  const kernels::RelativeTerms terms = relative_terms(config, weights, layer, heads.begin, relative_index);
  args.scale = relative_scale(config);
  args.relative = &terms;
  kernels.attention_f32(args);
}

}  // namespace onepass
