// BERT. Devlin et al. 2018, arXiv:1810.04805. Also MiniLM and TinyBERT students, which keep the architecture.
// Oracle: transformers 5.23.0, BertForSequenceClassification and BertModel.
// The classification head is classifier(tanh(pooler(h[CLS]))); a head without the pooler is another model.
// Axes: V vocabulary, P positions, S segment types, D width, H heads x E width, F ffn width.
#include "models/bert.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"BertForSequenceClassification", "bert.", "classifier.weight", "classifier.bias"},
    {"BertModel", "", nullptr, nullptr},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::positions},
};

constexpr FixedKey kFixed[] = {
    {"position_embedding_type", "\"absolute\""},
    {"is_decoder", "false"},
    {"add_cross_attention", "false"},
};

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::D},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::D},
    {Slot::embed_type, "embeddings.token_type_embeddings.weight", Dim::S, Dim::D},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.query.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.key.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.value.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.query.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.key.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.value.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, "encoder.layer.{i}.attention.output.dense.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "encoder.layer.{i}.attention.output.dense.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "encoder.layer.{i}.attention.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "encoder.layer.{i}.attention.output.LayerNorm.bias", Dim::one, Dim::D},
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
    "embeddings.position_ids",    // 0, 1, 2, ...: a buffer that old releases saved
    "embeddings.token_type_ids",  // zeros
};

constexpr NameAlias kAliases[] = {
    {".LayerNorm.weight", ".LayerNorm.gamma"},
    {".LayerNorm.bias", ".LayerNorm.beta"},
};

}  // namespace

constinit const Family bert = {
    .name = "bert",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::learned,
            .position_first = 0,
            .segment_types = 2,
            .mask = Mask::bidirectional,
            .ffn = Ffn::mlp,
            .act = Act::gelu_erf,
            .embed_norm = 1,
            .biases = 1,
            .pool = Pool::first_token,
            .pooler = 1,
            .pooler_act = Act::tanh,
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .max_tokens_key = "max_position_embeddings",
    .sizes = kSizes,
    .fixed = kFixed,
    .tensors = kTensors,
    .ignored = kIgnored,
    .aliases = kAliases,
};

}  // namespace onepass::models
