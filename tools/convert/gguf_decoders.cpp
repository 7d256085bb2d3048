// The decoders' keys and tensors in GGUF.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "tools/convert/gguf_tables.h"

namespace onepass::convert {

namespace {

constexpr KeyRow kKeys[] = {
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"attention.head_count", "num_attention_heads"},
    {"feed_forward_length", "intermediate_size"},
    {"context_length", "max_position_embeddings"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", true},
};

// Llama's rows of queries and keys are in pairs, since ggml turns neighbours.
constexpr TensorRow kLlamaTensors[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"blk.{i}.attn_norm.weight", "layers.{i}.input_layernorm.weight"},
    {"blk.{i}.attn_q.weight", "layers.{i}.self_attn.q_proj.weight", Edit::heads},
    {"blk.{i}.attn_q.bias", "layers.{i}.self_attn.q_proj.bias", Edit::heads},
    {"blk.{i}.attn_k.weight", "layers.{i}.self_attn.k_proj.weight", Edit::kv_heads},
    {"blk.{i}.attn_k.bias", "layers.{i}.self_attn.k_proj.bias", Edit::kv_heads},
    {"blk.{i}.attn_v.weight", "layers.{i}.self_attn.v_proj.weight"},
    {"blk.{i}.attn_v.bias", "layers.{i}.self_attn.v_proj.bias"},
    {"blk.{i}.attn_output.weight", "layers.{i}.self_attn.o_proj.weight"},
    {"blk.{i}.attn_output.bias", "layers.{i}.self_attn.o_proj.bias"},
    {"blk.{i}.ffn_norm.weight", "layers.{i}.post_attention_layernorm.weight"},
    {"blk.{i}.ffn_gate.weight", "layers.{i}.mlp.gate_proj.weight"},
    {"blk.{i}.ffn_gate.bias", "layers.{i}.mlp.gate_proj.bias"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.up_proj.weight"},
    {"blk.{i}.ffn_up.bias", "layers.{i}.mlp.up_proj.bias"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.down_proj.weight"},
    {"blk.{i}.ffn_down.bias", "layers.{i}.mlp.down_proj.bias"},
    {"output_norm.weight", "norm.weight"},
};

constexpr TensorRow kQwenTensors[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"blk.{i}.attn_norm.weight", "layers.{i}.input_layernorm.weight"},
    {"blk.{i}.attn_q.weight", "layers.{i}.self_attn.q_proj.weight"},
    {"blk.{i}.attn_q.bias", "layers.{i}.self_attn.q_proj.bias"},
    {"blk.{i}.attn_k.weight", "layers.{i}.self_attn.k_proj.weight"},
    {"blk.{i}.attn_k.bias", "layers.{i}.self_attn.k_proj.bias"},
    {"blk.{i}.attn_v.weight", "layers.{i}.self_attn.v_proj.weight"},
    {"blk.{i}.attn_v.bias", "layers.{i}.self_attn.v_proj.bias"},
    {"blk.{i}.attn_q_norm.weight", "layers.{i}.self_attn.q_norm.weight"},
    {"blk.{i}.attn_k_norm.weight", "layers.{i}.self_attn.k_norm.weight"},
    {"blk.{i}.attn_output.weight", "layers.{i}.self_attn.o_proj.weight"},
    {"blk.{i}.attn_output.bias", "layers.{i}.self_attn.o_proj.bias"},
    {"blk.{i}.ffn_norm.weight", "layers.{i}.post_attention_layernorm.weight"},
    {"blk.{i}.ffn_gate.weight", "layers.{i}.mlp.gate_proj.weight"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.up_proj.weight"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.down_proj.weight"},
    {"output_norm.weight", "norm.weight"},
};

constexpr TensorRow kGemmaTensors[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"blk.{i}.attn_norm.weight", "layers.{i}.input_layernorm.weight", Edit::less_one},
    {"blk.{i}.attn_q.weight", "layers.{i}.self_attn.q_proj.weight"},
    {"blk.{i}.attn_k.weight", "layers.{i}.self_attn.k_proj.weight"},
    {"blk.{i}.attn_v.weight", "layers.{i}.self_attn.v_proj.weight"},
    {"blk.{i}.attn_q_norm.weight", "layers.{i}.self_attn.q_norm.weight", Edit::less_one},
    {"blk.{i}.attn_k_norm.weight", "layers.{i}.self_attn.k_norm.weight", Edit::less_one},
    {"blk.{i}.attn_output.weight", "layers.{i}.self_attn.o_proj.weight"},
    {"blk.{i}.post_attention_norm.weight", "layers.{i}.post_attention_layernorm.weight", Edit::less_one},
    {"blk.{i}.ffn_norm.weight", "layers.{i}.pre_feedforward_layernorm.weight", Edit::less_one},
    {"blk.{i}.ffn_gate.weight", "layers.{i}.mlp.gate_proj.weight"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.up_proj.weight"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.down_proj.weight"},
    {"blk.{i}.post_ffw_norm.weight", "layers.{i}.post_feedforward_layernorm.weight", Edit::less_one},
    {"output_norm.weight", "norm.weight", Edit::less_one},
};

constexpr TensorRow kPhiTensors[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"blk.{i}.attn_norm.weight", "layers.{i}.input_layernorm.weight"},
    {"blk.{i}.attn_qkv.weight", "layers.{i}.self_attn.qkv_proj.weight"},
    {"blk.{i}.attn_output.weight", "layers.{i}.self_attn.o_proj.weight"},
    {"blk.{i}.ffn_norm.weight", "layers.{i}.post_attention_layernorm.weight"},
    {"blk.{i}.ffn_up.weight", "layers.{i}.mlp.gate_up_proj.weight"},
    {"blk.{i}.ffn_down.weight", "layers.{i}.mlp.down_proj.weight"},
    {"output_norm.weight", "norm.weight"},
};

// As converters write the head of a reranker.
constexpr TensorRow kScore[] = {{"cls.output.weight", "score.weight"}};

constexpr const char* kOutput[] = {"output.weight"};  // of the next word, which no classifier computes
constexpr const char* kLlamaRotary[] = {"rope_freqs.weight"};
constexpr const char* kPhiRotary[] = {"rope_factors_long.weight", "rope_factors_short.weight"};

// Heads, their width, and the base of the rotary positions.
Status complete_decoder(const GgufModel& model, Json& config) {
  const GgufMetadata& metadata = model.metadata();
  ONEPASS_TRY_ASSIGN(kv_heads, metadata.optional_u32(arch_key(model, "attention.head_count_kv")));
  ONEPASS_TRY_ASSIGN(key_width, metadata.optional_u32(arch_key(model, "attention.key_length")));
  ONEPASS_TRY_ASSIGN(value_width, metadata.optional_u32(arch_key(model, "attention.value_length")));
  ONEPASS_TRY_ASSIGN(causal, metadata.optional_boolean(arch_key(model, "attention.causal")));
  if (!causal.value_or(true)) {
    return make_error(Code::unsupported, Error::no_offset, metadata.path_of(arch_key(model, "attention.causal")),
                      "a decoder whose tokens see those behind them is not supported");
  }
  if (key_width != value_width) {
    return make_error(Code::unsupported, Error::no_offset, metadata.path_of(arch_key(model, "attention.value_length")),
                      "values of another width than keys are not supported");
  }
  if (kv_heads) config["num_key_value_heads"] = *kv_heads;
  if (key_width) config["head_dim"] = *key_width;
  config["hidden_act"] = "silu";
  return {};
}

Result<double> read_theta(const GgufModel& model, const char* key, double otherwise) {
  ONEPASS_TRY_ASSIGN(theta, model.metadata().optional_f32(arch_key(model, key)));
  return theta ? shortest(*theta) : otherwise;
}

// Yarn as converters write it: a factor and the original length, and nothing that would have to be taken into account.
Status read_yarn(const GgufModel& model, Json& set) {
  const GgufMetadata& metadata = model.metadata();
  for (const char* key :
       {"rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"}) {
    if (!metadata.has(arch_key(model, key))) continue;
    return make_error(Code::unsupported, metadata.find(arch_key(model, key))->offset,
                      metadata.path_of(arch_key(model, key)), "yarn is supported with its usual numbers alone");
  }
  ONEPASS_TRY_ASSIGN(factor, metadata.f32(arch_key(model, "rope.scaling.factor")));
  ONEPASS_TRY_ASSIGN(original, metadata.u32(arch_key(model, "rope.scaling.original_context_length")));
  set["rope_type"] = "yarn";
  set["factor"] = shortest(factor);
  set["original_max_position_embeddings"] = original;
  return {};
}

// rope.scaling.type as transformers calls it, with its numbers.
Status read_scaling(const GgufModel& model, Json& set) {
  const std::string key = arch_key(model, "rope.scaling.type");
  ONEPASS_TRY_ASSIGN(type, model.metadata().optional_text(key));
  if (!type || *type == "none" || *type == "longrope") return {};
  if (*type == "yarn") return read_yarn(model, set);
  if (*type != "linear") {
    return make_error(Code::unsupported, model.metadata().find(key)->offset, model.metadata().path_of(key),
                      "%.40s is not supported; none, linear, yarn and longrope are", type->c_str());
  }
  ONEPASS_TRY_ASSIGN(factor, model.metadata().f32(arch_key(model, "rope.scaling.factor")));
  set["rope_type"] = "linear";
  set["factor"] = shortest(factor);
  return {};
}

Result<std::vector<float>> read_vector(const GgufModel& model, const GgufTensor& tensor) {
  if (tensor.shape.size() != 1) {
    return make_error(Code::bad_shape, Error::no_offset, model.metadata().path_of(tensor.name),
                      "factors of the rotary positions must be a vector");
  }
  return model.read_f32(tensor, 0, 1);
}

// What llama.cpp's converter divides the frequencies by where config.json says llama3; in its arithmetic, f32.
float llama3_divisor(double theta, size_t pair, size_t pairs, float factor) {
  constexpr float kLow = 1, kHigh = 4, kContext = 8192;
  const auto exponent = static_cast<float>(2 * pair) / static_cast<float>(2 * pairs);
  const float wave =
      static_cast<float>(2 * std::numbers::pi) * static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
  if (wave < kContext / kHigh) return 1;
  if (wave > kContext / kLow) return factor;
  const float smooth = (kContext / wave - kLow) / (kHigh - kLow);
  return 1 / ((1 - smooth) / factor + smooth);
}

// The file has the divisors of llama3 scaling and not its parameters. Where those of Llama 3.x give these divisors they
// are meant, and the reference's own arithmetic follows; else the divisors themselves count.
Status read_divisors(const GgufModel& model, double theta, Json& set) {
  const GgufTensor* tensor = model.find("rope_freqs.weight");
  if (tensor == nullptr) return {};
  ONEPASS_TRY_ASSIGN(divisors, read_vector(model, *tensor));
  if (std::all_of(divisors.begin(), divisors.end(), [](float d) { return d == 1; })) return {};
  const float factor = divisors.back();
  bool is_llama3 = factor > 1;
  for (size_t i = 0; i < divisors.size(); ++i) {
    const float expected = llama3_divisor(theta, i, divisors.size(), factor);
    is_llama3 = is_llama3 && std::fabs(divisors[i] - expected) <= 1e-5f * expected;
  }
  if (is_llama3) {
    set["rope_type"] = "llama3";
    set["factor"] = shortest(factor);
    set["low_freq_factor"] = 1.0;
    set["high_freq_factor"] = 4.0;
    set["original_max_position_embeddings"] = 8192;
    return {};
  }
  set["rope_type"] = "longrope";
  set["short_factor"] = set["long_factor"] = divisors;
  set["attention_factor"] = 1.0;
  return {};
}

Status complete_llama(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(complete_decoder(model, config));
  config["attention_bias"] = model.find("blk.0.attn_q.bias") != nullptr;
  config["mlp_bias"] = model.find("blk.0.ffn_up.bias") != nullptr;
  ONEPASS_TRY_ASSIGN(theta, read_theta(model, "rope.freq_base", 10000));
  Json set = {{"rope_type", "default"}, {"rope_theta", theta}};
  ONEPASS_TRY(read_scaling(model, set));
  ONEPASS_TRY(read_divisors(model, theta, set));
  config["rope_parameters"] = std::move(set);
  return {};
}

Status complete_qwen(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(complete_decoder(model, config));
  ONEPASS_TRY_ASSIGN(theta, read_theta(model, "rope.freq_base", 10000));
  Json set = {{"rope_type", "default"}, {"rope_theta", theta}};
  ONEPASS_TRY(read_scaling(model, set));
  config["rope_parameters"] = std::move(set);
  return {};
}

// query_pre_attn_scalar is in no key: it is the width of a head but in the largest model, as llama.cpp knows.
Status complete_gemma(const GgufModel& model, uint32_t layers_of_27b, Json& config) {
  ONEPASS_TRY(complete_decoder(model, config));
  config.erase("hidden_act");
  config["hidden_activation"] = "gelu_pytorch_tanh";
  ONEPASS_TRY_ASSIGN(head_width, model.metadata().u32(arch_key(model, "attention.key_length")));
  ONEPASS_TRY_ASSIGN(heads, model.metadata().u32(arch_key(model, "attention.head_count")));
  ONEPASS_TRY_ASSIGN(width, model.metadata().u32(arch_key(model, "embedding_length")));
  ONEPASS_TRY_ASSIGN(layers, model.metadata().u32(arch_key(model, "block_count")));
  ONEPASS_TRY_ASSIGN(cap, model.metadata().optional_f32(arch_key(model, "final_logit_softcapping")));
  config["query_pre_attn_scalar"] = layers == layers_of_27b && heads != 0 ? width / heads : head_width;
  config["final_logit_softcapping"] = cap ? Json(shortest(*cap)) : Json(nullptr);
  return {};
}

Status complete_gemma2(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(complete_gemma(model, 46, config));
  ONEPASS_TRY_ASSIGN(window, model.metadata().u32(arch_key(model, "attention.sliding_window")));
  ONEPASS_TRY_ASSIGN(cap, model.metadata().optional_f32(arch_key(model, "attn_logit_softcapping")));
  ONEPASS_TRY_ASSIGN(theta, read_theta(model, "rope.freq_base", 10000));
  config["sliding_window"] = window;
  config["attn_logit_softcapping"] = cap ? Json(shortest(*cap)) : Json(nullptr);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", theta}};
  return {};
}

Status complete_gemma3(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(complete_gemma(model, 62, config));
  ONEPASS_TRY_ASSIGN(window, model.metadata().optional_u32(arch_key(model, "attention.sliding_window")));
  ONEPASS_TRY_ASSIGN(every, model.metadata().optional_u32(arch_key(model, "attention.sliding_window_pattern")));
  ONEPASS_TRY_ASSIGN(theta, read_theta(model, "rope.freq_base", 1000000));
  ONEPASS_TRY_ASSIGN(local_theta, read_theta(model, "rope.freq_base_swa", 10000));
  if (window) {
    config["sliding_window"] = *window;
    config["sliding_window_pattern"] = every.value_or(6);
  } else {
    config["sliding_window_pattern"] = 1;
  }
  Json global = {{"rope_type", "default"}, {"rope_theta", theta}};
  ONEPASS_TRY(read_scaling(model, global));
  config["rope_parameters"] = {{"full_attention", std::move(global)},
                               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", local_theta}}}};
  return {};
}

Status complete_phi3(const GgufModel& model, Json& config, std::vector<std::string>*) {
  ONEPASS_TRY(complete_decoder(model, config));
  const GgufMetadata& metadata = model.metadata();
  ONEPASS_TRY_ASSIGN(turned, metadata.u32(arch_key(model, "rope.dimension_count")));
  ONEPASS_TRY_ASSIGN(window, metadata.optional_u32(arch_key(model, "attention.sliding_window")));
  ONEPASS_TRY_ASSIGN(original, metadata.optional_u32(arch_key(model, "rope.scaling.original_context_length")));
  ONEPASS_TRY_ASSIGN(factor, metadata.optional_f32(arch_key(model, "rope.scaling.attn_factor")));
  ONEPASS_TRY_ASSIGN(theta, read_theta(model, "rope.freq_base", 10000));
  const auto heads = config["num_attention_heads"].get<uint32_t>(), width = config["hidden_size"].get<uint32_t>();
  if (heads == 0 || width < heads) {
    return make_error(Code::bad_value, Error::no_offset, metadata.path_of(arch_key(model, "attention.head_count")),
                      "%u heads in a width of %u", heads, width);
  }
  if (window.value_or(0) != 0) config["sliding_window"] = *window;
  config["partial_rotary_factor"] = static_cast<double>(turned) / (width / heads);
  config["original_max_position_embeddings"] = original.value_or(4096);
  Json set = {{"rope_type", "default"}, {"rope_theta", theta}};
  const GgufTensor* parts[] = {model.find("rope_factors_short.weight"), model.find("rope_factors_long.weight")};
  if ((parts[0] == nullptr) != (parts[1] == nullptr)) {
    return make_error(Code::missing_tensor, Error::no_offset, metadata.path_of(kPhiRotary[parts[0] == nullptr ? 1 : 0]),
                      "longrope has factors of short and of long texts, and one of them is missing");
  }
  if (parts[0] != nullptr) {
    ONEPASS_TRY_ASSIGN(short_factors, read_vector(model, *parts[0]));
    ONEPASS_TRY_ASSIGN(long_factors, read_vector(model, *parts[1]));
    set["rope_type"] = "longrope";
    set["short_factor"] = short_factors;
    set["long_factor"] = long_factors;
    // The file has it as a float32; where that is the usual one rounded, the usual one is meant.
    const double growth = config["max_position_embeddings"].get<double>() / original.value_or(4096);
    const double usual = growth <= 1 ? 1 : std::sqrt(1 + std::log(growth) / std::log(original.value_or(4096)));
    if (factor && *factor != static_cast<float>(usual)) set["attention_factor"] = shortest(*factor);
  }
  config["rope_parameters"] = std::move(set);
  return {};
}

constexpr GgufArchitecture row(const char* name, const char* class_name, std::span<const TensorRow> tensors,
                               Status (*complete)(const GgufModel&, Json&, std::vector<std::string>*)) {
  return {.name = name,
          .tokenizer = nullptr,
          .is = nullptr,
          .class_name = class_name,
          .keys = kKeys,
          .tensors = tensors,
          .head = kScore,
          .complete = complete,
          .ignored = kOutput};
}

constexpr GgufArchitecture with_rotary(GgufArchitecture a, std::span<const char* const> rotary, const char* also) {
  a.rotary = rotary;
  a.also = also;
  return a;
}

constexpr GgufArchitecture kDecoders[] = {
    with_rotary(row("llama", "LlamaForSequenceClassification", kLlamaTensors, complete_llama), kLlamaRotary,
                "MistralForSequenceClassification"),
    row("qwen2", "Qwen2ForSequenceClassification", kQwenTensors, complete_qwen),
    row("qwen3", "Qwen3ForSequenceClassification", kQwenTensors, complete_qwen),
    row("gemma2", "Gemma2ForSequenceClassification", kGemmaTensors, complete_gemma2),
    row("gemma3", "Gemma3TextForSequenceClassification", kGemmaTensors, complete_gemma3),
    with_rotary(row("phi3", "Phi3ForSequenceClassification", kPhiTensors, complete_phi3), kPhiRotary, nullptr),
};

}  // namespace

std::span<const GgufArchitecture> gguf_decoders() noexcept { return kDecoders; }

}  // namespace onepass::convert
