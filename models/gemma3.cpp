// Gemma 3, text alone. Gemma Team 2025, arXiv:2503.19786.
// Oracle: transformers 5.23.0, Gemma3TextForSequenceClassification in f32.
// Versus Gemma 2: no softcap, but a norm of each head of queries and of keys; five layers with a window, then one
// without; layers with a window turn by frequencies of their own.
#include "models/families.h"
#include "models/gemma.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"Gemma3TextForSequenceClassification", "model.", kScoreHead},
    {"Gemma3ForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, true},
    {"Gemma3TextModel", "", {}},
};

constexpr FixedKey kFixed[] = {
    {"use_bidirectional_attention", "false"},
    {"attn_logit_softcapping", "null"},  // the reference reads it and leaves it out
};

Status refine(const JsonNode& json, SourceModel& model) {
  uint64_t every = 6;
  for (const char* key : {"_sliding_window_pattern", "sliding_window_pattern"}) {
    if (!json.has(key)) continue;
    ONEPASS_TRY_ASSIGN(given, json.u64(key, 1, max_layers));
    every = given;
  }
  ONEPASS_TRY(read_gemma(json, static_cast<uint32_t>(every), model));
  return read_rotary_by_layer(json, 1000000, 10000, model);
}

}  // namespace

constinit const Family gemma3 = {
    .name = "gemma3",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch = gemma_arch(true),
    .act_key = "hidden_activation",
    .eps_key = "rms_norm_eps",
    .head_width_key = "head_dim",
    .sizes = kDecoderSizes,
    .fixed = kFixed,
    .tensors = kGemmaTensors,
    .refine = refine,
    .compute = add_one_to_norms,
    .ignored = kDecoderIgnored,
};

}  // namespace onepass::models
