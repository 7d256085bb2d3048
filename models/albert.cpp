// ALBERT. Lan et al. 2020, arXiv:1909.11942.
// Oracle: transformers 5.23.0, AlbertForSequenceClassification and AlbertModel.
// Versus BERT: narrow embeddings, always projected; groups of layers share one layer's weights.
#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "albert.pooler.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "albert.pooler.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"AlbertForSequenceClassification", "albert.", kHead, Pool::first_token, true, Act::tanh},
    {"AlbertForTokenClassification", "albert.", kTokenHead, Pool::every_token},
    {"AlbertModel", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_hidden_groups", &Config::stored_layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::positions},
};

constexpr FixedKey kFixed[] = {
    {"position_embedding_type", "\"absolute\""},
    {"inner_group_num", "1"},
};

#define ALBERT_LAYER "encoder.albert_layer_groups.{i}.albert_layers.0."

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::B},
    {Slot::embed_type, "embeddings.token_type_embeddings.weight", Dim::S, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::embed_project_w, "encoder.embedding_hidden_mapping_in.weight", Dim::D, Dim::B},
    {Slot::embed_project_b, "encoder.embedding_hidden_mapping_in.bias", Dim::one, Dim::D},
    {Slot::attn_qkv_w, ALBERT_LAYER "attention.query.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, ALBERT_LAYER "attention.key.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, ALBERT_LAYER "attention.value.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, ALBERT_LAYER "attention.query.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, ALBERT_LAYER "attention.key.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, ALBERT_LAYER "attention.value.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, ALBERT_LAYER "attention.dense.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, ALBERT_LAYER "attention.dense.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, ALBERT_LAYER "attention.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, ALBERT_LAYER "attention.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, ALBERT_LAYER "ffn.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, ALBERT_LAYER "ffn.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, ALBERT_LAYER "ffn_output.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, ALBERT_LAYER "ffn_output.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, ALBERT_LAYER "full_layer_layer_norm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, ALBERT_LAYER "full_layer_layer_norm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.bias", Dim::one, Dim::D},
};

#undef ALBERT_LAYER

constexpr std::string_view kIgnored[] = {
    "embeddings.position_ids",  // 0, 1, 2, ...: a buffer that old releases saved
    "embeddings.token_type_ids",
};

}  // namespace

constinit const Family albert = {
    .name = "albert",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::learned,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .embed_norm = 1,
            .biases = 1,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .embed_width_key = "embedding_size",
    .embed_always_projected = true,
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kTensors,
    .ignored = kIgnored,
};

}  // namespace onepass::models
