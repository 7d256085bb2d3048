// onepass.json: heads of ours beside a plain BertModel (or another encoder without a head of its own).
//
//   {"format_version": 1, "model_id": "...", "model_version": "...", "licence": "...",
//    "pooling": "first_token" | "mean" | "last", "pooler": {"activation": "tanh"} | null, "max_tokens": 512,
//    "heads": [{"name": "emotion", "kind": "multi_label", "labels": ["joy", ...],
//               "thresholds": [0.5, ...], "temperature": 1.0},
//              {"name": "pad", "kind": "regression", "labels": ["pleasure", ...], "range": [-1, 1]}]}
//
// Every key is required but thresholds (multi_label only; default 0.5 each), temperature (default 1) and range
// (regression only). The format is closed: another key is an error. The checkpoint holds a head's matrix as
// heads.<name>.weight [C,D] and heads.<name>.bias [C], C being the number of its labels.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/arch/arch.h"
#include "engine/core/result.h"
#include "formats/huggingface/heads.h"
#include "formats/json/json.h"

namespace onepass {

struct OnepassJson {
  std::string model_id;
  std::string model_version;
  std::string licence;
  Pool pooling = Pool::first_token;
  std::optional<kernels::Act> pooler_activation;  // nullopt: no pooler between encoder and heads
  uint32_t max_tokens = 0;
  std::vector<HeadSpec> heads;
};

// The activation that transformers calls `name`: "gelu", "gelu_new", "relu", "silu", "tanh", ... and their synonyms.
std::optional<kernels::Act> find_activation(std::string_view name) noexcept;

Result<OnepassJson> parse_onepass_json(const JsonNode& root) noexcept;

}  // namespace onepass
