// Classification heads as a checkpoint describes them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/arch/head.h"
#include "engine/core/result.h"
#include "formats/json/json.h"

namespace onepass {

constexpr size_t kMaxHeadLabels = 65'536;

struct HeadSpec {
  std::string name;  // 1 to 64 of A-Z a-z 0-9 _ -
  HeadKind kind = HeadKind::single_label;
  std::vector<std::string> labels;            // by class: unique names of 1 to 255 bytes
  std::vector<float> thresholds;              // multi_label: one a label, in [0, 1]; else empty
  float temperature = 1;                      // logits are divided by it
  std::optional<std::array<float, 2>> range;  // regression: values are clamped to [low, high], low < high
};

// The head of a Hugging Face ...ForSequenceClassification checkpoint has no name of its own; this is ours.
constexpr std::string_view kClassifierHead = "classifier";
constexpr float kDefaultThreshold = 0.5f;

// "single_label", "multi_label", "regression", "token_label".
const char* name_of(HeadKind kind) noexcept;
std::optional<HeadKind> find_head_kind(std::string_view name) noexcept;

// The checks of HeadSpec's comments; `where` is the place in an error.
Status check_head(const HeadSpec& head, const std::string& where) noexcept;

// The head that config.json describes. Labels are id2label in the order of its numbers; without id2label they are
// transformers' LABEL_0, LABEL_1, ... for num_labels (2 where that is absent too). The kind is `kind` where given,
// else problem_type; without either it is unknown what the numbers mean, which is an error (missing_key).
Result<HeadSpec> read_classifier_head(const JsonNode& config, std::optional<HeadKind> kind = std::nullopt) noexcept;

}  // namespace onepass
