// MPNet. Song et al. 2020, arXiv:2004.09297.
// Oracle: transformers 5.23.0, MPNetForSequenceClassification and MPNetModel.
// Versus BERT: positions begin after the padding, whose id is 1 in the code; every score has a bias that depends on the
// distance, the same in all layers; no segments; the head is out_proj(tanh(dense(h[<s>]))).
#include <algorithm>
#include <cmath>

#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "classifier.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "classifier.dense.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.out_proj.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.out_proj.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"MPNetForSequenceClassification", "mpnet.", kHead, Pool::first_token, true, Act::tanh},
    {"MPNetForTokenClassification", "mpnet.", kTokenHead, Pool::every_token},
    {"MPNetModel", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::positions},
    {"relative_attention_num_buckets", &Config::relative_rows},
};

constexpr FixedKey kFixed[] = {
    {"relative_attention_num_buckets", "32", true},  // the code uses 32, whatever the key says
};

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::relative_bias, "encoder.relative_attention_bias.weight", Dim::W, Dim::H},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.attn.q.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.attn.k.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.attn.v.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.attn.q.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.attn.k.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.attn.v.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, "encoder.layer.{i}.attention.attn.o.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "encoder.layer.{i}.attention.attn.o.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "encoder.layer.{i}.attention.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "encoder.layer.{i}.attention.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "encoder.layer.{i}.intermediate.dense.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, "encoder.layer.{i}.intermediate.dense.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, "encoder.layer.{i}.output.dense.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "encoder.layer.{i}.output.dense.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "encoder.layer.{i}.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "encoder.layer.{i}.output.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

constexpr std::string_view kIgnored[] = {
    "embeddings.position_ids",  // 0, 1, 2, ...: a buffer that old releases saved
};

// One row a head, where the checkpoint has one a bucket.
bool compute(Slot slot, const SourceModel& model, TensorParts parts, std::vector<float>& out) {
  if (slot != Slot::relative_bias) return false;
  const size_t heads = model.config.heads, buckets = model.config.relative_rows;
  for (size_t h = 0; h < heads; ++h) {
    for (size_t b = 0; b < buckets; ++b) out.push_back(parts[0][b * heads + h]);
  }
  return true;
}

// relative_position_bucket: sixteen buckets to each side, the first eight of one distance each, the others
// logarithmically wider up to distance 128. Single precision, as there.
uint32_t relative_row(int64_t distance, const SourceModel&) {
  constexpr int64_t side = 16, exact = 8;
  const int64_t n = std::abs(distance);
  const int64_t first = distance < 0 ? side : 0;
  if (n < exact) return static_cast<uint32_t>(first + n);
  const float wide = std::log(static_cast<float>(n) / exact) / static_cast<float>(std::log(128.0 / exact)) *
                     static_cast<float>(side - exact);
  return static_cast<uint32_t>(first + std::min(exact + static_cast<int64_t>(wide), side - 1));
}

}  // namespace

constinit const Family mpnet = {
    .name = "mpnet",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::learned_after_pad,
            .position_first = 2,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .embed_norm = 1,
            .biases = 1,
            .relative = Relative::bias,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kTensors,
    .compute = compute,
    .relative_row = relative_row,
    .ignored = kIgnored,
};

}  // namespace onepass::models
