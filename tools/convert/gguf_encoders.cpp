#include "tools/convert/gguf_tables.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace onepass::convert {

namespace {

void note(std::vector<std::string>* notes, std::string text) {
  if (notes != nullptr) notes->push_back(std::move(text));
}

Status expect_not_causal(const GgufModel& model) {
  const std::string key = arch_key(model, "attention.causal");
  ONEPASS_TRY_ASSIGN(causal, model.metadata().optional_boolean(key));
  if (!causal.value_or(false)) return {};
  return make_error(Code::unsupported, model.metadata().find(key)->offset, model.metadata().path_of(key),
                    "an encoder whose tokens see only those before them is not supported");
}

void assume_gelu(Json& config, const char* key, std::vector<std::string>* notes) {
  config[key] = "gelu";
  note(notes, "the file does not name its activation: gelu, as llama.cpp takes it");
}

constexpr KeyRow kBertKeys[] = {
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"attention.head_count", "num_attention_heads"},
    {"feed_forward_length", "intermediate_size"},
    {"context_length", "max_position_embeddings"},
    {"attention.layer_norm_epsilon", "layer_norm_eps", true},
};

constexpr TensorRow kBertTensors[] = {
    {"token_embd.weight", "embeddings.word_embeddings.weight"},
    {"position_embd.weight", "embeddings.position_embeddings.weight"},
    {"token_types.weight", "embeddings.token_type_embeddings.weight"},
    {"token_embd_norm.weight", "embeddings.LayerNorm.weight"},
    {"token_embd_norm.bias", "embeddings.LayerNorm.bias"},
    {"blk.{i}.attn_q.weight", "encoder.layer.{i}.attention.self.query.weight"},
    {"blk.{i}.attn_q.bias", "encoder.layer.{i}.attention.self.query.bias"},
    {"blk.{i}.attn_k.weight", "encoder.layer.{i}.attention.self.key.weight"},
    {"blk.{i}.attn_k.bias", "encoder.layer.{i}.attention.self.key.bias"},
    {"blk.{i}.attn_v.weight", "encoder.layer.{i}.attention.self.value.weight"},
    {"blk.{i}.attn_v.bias", "encoder.layer.{i}.attention.self.value.bias"},
    {"blk.{i}.attn_output.weight", "encoder.layer.{i}.attention.output.dense.weight"},
    {"blk.{i}.attn_output.bias", "encoder.layer.{i}.attention.output.dense.bias"},
    {"blk.{i}.attn_output_norm.weight", "encoder.layer.{i}.attention.output.LayerNorm.weight"},
    {"blk.{i}.attn_output_norm.bias", "encoder.layer.{i}.attention.output.LayerNorm.bias"},
    {"blk.{i}.ffn_up.weight", "encoder.layer.{i}.intermediate.dense.weight"},
    {"blk.{i}.ffn_up.bias", "encoder.layer.{i}.intermediate.dense.bias"},
    {"blk.{i}.ffn_down.weight", "encoder.layer.{i}.output.dense.weight"},
    {"blk.{i}.ffn_down.bias", "encoder.layer.{i}.output.dense.bias"},
    {"blk.{i}.layer_output_norm.weight", "encoder.layer.{i}.output.LayerNorm.weight"},
    {"blk.{i}.layer_output_norm.bias", "encoder.layer.{i}.output.LayerNorm.bias"},
};

// The same, with the position table cut.
constexpr auto kRobertaTensors = [] {
  std::array<TensorRow, std::size(kBertTensors)> rows{};
  std::copy(std::begin(kBertTensors), std::end(kBertTensors), rows.begin());
  rows[1].edit = Edit::after_pad;
  return rows;
}();
static_assert(std::string_view(kRobertaTensors[1].source) == "position_embd.weight");

// The pooler is what llama.cpp's converter drops, so this is never whole.
constexpr TensorRow kBertHead[] = {
    {"(pooler)", "bert.pooler.dense.weight"},
    {"(pooler)", "bert.pooler.dense.bias"},
    {"cls.output.weight", "classifier.weight"},
    {"cls.output.bias", "classifier.bias"},
};
constexpr TensorRow kRobertaHead[] = {
    {"cls.weight", "classifier.dense.weight"},
    {"cls.bias", "classifier.dense.bias"},
    {"cls.output.weight", "classifier.out_proj.weight"},
    {"cls.output.bias", "classifier.out_proj.bias"},
};

Status read_segments(const GgufModel& model, Json& config) {
  ONEPASS_TRY_ASSIGN(types, model.metadata().u32("tokenizer.ggml.token_type_count"));
  config["type_vocab_size"] = types;
  return {};
}

Status complete_bert(const GgufModel& model, Json& config, std::vector<std::string>* notes) {
  ONEPASS_TRY(expect_not_causal(model));
  ONEPASS_TRY(read_segments(model, config));
  assume_gelu(config, "hidden_act", notes);
  return {};
}

Status complete_roberta(const GgufModel& model, Json& config, std::vector<std::string>* notes) {
  ONEPASS_TRY(complete_bert(model, config, notes));
  ONEPASS_TRY_ASSIGN(pad, model.metadata().u32("tokenizer.ggml.padding_token_id"));
  if (pad > 65'535) {
    return make_error(Code::bad_value, Error::no_offset, model.metadata().path_of("tokenizer.ggml.padding_token_id"),
                      "positions begin after the padding's id, which cannot be %u", pad);
  }
  config["pad_token_id"] = pad;
  config["max_position_embeddings"] = config["max_position_embeddings"].get<uint64_t>() + pad + 1;
  return {};
}

constexpr KeyRow kDistilbertKeys[] = {
    {"embedding_length", "dim"},
    {"block_count", "n_layers"},
    {"attention.head_count", "n_heads"},
    {"feed_forward_length", "hidden_dim"},
    {"context_length", "max_position_embeddings"},
};

constexpr TensorRow kDistilbertTensors[] = {
    {"token_embd.weight", "embeddings.word_embeddings.weight"},
    {"position_embd.weight", "embeddings.position_embeddings.weight"},
    {"token_embd_norm.weight", "embeddings.LayerNorm.weight"},
    {"token_embd_norm.bias", "embeddings.LayerNorm.bias"},
    {"blk.{i}.attn_q.weight", "transformer.layer.{i}.attention.q_lin.weight"},
    {"blk.{i}.attn_q.bias", "transformer.layer.{i}.attention.q_lin.bias"},
    {"blk.{i}.attn_k.weight", "transformer.layer.{i}.attention.k_lin.weight"},
    {"blk.{i}.attn_k.bias", "transformer.layer.{i}.attention.k_lin.bias"},
    {"blk.{i}.attn_v.weight", "transformer.layer.{i}.attention.v_lin.weight"},
    {"blk.{i}.attn_v.bias", "transformer.layer.{i}.attention.v_lin.bias"},
    {"blk.{i}.attn_output.weight", "transformer.layer.{i}.attention.out_lin.weight"},
    {"blk.{i}.attn_output.bias", "transformer.layer.{i}.attention.out_lin.bias"},
    {"blk.{i}.attn_output_norm.weight", "transformer.layer.{i}.sa_layer_norm.weight"},
    {"blk.{i}.attn_output_norm.bias", "transformer.layer.{i}.sa_layer_norm.bias"},
    {"blk.{i}.ffn_up.weight", "transformer.layer.{i}.ffn.lin1.weight"},
    {"blk.{i}.ffn_up.bias", "transformer.layer.{i}.ffn.lin1.bias"},
    {"blk.{i}.ffn_down.weight", "transformer.layer.{i}.ffn.lin2.weight"},
    {"blk.{i}.ffn_down.bias", "transformer.layer.{i}.ffn.lin2.bias"},
    {"blk.{i}.layer_output_norm.weight", "transformer.layer.{i}.output_layer_norm.weight"},
    {"blk.{i}.layer_output_norm.bias", "transformer.layer.{i}.output_layer_norm.bias"},
};
constexpr TensorRow kDistilbertHead[] = {
    {"cls.weight", "pre_classifier.weight"},
    {"cls.bias", "pre_classifier.bias"},
    {"cls.output.weight", "classifier.weight"},
    {"cls.output.bias", "classifier.bias"},
};

Status complete_distilbert(const GgufModel& model, Json& config, std::vector<std::string>* notes) {
  ONEPASS_TRY(expect_not_causal(model));
  const std::string key = arch_key(model, "attention.layer_norm_epsilon");
  ONEPASS_TRY_ASSIGN(eps, model.metadata().f32(key));
  if (eps != 1e-12f) {
    return make_error(Code::unsupported, model.metadata().find(key)->offset, model.metadata().path_of(key),
                      "%g, where DistilBERT has 1e-12", static_cast<double>(eps));
  }
  assume_gelu(config, "activation", notes);
  return {};
}

constexpr TensorRow kModernbertTensors[] = {
    {"token_embd.weight", "embeddings.tok_embeddings.weight"},
    {"token_embd_norm.weight", "embeddings.norm.weight"},
    {"blk.{i}.attn_norm.weight", "layers.{i}.attn_norm.weight"},
    {"blk.{i}.attn_qkv.weight", "layers.{i}.attn.Wqkv.weight"},
    {"blk.{i}.attn_output.weight", "layers.{i}.attn.Wo.weight"},
    {"blk.{i}.ffn_norm.weight", "layers.{i}.mlp_norm.weight"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.Wi.weight"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.Wo.weight"},
    {"output_norm.weight", "final_norm.weight"},
};
constexpr TensorRow kModernbertHead[] = {
    {"cls.weight", "head.dense.weight"},
    {"cls.norm.weight", "head.norm.weight"},
    {"cls.output.weight", "classifier.weight"},
    {"cls.output.bias", "classifier.bias"},
};
constexpr KeyRow kModernbertKeys[] = {
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"attention.head_count", "num_attention_heads"},
    {"feed_forward_length", "intermediate_size"},
    {"context_length", "max_position_embeddings"},
    {"attention.layer_norm_epsilon", "norm_eps", true},
    {"attention.sliding_window", "local_attention"},
};

Status complete_modernbert(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(expect_not_causal(model));
  const GgufMetadata& metadata = model.metadata();
  // llama.cpp's values where the keys are absent.
  ONEPASS_TRY_ASSIGN(every, metadata.optional_u32(arch_key(model, "attention.sliding_window_pattern")));
  ONEPASS_TRY_ASSIGN(theta, metadata.f32(arch_key(model, "rope.freq_base")));
  ONEPASS_TRY_ASSIGN(local_theta, metadata.optional_f32(arch_key(model, "rope.freq_base_swa")));
  ONEPASS_TRY_ASSIGN(act, metadata.optional_text(arch_key(model, "hidden_activation")));
  config["global_attn_every_n_layers"] = every.value_or(3);
  config["global_rope_theta"] = shortest(theta);
  config["local_rope_theta"] = shortest(local_theta.value_or(10000.0f));
  config["hidden_activation"] = act.value_or("gelu");
  return {};
}

constexpr TensorRow kNomicTensors[] = {
    {"token_embd.weight", "embeddings.word_embeddings.weight"},
    {"token_types.weight", "embeddings.token_type_embeddings.weight"},
    {"token_embd_norm.weight", "embeddings.LayerNorm.weight"},
    {"token_embd_norm.bias", "embeddings.LayerNorm.bias"},
    {"blk.{i}.attn_qkv.weight", "layers.{i}.self_attn.q_proj.weight", Edit::first_third},
    {"blk.{i}.attn_qkv.weight", "layers.{i}.self_attn.k_proj.weight", Edit::second_third},
    {"blk.{i}.attn_qkv.weight", "layers.{i}.self_attn.v_proj.weight", Edit::last_third},
    {"blk.{i}.attn_output.weight", "layers.{i}.self_attn.o_proj.weight"},
    {"blk.{i}.attn_output_norm.weight", "layers.{i}.post_attention_layernorm.weight"},
    {"blk.{i}.attn_output_norm.bias", "layers.{i}.post_attention_layernorm.bias"},
    {"blk.{i}.ffn_gate.weight", "layers.{i}.mlp.gate_proj.weight"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.up_proj.weight"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.down_proj.weight"},
    {"blk.{i}.layer_output_norm.weight", "layers.{i}.post_mlp_layernorm.weight"},
    {"blk.{i}.layer_output_norm.bias", "layers.{i}.post_mlp_layernorm.bias"},
};
constexpr TensorRow kNomicHead[] = {
    {"(pooler)", "nomic_bert.pooler.dense.weight"},
    {"(pooler)", "nomic_bert.pooler.dense.bias"},
    {"cls.output.weight", "classifier.weight"},
    {"cls.output.bias", "classifier.bias"},
};

Status complete_nomic(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(expect_not_causal(model));
  ONEPASS_TRY(read_segments(model, config));
  ONEPASS_TRY_ASSIGN(theta, model.metadata().f32(arch_key(model, "rope.freq_base")));
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", shortest(theta)}};
  config["hidden_act"] = "silu";
  return {};
}

bool has_segments(const GgufModel& model) { return model.find("token_types.weight") != nullptr; }
bool has_no_segments(const GgufModel& model) { return !has_segments(model); }

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "bert",
     .tokenizer = "bert",
     .is = has_segments,
     .class_name = "BertForSequenceClassification",
     .keys = kBertKeys,
     .tensors = kBertTensors,
     .head = kBertHead,
     .complete = complete_bert},
    {.name = "bert",
     .tokenizer = "bert",
     .is = has_no_segments,
     .class_name = "DistilBertForSequenceClassification",
     .keys = kDistilbertKeys,
     .tensors = kDistilbertTensors,
     .head = kDistilbertHead,
     .complete = complete_distilbert},
    {.name = "bert",
     .tokenizer = "gpt2",
     .is = nullptr,
     .class_name = "RobertaForSequenceClassification",
     .keys = kBertKeys,
     .tensors = kRobertaTensors,
     .head = kRobertaHead,
     .complete = complete_roberta},
    {.name = "bert",
     .tokenizer = "t5",
     .is = nullptr,
     .class_name = "XLMRobertaForSequenceClassification",
     .keys = kBertKeys,
     .tensors = kRobertaTensors,
     .head = kRobertaHead,
     .complete = complete_roberta},
    {.name = "modern-bert",
     .tokenizer = nullptr,
     .is = nullptr,
     .class_name = "ModernBertForSequenceClassification",
     .keys = kModernbertKeys,
     .tensors = kModernbertTensors,
     .head = kModernbertHead,
     .complete = complete_modernbert,
     .head_needs = "whether the first token or the mean is pooled, and the head's activation"},
    {.name = "nomic-bert",
     .tokenizer = nullptr,
     .is = nullptr,
     .class_name = "NomicBertForSequenceClassification",
     .keys = kBertKeys,
     .tensors = kNomicTensors,
     .head = kNomicHead,
     .complete = complete_nomic},
};

}  // namespace

std::span<const GgufArchitecture> gguf_architectures() noexcept { return kArchitectures; }

double shortest(float value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof(text), value);
  double out = value;
  if (error == std::errc()) std::from_chars(text, end, out);
  return out;
}

std::string arch_key(const GgufModel& model, const char* key) {
  const auto architecture = model.metadata().text("general.architecture");
  return (architecture.ok() ? architecture.value() : std::string()) + "." + key;
}

}  // namespace onepass::convert
