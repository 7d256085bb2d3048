// What each architecture of GGUF calls its sizes and tensors, and what transformers calls them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/model.h"
#include "formats/json/json.h"

namespace onepass::convert {

// How a tensor's rows in the file become the checkpoint's.
enum class Edit : uint8_t {
  none,
  first_third,  // of three equal parts: queries, keys, values
  second_third,
  last_third,
  heads,      // rows of a head in pairs (2i, 2i+1), which transformers has as (i, i + half)
  kv_heads,   // the same, for as many heads as there are of keys
  less_one,   // Gemma's norms have 1 added
  after_pad,  // RoBERTa's position table lacks the rows up to the padding's; they are 0 in a trained model
};

struct TensorRow {
  const char* source;  // in the file; "{i}" is the layer
  const char* name;    // in the checkpoint, after the class's prefix
  Edit edit = Edit::none;
};

struct KeyRow {
  const char* key;    // after the architecture's name and a dot
  const char* name;   // in config.json
  bool real = false;  // float32, else uint32
};

struct GgufArchitecture {
  const char* name;                    // general.architecture
  const char* tokenizer;               // tokenizer.ggml.model, where one architecture has several families; null: any
  bool (*is)(const GgufModel& model);  // further tells families apart; null: always
  const char* class_name;              // of the checkpoint
  std::span<const KeyRow> keys;
  std::span<const TensorRow> tensors;
  std::span<const TensorRow> head;  // by whole names; all of them, or the file lacks its head
  // What keys alone cannot say. `notes` may be null.
  Status (*complete)(const GgufModel& model, Json& config, std::vector<std::string>* notes);
  // Tensors that a classifier does not need.
  std::span<const char* const> ignored{};
  // Keys of config.json that only the head depends on and the file does not hold: null, or why they are missing.
  const char* head_needs = nullptr;
};

std::span<const GgufArchitecture> gguf_architectures() noexcept;

// As the shortest decimal that means this float, which is what config.json had.
double shortest(float value);

// A number of the architecture's own keys.
std::string arch_key(const GgufModel& model, const char* key);

}  // namespace onepass::convert
