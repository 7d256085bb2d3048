// The encoder's tensors as BERT names them; RoBERTa and ELECTRA kept the names.
// Axes: V vocabulary, P positions, S segment types, B embedding width, D width, H heads x E width, F ffn width.
#pragma once

#include "models/family.h"

namespace onepass::models {

inline constexpr TensorSource kBertTensors[] = {
    {Slot::embed_token, "embeddings.word_embeddings.weight", Dim::V, Dim::B},
    {Slot::embed_position, "embeddings.position_embeddings.weight", Dim::P, Dim::B},
    {Slot::embed_type, "embeddings.token_type_embeddings.weight", Dim::S, Dim::B},
    {Slot::embed_norm_w, "embeddings.LayerNorm.weight", Dim::one, Dim::B},
    {Slot::embed_norm_b, "embeddings.LayerNorm.bias", Dim::one, Dim::B},
    {Slot::embed_project_w, "embeddings_project.weight", Dim::D, Dim::B},  // ELECTRA
    {Slot::embed_project_b, "embeddings_project.bias", Dim::one, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.query.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.key.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_w, "encoder.layer.{i}.attention.self.value.weight", Dim::HE, Dim::D},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.query.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.key.bias", Dim::one, Dim::HE},
    {Slot::attn_qkv_b, "encoder.layer.{i}.attention.self.value.bias", Dim::one, Dim::HE},
    {Slot::attn_out_w, "encoder.layer.{i}.attention.output.dense.weight", Dim::D, Dim::HE},
    {Slot::attn_out_b, "encoder.layer.{i}.attention.output.dense.bias", Dim::one, Dim::D},
    {Slot::attn_norm_w, "encoder.layer.{i}.attention.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::attn_norm_b, "encoder.layer.{i}.attention.output.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::ffn_up_w, "encoder.layer.{i}.intermediate.dense.weight", Dim::F, Dim::D},
    {Slot::ffn_up_b, "encoder.layer.{i}.intermediate.dense.bias", Dim::one, Dim::F},
    {Slot::ffn_down_w, "encoder.layer.{i}.output.dense.weight", Dim::D, Dim::F},
    {Slot::ffn_down_b, "encoder.layer.{i}.output.dense.bias", Dim::one, Dim::D},
    {Slot::ffn_norm_w, "encoder.layer.{i}.output.LayerNorm.weight", Dim::one, Dim::D},
    {Slot::ffn_norm_b, "encoder.layer.{i}.output.LayerNorm.bias", Dim::one, Dim::D},
    {Slot::pooler_w, "pooler.dense.weight", Dim::D, Dim::D},
    {Slot::pooler_b, "pooler.dense.bias", Dim::one, Dim::D},
};

inline constexpr std::string_view kBertIgnored[] = {
    "embeddings.position_ids",    // 0, 1, 2, ...: a buffer that old releases saved
    "embeddings.token_type_ids",  // zeros
};

inline constexpr NameAlias kBertAliases[] = {
    {".LayerNorm.weight", ".LayerNorm.gamma"},
    {".LayerNorm.bias", ".LayerNorm.beta"},
};

}  // namespace onepass::models
