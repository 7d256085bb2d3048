// Rotary positions as config.json describes them: radians a position, in the reference implementation's arithmetic.
#pragma once

#include <vector>

#include "formats/json/json.h"
#include "models/family.h"

namespace onepass::models {

// 1 / theta^(i / width) for i = 0, 2, ..., below width.
std::vector<float> rotary_frequencies(double theta, uint32_t width);

struct RotaryKeys {
  bool partial = false;           // partial_rotary_factor applies
  uint32_t default_original = 0;  // of original_max_position_embeddings; 0: max_position_embeddings
};

// Fills rotary_global and, for longrope, rotary_long, rotary_original and rotary_factor, from rope_parameters or, as it
// was before transformers 5, rope_scaling beside rope_theta. Types: default, linear, llama3, yarn, longrope.
Status read_rotary(const JsonNode& json, const RotaryKeys& keys, SourceModel& model);

// The same for rope_parameters with a set for full_attention and one for sliding_attention: rotary_global and, where
// there is a window, rotary_local. Before transformers 5: rope_theta with rope_scaling, and rope_local_base_freq.
Status read_rotary_by_layer(const JsonNode& json, double theta, double local_theta, SourceModel& model);

}  // namespace onepass::models
