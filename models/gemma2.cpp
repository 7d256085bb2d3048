// Gemma 2. Gemma Team 2024, arXiv:2408.00118.
// Oracle: transformers 5.23.0, Gemma2ForSequenceClassification with attn_implementation="eager" (others leave the
// softcap out) in f32 (in bf16 the scale of the embeddings is rounded).
// Versus Llama: a norm after each block too; norms whose weights are stored less 1; tanh-gelu; embeddings scaled by
// sqrt(D); scores scaled by query_pre_attn_scalar^-1/2 and softcapped; a window in every other layer, the first
// included.
#include "models/gemma.h"

#include <cmath>

#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

Status read_gemma(const JsonNode& json, uint32_t global_every, SourceModel& model) {
  Config& config = model.config;
  ONEPASS_TRY(read_decoder(json, model));
  ONEPASS_TRY_ASSIGN(head_width, json.u64("head_dim", 1, kernels::max_head_width));
  config.head_width = static_cast<uint32_t>(head_width);
  ONEPASS_TRY_ASSIGN(attention_bias, read_flag(json, "attention_bias"));
  set_biased(config.arch, attention_bias ? attention_parts : 0);
  ONEPASS_TRY_ASSIGN(scalar, json.number("query_pre_attn_scalar"));
  if (!(scalar > 0)) {
    return make_error(Code::bad_value, Error::no_offset, json.path_of("query_pre_attn_scalar"), "it must be above 0");
  }
  config.attn_scale = 1 / std::sqrt(scalar);
  config.embed_scale = std::sqrt(static_cast<double>(config.width));
  std::vector<bool> windowed;
  for (uint32_t l = 0; l < config.layers; ++l) windowed.push_back((l + 1) % global_every != 0);
  return read_windows(json, std::move(windowed), config);
}

namespace {

constexpr SourceClass kClasses[] = {
    {"Gemma2ForSequenceClassification", "model.", kScoreHead},
    {"Gemma2ForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, true},
    {"Gemma2Model", "", {}},
};

constexpr FixedKey kFixed[] = {
    {"use_bidirectional_attention", "false"},
};

Status refine(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_gemma(json, 2, model));
  if (json.has("attn_logit_softcapping")) {
    ONEPASS_TRY_ASSIGN(cap, json.number("attn_logit_softcapping"));
    model.config.attn_softcap = cap;
  }
  return read_rotary(json, {}, model);
}

}  // namespace

constinit const Family gemma2 = {
    .name = "gemma2",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch = gemma_arch(false),
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
