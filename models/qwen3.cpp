// Qwen3. Yang et al. 2025, arXiv:2505.09388.
// Oracle: transformers 5.23.0, Qwen3ForSequenceClassification.
// Versus Qwen2: a norm of each head of queries and of keys before they turn; biases only where attention_bias says so;
// heads of a width of their own.
#include "models/decoder.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"Qwen3ForSequenceClassification", "model.", kScoreHead},
    {"Qwen3ForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"Qwen3Model", "", {}},
};

Status refine(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_decoder(json, model));
  ONEPASS_TRY_ASSIGN(attention_bias, read_flag(json, "attention_bias"));
  set_biased(model.config.arch, attention_bias ? attention_parts : 0);
  ONEPASS_TRY(read_windows_from_a_layer(json, model.config));
  return read_rotary(json, {}, model);
}

constexpr ArchSpec arch() {
  ArchSpec a = kDecoderArch;
  a.qk_norm = 1;
  return a;
}

}  // namespace

constinit const Family qwen3 = {
    .name = "qwen3",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch = arch(),
    .act_key = "hidden_act",
    .eps_key = "rms_norm_eps",
    .head_width_key = "head_dim",
    .sizes = kDecoderSizes,
    .fixed = {},
    .tensors = kDecoderTensors,
    .refine = refine,
    .ignored = kDecoderIgnored,
};

}  // namespace onepass::models
