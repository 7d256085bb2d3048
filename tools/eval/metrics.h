// Task metrics, as the literature and scikit-learn define them. Scores are [N,C] row-major, gold labels [N,C] of 0
// and 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace onepass::eval {

struct LabelMetrics {
  double macro_f1 = 0;  // mean over labels of 2 tp / (2 tp + fp + fn), 0 where the denominator is 0
  double micro_f1 = 0;  // the same of the sums over labels
  // Mean average precision over the labels that occur: sum of (R_i - R_{i-1}) P_i over distinct scores. NaN where no
  // label occurs.
  double macro_ap = 0;
  // Expected calibration error: all N x C scores in 15 equal bins, weighted |mean score - mean gold|.
  double ece = 0;
};

// `predicted` [N,C]: 1 where a label applies.
LabelMetrics label_metrics(std::span<const float> scores, std::span<const uint8_t> predicted,
                           std::span<const uint8_t> gold, size_t classes);

// Average precision of one label; NaN where no gold is 1, or a score is NaN.
double average_precision(std::span<const float> scores, std::span<const uint8_t> gold);

// Of two series of the same length. NaN where one has no variance.
double pearson(std::span<const double> a, std::span<const double> b);
// Lin's concordance: 2 cov / (var a + var b + (mean a - mean b)^2), population moments.
double concordance(std::span<const double> a, std::span<const double> b);
double mean_absolute_error(std::span<const double> a, std::span<const double> b);

}  // namespace onepass::eval
