// What the decoder families share: sizes, tensors, biases, windows and the token that is pooled.
#pragma once

#include "formats/json/json.h"
#include "models/family.h"

namespace onepass::models {

inline constexpr SizeKey kDecoderSizes[] = {
    {"vocab_size", &Config::vocab},
    {"hidden_size", &Config::width},
    {"num_hidden_layers", &Config::layers},
    {"num_attention_heads", &Config::heads},
    {"intermediate_size", &Config::ffn_width},
    {"max_position_embeddings", &Config::max_tokens},
};

inline constexpr TensorSource kDecoderTensors[] = {
    {Slot::embed_token, "embed_tokens.weight", Dim::V, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.q_proj.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.k_proj.weight", Dim::GE, Dim::D},
    {Slot::attn_qkv_w, "layers.{i}.self_attn.v_proj.weight", Dim::GE, Dim::D},
    {Slot::attn_qkv_b, "layers.{i}.self_attn.q_proj.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "layers.{i}.self_attn.k_proj.bias", Dim::one, Dim::GE},
    {Slot::attn_qkv_b, "layers.{i}.self_attn.v_proj.bias", Dim::one, Dim::GE},
    {Slot::attn_q_norm_w, "layers.{i}.self_attn.q_norm.weight", Dim::one, Dim::E},
    {Slot::attn_k_norm_w, "layers.{i}.self_attn.k_norm.weight", Dim::one, Dim::E},
    {Slot::attn_out_w, "layers.{i}.self_attn.o_proj.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "layers.{i}.self_attn.o_proj.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "layers.{i}.input_layernorm.weight", Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.gate_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.up_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, "layers.{i}.mlp.gate_proj.bias", Dim::one, Dim::F},
    {Slot::ffn_up_b, "layers.{i}.mlp.up_proj.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, "layers.{i}.mlp.down_proj.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "layers.{i}.mlp.down_proj.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "layers.{i}.post_attention_layernorm.weight", Dim::one, Dim::D},
    {Slot::final_norm_w, "norm.weight", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

inline constexpr TensorSource kScoreHead[] = {
    {Slot::head_w, "score.weight", Dim::C, Dim::D},
};

inline constexpr const char* kOutput = "lm_head.weight";

inline constexpr std::string_view kDecoderIgnored[] = {
    "layers.{i}.self_attn.rotary_emb.inv_freq",  // a buffer that old releases saved
};

inline constexpr ArchSpec kDecoderArch = {
    .norm = Norm::rms_norm,
    .norm_place = NormPlace::pre,
    .position = Position::rotary,
    .mask = Mask::causal,
    .ffn = Ffn::gated,
    .final_norm = 1,
};

// num_key_value_heads, and the token that transformers pools: the last one that is not pad_token_id.
Status read_decoder(const JsonNode& json, SourceModel& model);

// The key as a flag; false where it is absent.
Result<bool> read_flag(const JsonNode& json, const char* key);

// Biases in these parts and in no other: a sum of Part.
void set_biased(ArchSpec& arch, uint32_t parts);
constexpr uint32_t attention_parts = static_cast<uint32_t>(Part::qkv) | static_cast<uint32_t>(Part::attn_out);

// sliding_window for the layers that `windowed` names, one a layer.
Status set_windows(const JsonNode& json, const std::vector<bool>& windowed, Config& config);
// layer_types where config.json has it, else `windowed`.
Status read_windows(const JsonNode& json, std::vector<bool> windowed, Config& config);

// The same, where windows need use_sliding_window and without layer_types are in the layers from max_window_layers on.
Status read_windows_from_a_layer(const JsonNode& json, Config& config);

// A checkpoint of Gemma stores the weights of norms less 1.
bool add_one_to_norms(Slot slot, const SourceModel& model, TensorParts parts, std::vector<float>& out);

}  // namespace onepass::models
