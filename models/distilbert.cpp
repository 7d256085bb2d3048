// DistilBERT. Sanh et al. 2019, arXiv:1910.01108.
// Oracle: transformers 5.23.0, DistilBertForSequenceClassification and DistilBertModel.
// Versus BERT: no segments, no pooler; the head is classifier(relu(pre_classifier(h[CLS]))); the norms' epsilon is
// fixed in the code.
#include "models/families.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "pre_classifier.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pre_classifier.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"DistilBertForSequenceClassification", "distilbert.", kHead, Pool::first_token, true, Act::relu},
    {"DistilBertForTokenClassification", "distilbert.", kTokenHead, Pool::every_token},
    {"DistilBertModel", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},     {"dim", &Config::width},
    {"n_layers", &Config::layers},      {"n_heads", &Config::heads},
    {"hidden_dim", &Config::ffn_width}, {"max_position_embeddings", &Config::positions},
};

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::attn_qkv_w, "transformer.layer.{i}.attention.q_lin.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "transformer.layer.{i}.attention.k_lin.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "transformer.layer.{i}.attention.v_lin.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, "transformer.layer.{i}.attention.q_lin.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "transformer.layer.{i}.attention.k_lin.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "transformer.layer.{i}.attention.v_lin.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, "transformer.layer.{i}.attention.out_lin.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "transformer.layer.{i}.attention.out_lin.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "transformer.layer.{i}.sa_layer_norm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "transformer.layer.{i}.sa_layer_norm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "transformer.layer.{i}.ffn.lin1.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, "transformer.layer.{i}.ffn.lin1.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, "transformer.layer.{i}.ffn.lin2.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "transformer.layer.{i}.ffn.lin2.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "transformer.layer.{i}.output_layer_norm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "transformer.layer.{i}.output_layer_norm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

constexpr std::string_view kIgnored[] = {
    "embeddings.position_ids",  // 0, 1, 2, ...: a buffer that old releases saved
};

}  // namespace

constinit const Family distilbert = {
    .name = "distilbert",
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
    .act_key = "activation",
    .eps_key = nullptr,
    .norm_eps = 1e-12,
    .sizes = kSizes,
    .fixed = {},
    .tensors = kTensors,
    .ignored = kIgnored,
};

}  // namespace onepass::models
