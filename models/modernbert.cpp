// ModernBERT. Warner et al. 2024, arXiv:2412.13663.
// Oracle: transformers 5.23.0, ModernBertForSequenceClassification and ModernBertModel.
// Versus BERT: norms come first, layer 0's attention has none, and one follows the last layer; rotary positions; a
// window of local_attention / 2 tokens to each side in all layers but every third; gated feed-forward blocks; no biases
// but the classifier's; the head is classifier(norm(gelu(dense(pooled)))).
#include <vector>

#include "formats/huggingface/onepass_json.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr TensorSource kHead[] = {
    {Slot::pooler_w, "head.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "head.dense.bias", Dim::one, Dim::D},
    {Slot::pooler_norm_w, "head.norm.weight", Dim::one, Dim::D},
    {Slot::pooler_norm_b, "head.norm.bias", Dim::one, Dim::D},
    {Slot::head_w, "classifier.weight", Dim::C, Dim::D},
    {Slot::head_b, "classifier.bias", Dim::one, Dim::C},
};

constexpr SourceClass kClasses[] = {
    {"ModernBertForSequenceClassification", "model.", kHead, Pool::first_token, true, Act::gelu_erf},
    {"ModernBertForTokenClassification", "model.", kHead, Pool::every_token, true, Act::gelu_erf},
    {"ModernBertModel", "", {}},
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
    {Slot::embed_token, "embeddings.tok_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_norm_w, "embeddings.norm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.norm.bias", Dim::one, Dim::B},
    {Slot::attn_qkv_w, "layers.{i}.attn.Wqkv.weight", Dim::QKV, Dim::D},
    {Slot::attn_qkv_b, "layers.{i}.attn.Wqkv.bias", Dim::one, Dim::QKV},
    {Slot::attn_out_w, "layers.{i}.attn.Wo.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "layers.{i}.attn.Wo.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "layers.{i}.attn_norm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "layers.{i}.attn_norm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.Wi.weight", Dim::U, Dim::D},  // its first half is the one that is activated
    {Slot::ffn_up_b, "layers.{i}.mlp.Wi.bias", Dim::one, Dim::U},
    {Slot::ffn_down_w, "layers.{i}.mlp.Wo.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "layers.{i}.mlp.Wo.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "layers.{i}.mlp_norm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "layers.{i}.mlp_norm.bias", Dim::one, Dim::D},
    {Slot::final_norm_w, "final_norm.weight", Dim::one, Dim::D},
    {Slot::final_norm_b, "final_norm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

Error unsupported(const std::string& where, const char* why) {
  return make_error(Code::unsupported, Error::no_offset, where, "%s", why);
}

// The key or, where it is absent, transformers' default.
Result<bool> read_flag(const JsonNode& json, const char* key) {
  if (!json.has(key)) return false;
  return json.boolean(key);
}

// transformers 5 writes a list of layer_types; checkpoints before it have a period. Both begin with a global layer.
Status read_windows(const JsonNode& json, Config& config) {
  ONEPASS_TRY_ASSIGN(both_sides, json.u64("local_attention", 2, max_text_tokens));
  config.window = static_cast<uint32_t>(both_sides / 2);
  if (!json.has("layer_types")) {
    ONEPASS_TRY_ASSIGN(every, json.u64("global_attn_every_n_layers", 1, max_layers));
    config.global_every = static_cast<uint32_t>(every);
  } else {
    ONEPASS_TRY_ASSIGN(list, json.array("layer_types"));
    ONEPASS_TRY_ASSIGN(types, list.as_strings());
    uint32_t every = 1;
    while (every < types.size() && types[every] != "full_attention") ++every;
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] != (i % every == 0 ? "full_attention" : "sliding_attention")) {
        return unsupported(list.path(),
                           "only full_attention in every n-th layer, the first included, and "
                           "sliding_attention in the others is supported");
      }
    }
    if (types.size() != config.layers) return unsupported(list.path(), "there must be one for each layer");
    config.global_every = every;
  }
  if (config.global_every == 1) config.window = config.global_every = 0;
  return {};
}

Result<double> read_theta(const JsonNode& json, const char* type, const char* older_key, double otherwise) {
  if (json.has("rope_parameters")) {
    ONEPASS_TRY_ASSIGN(all, json.member("rope_parameters"));
    ONEPASS_TRY_ASSIGN(one, all.member(type));
    ONEPASS_TRY_ASSIGN(kind, one.string("rope_type"));
    if (kind != "default") return unsupported(one.path_of("rope_type"), "only default is supported");
    return one.number("rope_theta");
  }
  if (json.has(older_key)) return json.number(older_key);
  return otherwise;
}

Status refine(const JsonNode& json, SourceModel& model) {
  Config& config = model.config;
  ArchSpec& arch = config.arch;
  ONEPASS_TRY(read_windows(json, config));
  ONEPASS_TRY_ASSIGN(theta, read_theta(json, "full_attention", "global_rope_theta", 160000));
  ONEPASS_TRY_ASSIGN(local_theta, read_theta(json, "sliding_attention", "local_rope_theta", 10000));
  for (const double t : {theta, local_theta}) {
    if (!(t >= 1)) return unsupported("config.json: rope_theta", "it must be at least 1");
  }
  model.rotary_global = rotary_frequencies(theta, config.rotary_width);
  model.rotary_local = rotary_frequencies(local_theta, config.rotary_width);
  arch.local_rotary = config.window != 0;

  const std::pair<const char*, Part> biases[] = {
      {"attention_bias", Part::qkv}, {"attention_bias", Part::attn_out}, {"mlp_bias", Part::ffn},
      {"norm_bias", Part::norms},    {"classifier_bias", Part::pooler},
  };
  arch.unbiased = 0;
  for (const auto& [key, part] : biases) {
    ONEPASS_TRY_ASSIGN(has, read_flag(json, key));
    if (!has) arch.unbiased |= static_cast<uint32_t>(part);
  }
  if (arch.pooler == 0) return {};
  arch.pooler_norm = 1;
  if (arch.pool != Pool::every_token) {
    ONEPASS_TRY_ASSIGN(pooling, json.string("classifier_pooling"));
    if (pooling != "cls" && pooling != "mean") {
      return unsupported(json.path_of("classifier_pooling"), "only cls and mean are supported");
    }
    arch.pool = pooling == "mean" ? Pool::mean : Pool::first_token;
  }
  ONEPASS_TRY_ASSIGN(name, json.string("classifier_activation"));
  const auto act = find_activation(name);
  if (!act) return unsupported(json.path_of("classifier_activation"), "the activation is not supported");
  arch.pooler_act = *act;
  return {};
}

}  // namespace

constinit const Family modernbert = {
    .name = "modernbert",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch =
        {
            .norm = Norm::layer_norm,
            .norm_place = NormPlace::pre,
            .position = Position::rotary,
            .mask = Mask::bidirectional,
            .ffn = Ffn::gated,
            .embed_norm = 1,
            .biases = 1,
            .final_norm = 1,
            .skip_first_norm = 1,
        },
    .act_key = "hidden_activation",
    .eps_key = "norm_eps",
    .sizes = kSizes,
    .fixed = {},
    .tensors = kTensors,
    .refine = refine,
};

}  // namespace onepass::models
