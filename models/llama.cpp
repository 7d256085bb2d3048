// Llama 2 and 3.x. Touvron et al. 2023, arXiv:2307.09288; Grattafiori et al. 2024, arXiv:2407.21783. SmolLM2 is one
// (Ben Allal et al. 2025, arXiv:2502.02737). Mistral and Mistral Nemo: Jiang et al. 2023, arXiv:2310.06825.
// Oracle: transformers 5.23.0, LlamaForSequenceClassification and MistralForSequenceClassification.
// Versus BERT: RMSNorm before each block and at the end; a causal mask; rotary positions; keys and values shared by
// groups of heads; silu-gated feed-forward blocks; no biases; the last token is pooled, and score is the head.
// Mistral adds a window, and never has a bias.
#include "models/decoder.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kLlamaClasses[] = {
    {"LlamaForSequenceClassification", "model.", kScoreHead},
    {"LlamaForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"LlamaModel", "", {}},
};
constexpr SourceClass kMistralClasses[] = {
    {"MistralForSequenceClassification", "model.", kScoreHead},
    {"MistralForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"MistralModel", "", {}},
};

Status refine_llama(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_decoder(json, model));
  ONEPASS_TRY_ASSIGN(attention_bias, read_flag(json, "attention_bias"));
  ONEPASS_TRY_ASSIGN(mlp_bias, read_flag(json, "mlp_bias"));
  set_biased(model.config.arch,
             (attention_bias ? attention_parts : 0) | (mlp_bias ? static_cast<uint32_t>(Part::ffn) : 0));
  return read_rotary(json, {}, model);
}

Status refine_mistral(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_decoder(json, model));
  ONEPASS_TRY(set_windows(json, std::vector<bool>(model.config.layers, json.has("sliding_window")), model.config));
  return read_rotary(json, {}, model);
}

constexpr Family family(const char* name, std::span<const SourceClass> classes,
                        Status (*refine)(const JsonNode&, SourceModel&)) {
  return {
      .name = name,
      .oracle = "transformers 5.23.0",
      .classes = classes,
      .arch = kDecoderArch,
      .act_key = "hidden_act",
      .eps_key = "rms_norm_eps",
      .head_width_key = "head_dim",
      .sizes = kDecoderSizes,
      .fixed = {},
      .tensors = kDecoderTensors,
      .refine = refine,
      .ignored = kDecoderIgnored,
  };
}

}  // namespace

constinit const Family llama = family("llama", kLlamaClasses, refine_llama);
constinit const Family mistral = family("mistral", kMistralClasses, refine_mistral);

}  // namespace onepass::models
