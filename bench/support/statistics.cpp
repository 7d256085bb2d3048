#include "bench/support/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace onepass::bench {

double quantile(std::span<const double> samples, double q) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (samples.empty() || !(q >= 0 && q <= 1)) return nan;
  if (std::any_of(samples.begin(), samples.end(), [](double s) { return std::isnan(s); })) return nan;
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - static_cast<double>(low));
}

Summary summarize(std::span<const double> samples) {
  Summary s;
  s.samples = samples.size();
  s.min = quantile(samples, 0);
  s.p10 = quantile(samples, 0.1);
  s.median = quantile(samples, 0.5);
  s.p90 = quantile(samples, 0.9);
  s.max = quantile(samples, 1);
  std::vector<double> deviations;
  for (const double x : samples) deviations.push_back(std::abs(x - s.median));
  const double sigma = std::max(1.4826 * quantile(deviations, 0.5), 0.01 * s.median);
  s.outliers = static_cast<size_t>(
      std::count_if(samples.begin(), samples.end(), [&](double x) { return x > s.median + 5 * sigma; }));
  return s;
}

double median_ratio(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size() || a.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return quantile(ratios, 0.5);
}

double rounded(double value, int decimals) {
  const double scale = std::pow(10, decimals);
  return std::isfinite(value) ? std::round(value * scale) / scale : 0;
}

}  // namespace onepass::bench
