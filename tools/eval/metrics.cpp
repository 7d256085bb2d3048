#include "tools/eval/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace onepass::eval {

namespace {

double f1(double tp, double fp, double fn) {
  const double denominator = 2 * tp + fp + fn;
  return denominator == 0 ? 0 : 2 * tp / denominator;
}

struct Moments {
  double mean_a = 0, mean_b = 0, var_a = 0, var_b = 0, covariance = 0;
};

Moments moments(std::span<const double> a, std::span<const double> b) {
  const auto n = static_cast<double>(a.size());
  Moments m;
  m.mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  m.mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  for (size_t i = 0; i < a.size(); ++i) {
    const double da = a[i] - m.mean_a, db = b[i] - m.mean_b;
    m.var_a += da * da / n;
    m.var_b += db * db / n;
    m.covariance += da * db / n;
  }
  return m;
}

}  // namespace

double average_precision(std::span<const float> scores, std::span<const uint8_t> gold) {
  const double positives = static_cast<double>(std::count(gold.begin(), gold.end(), 1));
  const bool ordered = std::none_of(scores.begin(), scores.end(), [](float s) { return std::isnan(s); });
  if (positives == 0 || !ordered) return std::numeric_limits<double>::quiet_NaN();
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return scores[x] > scores[y]; });
  double found = 0, sum = 0, recall_before = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    found += gold[order[i]];
    // Equal scores are one threshold.
    if (i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]]) continue;
    const double recall = found / positives;
    sum += (recall - recall_before) * found / static_cast<double>(i + 1);
    recall_before = recall;
  }
  return sum;
}

LabelMetrics label_metrics(std::span<const float> scores, std::span<const uint8_t> predicted,
                           std::span<const uint8_t> gold, size_t classes) {
  LabelMetrics m;
  if (scores.empty()) return m;
  const size_t n = scores.size() / classes;
  double tp_all = 0, fp_all = 0, fn_all = 0, ap_labels = 0;
  std::vector<float> column(n);
  std::vector<uint8_t> gold_column(n);
  for (size_t c = 0; c < classes; ++c) {
    double tp = 0, fp = 0, fn = 0;
    for (size_t i = 0; i < n; ++i) {
      const bool p = predicted[i * classes + c] != 0, g = gold[i * classes + c] != 0;
      tp += p && g;
      fp += p && !g;
      fn += !p && g;
      column[i] = scores[i * classes + c];
      gold_column[i] = g;
    }
    m.macro_f1 += f1(tp, fp, fn) / static_cast<double>(classes);
    tp_all += tp;
    fp_all += fp;
    fn_all += fn;
    if (tp + fn > 0) {
      m.macro_ap += average_precision(column, gold_column);
      ap_labels += 1;
    }
  }
  m.micro_f1 = f1(tp_all, fp_all, fn_all);
  m.macro_ap = ap_labels > 0 ? m.macro_ap / ap_labels : std::numeric_limits<double>::quiet_NaN();
  constexpr size_t kBins = 15;
  std::array<double, kBins> score_sum{}, gold_sum{};
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto bin = std::min(kBins - 1, static_cast<size_t>(std::max(0.0f, scores[i]) * float{kBins}));
    score_sum[bin] += static_cast<double>(scores[i]);
    gold_sum[bin] += gold[i];
  }
  for (size_t b = 0; b < kBins; ++b)
    m.ece += std::fabs(score_sum[b] - gold_sum[b]) / static_cast<double>(scores.size());
  return m;
}

double pearson(std::span<const double> a, std::span<const double> b) {
  // The rounding of a mean gives equal values a variance: it would be correlated.
  const auto constant = [](std::span<const double> x) {
    return std::all_of(x.begin(), x.end(), [&](double value) { return value == x[0]; });
  };
  if (constant(a) || constant(b)) return std::numeric_limits<double>::quiet_NaN();
  const Moments m = moments(a, b);
  return m.covariance / std::sqrt(m.var_a * m.var_b);
}

double concordance(std::span<const double> a, std::span<const double> b) {
  const Moments m = moments(a, b);
  const double gap = m.mean_a - m.mean_b;
  return 2 * m.covariance / (m.var_a + m.var_b + gap * gap);
}

double mean_absolute_error(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

}  // namespace onepass::eval
