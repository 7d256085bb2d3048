// Timing of one function in this process: medians of repeated samples, never a single run.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace onepass::bench {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Timing {
  double min = 0, median = 0, p90 = 0;  // seconds a call
};

// Quantile by linear interpolation between order statistics; sorts `samples`.
inline double quantile(std::vector<double>& samples, double q) {
  std::sort(samples.begin(), samples.end());
  const double at = q * static_cast<double>(samples.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, samples.size() - 1);
  return samples[low] + (samples[high] - samples[low]) * (at - static_cast<double>(low));
}

// Calls f for about `budget` seconds after a warm-up, in at least `least` samples of one call or, for short calls, of
// as many as take 0.2 ms, so that the clock's resolution does not matter.
template <class F>
Timing measure(F&& f, double budget = 0.5, size_t least = 15) {
  f();
  const double start = seconds_now();
  f();
  const double once = std::max(seconds_now() - start, 1e-9);
  const auto calls = std::max<size_t>(1, static_cast<size_t>(2e-4 / once));
  const auto samples_wanted =
      std::max<size_t>(least, static_cast<size_t>(budget / (once * static_cast<double>(calls))));
  std::vector<double> samples;
  const double begin = seconds_now();
  for (size_t i = 0; i < samples_wanted && (i < least || seconds_now() - begin < budget); ++i) {
    const double t = seconds_now();
    for (size_t c = 0; c < calls; ++c) f();
    samples.push_back((seconds_now() - t) / static_cast<double>(calls));
  }
  Timing timing;
  timing.min = quantile(samples, 0);
  timing.median = quantile(samples, 0.5);
  timing.p90 = quantile(samples, 0.9);
  return timing;
}

}  // namespace onepass::bench
