// NomicBERT. Nussbaum et al. 2024, arXiv:2402.01613.
// Oracle: transformers 5.23.0, NomicBertForSequenceClassification and NomicBertModel. Checkpoints in the layout of the
// code that came before it (n_embd, Wqkv, fc11) are loaded and saved again by transformers first.
// Versus BERT: rotary positions; gated feed-forward blocks; biases in norms, pooler and classifier alone.
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "nomic_bert.pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "nomic_bert.pooler.dense.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr TensorSource kTokenHead[] = {
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"NomicBertForSequenceClassification", "nomic_bert.", kHead, Pool::first_token, true, Act::tanh},
    {"NomicBertForTokenClassification", "nomic_bert.", kTokenHead, Pool::every_token},
    {"NomicBertModel", "", {}},
};

constexpr SizeKey kSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::max_tokens},
};

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_type, "embeddings.token_type_embeddings.weight", Dim::S, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.q_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.k_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.v_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_out_w, "layers.{i}.self_attn.o_proj.weight", Dim::D, Dim::HE},
    {Slot::attn_norm_w, "layers.{i}.post_attention_layernorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "layers.{i}.post_attention_layernorm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.gate_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.up_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_down_w, "layers.{i}.mlp.down_proj.weight", Dim::D, Dim::F},
    {Slot::ffn_norm_w, "layers.{i}.post_mlp_layernorm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "layers.{i}.post_mlp_layernorm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

constexpr std::string_view kIgnored[] = {
    "embeddings.position_ids",
    "embeddings.token_type_ids",
};

Status refine(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY_ASSIGN(rope, json.member("rope_parameters"));
  ONEPASS_TRY_ASSIGN(kind, rope.string("rope_type"));
  if (kind != "default") {
    return make_error(Code::unsupported, Error::no_offset, rope.path_of("rope_type"), "only default is supported");
  }
  ONEPASS_TRY_ASSIGN(theta, rope.number("rope_theta"));
  if (!(theta >= 1)) {
    return make_error(Code::bad_value, Error::no_offset, rope.path_of("rope_theta"), "it must be at least 1");
  }
  model.rotary_global = rotary_frequencies(theta, model.config.rotary_width);
  return {};
}

}  // namespace

constinit const Family nomic_bert = {
    .name = "nomic_bert",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::post,
            .position = Position::rotary,
            .mask = Mask::bidirectional,
            .ffn = Ffn::gated,
            .embed_norm = 1,
            .biases = 1,
            .unbiased = static_cast<uint32_t>(Part::qkv) | static_cast<uint32_t>(Part::attn_out) |
                        static_cast<uint32_t>(Part::ffn),
        },
    .act_key = "hidden_act",
    .eps_key = "layer_norm_eps",
    .segment_types_key = "type_vocab_size",
    .head_width_key = "head_dim",
    .sizes = kSizes,
    .fixed = {},
    .tensors = kTensors,
    .refine = refine,
    .ignored = kIgnored,
};

}  // namespace onepass::models
