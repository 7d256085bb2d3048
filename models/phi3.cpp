// Phi-3, Phi-3.5 and Phi-4-mini. Abdin et al. 2024, arXiv:2404.14219; Abouelenin et al. 2025, arXiv:2503.01743.
// Oracle: transformers 5.23.0, Phi3ForSequenceClassification.
// Versus Llama: queries, keys and values in one tensor, and gate and up in one; a window in every layer; the part of a
// head that turns (partial_rotary_factor); longrope.
#include "models/decoder.h"
#include "models/families.h"
#include "models/rotary.h"

namespace onepass::models {

namespace {

constexpr SourceClass kClasses[] = {
    {"Phi3ForSequenceClassification", "model.", kScoreHead},
    {"Phi3ForCausalLM", "model.", {}, Pool::last, false, Act::none, kOutput, false},
    {"Phi3Model", "", {}},
};

constexpr TensorSource kTensors[] = {
    {Slot::embed_token, "embed_tokens.weight", Dim::V, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.qkv_proj.weight", Dim::QKV, Dim::D},
    {Slot::attn_out_w, "layers.{i}.self_attn.o_proj.weight", Dim::D, Dim::HE},
    {Slot::attn_norm_w, "layers.{i}.input_layernorm.weight", Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.gate_up_proj.weight", Dim::U, Dim::D},  // the gate comes first
    {Slot::ffn_down_w, "layers.{i}.mlp.down_proj.weight", Dim::D, Dim::F},
    {Slot::ffn_norm_w, "layers.{i}.post_attention_layernorm.weight", Dim::one, Dim::D},
    {Slot::final_norm_w, "norm.weight", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

Status refine(const JsonNode& json, SourceModel& model) {
  ONEPASS_TRY(read_decoder(json, model));
  ONEPASS_TRY(set_windows(json, std::vector<bool>(model.config.layers, json.has("sliding_window")), model.config));
  return read_rotary(json, {.partial = true, .default_original = 4096}, model);
}

}  // namespace

constinit const Family phi3 = {
    .name = "phi3",
    .oracle = "transformers 5.23.0",
    .classes = kClasses,
    .arch = kDecoderArch,
    .act_key = "hidden_act",
    .eps_key = "rms_norm_eps",
    .head_width_key = "head_dim",
    .sizes = kDecoderSizes,
    .fixed = {},
    .tensors = kTensors,
    .refine = refine,
    .ignored = kDecoderIgnored,
};

}  // namespace onepass::models
