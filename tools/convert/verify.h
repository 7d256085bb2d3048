// Two versions of a model side by side on real texts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"

namespace onepass::convert {

struct HeadReport {
  std::string name;
  bool has_labels = false;  // single_label, multi_label
  double agreement = 0;     // share of texts with the same label, or the same set of labels; token_label: of tokens
  double max_value_difference = 0;  // regression
};

struct Report {
  double max_difference = 0, mean_difference = 0;  // of logits
  size_t worst_text = 0;
  std::vector<HeadReport> heads;
};

// The contents have the same heads and tokenizer. `progress` is called with the number of texts done.
Result<Report> compare(const ModelContent& reference, const ModelContent& candidate,
                       const std::vector<std::string>& texts, const std::function<void(size_t)>& progress) noexcept;

}  // namespace onepass::convert
