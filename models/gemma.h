// What Gemma 2 and Gemma 3 share beyond other decoders.
#pragma once

#include "models/decoder.h"

namespace onepass::models {

inline constexpr TensorSource kGemmaTensors[] = {
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
    {Slot::attn_post_norm_w, "layers.{i}.post_attention_layernorm.weight", Dim::one, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.gate_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_up_w, "layers.{i}.mlp.up_proj.weight", Dim::F, Dim::D},
    {Slot::ffn_down_w, "layers.{i}.mlp.down_proj.weight", Dim::D, Dim::F},
    {Slot::ffn_norm_w, "layers.{i}.pre_feedforward_layernorm.weight", Dim::one, Dim::D},
    {Slot::ffn_post_norm_w, "layers.{i}.post_feedforward_layernorm.weight", Dim::one, Dim::D},
    {Slot::final_norm_w, "norm.weight", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

constexpr ArchSpec gemma_arch(bool qk_norm) {
  ArchSpec arch = kDecoderArch;
  arch.norm_place = NormPlace::sandwich;
  arch.qk_norm = qk_norm;
  return arch;
}

// Biases, the scales of scores and embeddings, and windows in all layers but every `global_every`-th, the last of each
// group, where layer_types does not say otherwise.
Status read_gemma(const JsonNode& json, uint32_t global_every, SourceModel& model);

}  // namespace onepass::models
