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
  HeadKind kind{};
  // Of heads with labels: shares of texts (token_label: of tokens) with the same label, or the same set of them, and
  // with the same highest one. KL divergence of the candidate's distribution from the reference's, in nats; of
  // multi_label the mean over the labels' two outcomes.
  double agreement = 0, top_agreement = 0;
  double mean_kl = 0, max_kl = 0;
  // Of regression, after the range.
  double max_value_difference = 0, mean_value_difference = 0;

  bool has_labels() const { return kind != HeadKind::regression; }
};

// What a stage of the pass leaves behind ("embed", "layers.0", ...): the norm of the difference over that of the
// reference, of all rows together.
struct StageReport {
  std::string name;
  double relative_error = 0;
};

struct TextReport {
  size_t text = 0;
  double difference = 0;  // the largest of its logits
  bool same_labels = true;
};

struct Report {
  double max_difference = 0, mean_difference = 0;  // of logits
  std::vector<HeadReport> heads;
  std::vector<StageReport> stages;     // of texts with the same tokens in both
  std::vector<TextReport> worst;       // ten at most, the worst first
  size_t texts = 0, other_tokens = 0;  // those whose tokens are not the same in both
  size_t reference_tokens = 0, candidate_tokens = 0;
  // Texts whose tokens the heads label and are not the same number in both: nothing else counts them.
  size_t not_compared = 0;
};

// The contents have the same heads; each tokenises the texts itself. `progress` is called with the number of texts
// done.
Result<Report> compare(const ModelContent& reference, const ModelContent& candidate,
                       const std::vector<std::string>& texts, const std::function<void(size_t)>& progress) noexcept;

// For people, line by line.
std::string report_text(const Report& report);

}  // namespace onepass::convert
