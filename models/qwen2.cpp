// Qwen2 and Qwen2.5. Yang et al. 2024, arXiv:2407.10671 and arXiv:2412.15115.
// Oracle: transformers 5.23.0, Qwen2ForSequenceClassification.
// Versus Llama: biases of queries, keys and values; where use_sliding_window is set, windows from layer
// max_window_layers on.
#include "models/decoder.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"Qwen2ForSequenceClassification", "model.", kScoreHead},
    {"Qwen2ForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"Qwen2Model", "", {}},
};

Status refine(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_decoder(json, model));
  set_biased(model.config.arch, static_cast<uint32_t>(Part::qkv));
  ONEPASS_TRY(read_windows_from_a_layer(json, model.config));
  return read_rotary(json, {}, model);
}

}  // namespace

constinit const Family qwen2 = {
    .name = "qwen2",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch = kDecoderArch,
    .act_key = "hidden_act",
    .eps_key = "rms_norm_eps",
    .sizes = kDecoderSizes,
    .fixed = {},
    .tensors = kDecoderTensors,
    .refine = refine,
    .ignored = kDecoderIgnored,
};

}  // namespace onepass::models
