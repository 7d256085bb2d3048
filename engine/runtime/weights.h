// Weights: the tensors of a ModelFile as the blocks use them.
#pragma once

#include "engine/arch/arch.h"
#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/runtime/word_tree.h"
#include "formats/onepass/model_file.h"
#include "kernels/layouts.h"

namespace onepass {

// y = x W^T + bias.
struct Linear {
  const void* w = nullptr;
  kernels::Layout layout{};
  const float* bias = nullptr;
  size_t n = 0, k = 0;
};

struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

struct Table {
  const void* data = nullptr;
  kernels::Layout layout{};
  size_t n = 0;
};

struct LayerWeights {
  Linear qkv, attn_out, ffn_up, ffn_down;
  NormWeights attn_norm, ffn_norm;
  NormWeights attn_post_norm, ffn_post_norm, q_norm, k_norm;
  const float* prefix = nullptr;       // [prefix_tokens, 2 GE]
  Table relative_key, relative_query;  // [W,HE]
};

struct Weights {
  Table token, position, segment;
  NormWeights embed_norm, final_norm, pooler_norm;
  Linear embed_project;
  const float* rotary_global = nullptr;  // [R]
  const float* rotary_local = nullptr;
  const float* rotary_long = nullptr;
  const float* relative_index = nullptr;  // [X]
  const float* relative_bias = nullptr;   // [H,W]
  Linear pooler;
  Array<LayerWeights> layers;  // [Config::layer_copies()]
  Array<Linear> heads;
  const float* word_paths = nullptr;  // [WN,WP]
  const float* word_edges = nullptr;  // [WE,2]
  WordTree tree;                      // what these two say
};

// The file's tensors are complete (ModelFile checked them); the views point into it. bad_value: a tree of words that is
// none.
Result<Weights> bind_weights(const ModelFile& file) noexcept;

}  // namespace onepass
