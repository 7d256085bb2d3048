// What is said of a set of times: order statistics alone, since a shared machine's disturbances make means useless.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace onepass::bench {

// Quantile by linear interpolation between order statistics (the definition of NumPy's default). NaN for no samples,
// for a NaN among them, and for q outside [0,1].
double quantile(std::span<const double> samples, double q);

struct Summary {
  double min = 0, p10 = 0, median = 0, p90 = 0, max = 0;
  size_t samples = 0;
  // Samples above median + 5 sigma, sigma being 1.4826 times the median absolute deviation, and 1 % of the median at
  // least: rounds in which something else ran. They are counted, never dropped: order statistics bear them.
  size_t outliers = 0;

  // (p90 - p10) / median, in percent.
  double spread_percent() const { return 100 * (p90 - p10) / median; }
};

// Requires at least one sample.
Summary summarize(std::span<const double> samples);

// The median of a[i] / b[i]: what the rounds have in common, the clock's frequency above all, cancels. NaN when the
// lengths differ or there are none.
double median_ratio(std::span<const double> a, std::span<const double> b);

// For output: `value` with that many decimals, 0 where it is not finite.
double rounded(double value, int decimals);

}  // namespace onepass::bench
