#include "tools/quantise/centre.h"

#include <algorithm>

namespace onepass::quantise {

std::vector<double> mean_shifts(std::span<const float> f32, std::span<const float> logits, size_t classes) {
  std::vector<double> shifts(classes, 0.0);
  const size_t rows = f32.size() / classes;
  if (rows < 2) return shifts;
  const auto count = static_cast<double>(rows);
  for (size_t c = 0; c < classes; ++c) {
    const auto difference = [&](size_t row) {
      const size_t at = row * classes + c;
      return static_cast<double>(f32[at]) - static_cast<double>(logits[at]);
    };
    double mean = 0, squares = 0;
    for (size_t r = 0; r < rows; ++r) mean += difference(r) / count;
    for (size_t r = 0; r < rows; ++r) squares += (difference(r) - mean) * (difference(r) - mean);
    // The positive part of what is left of the mean's square when its variance is taken off (James and Stein 1961).
    const double variance = squares / (count - 1) / count;
    if (mean * mean > variance) shifts[c] = mean * (1 - variance / (mean * mean));
  }
  return shifts;
}

Result<std::vector<size_t>> centre_heads(Workbench& bench, const Texts& texts, std::span<const float> f32) {
  std::vector<size_t> changed;
  // The rows of such a head are words, and a class is more than one of them.
  if (bench.config().has_words()) return changed;
  ONEPASS_TRY_ASSIGN(logits, bench.logits(texts, {}));
  const std::vector<double> shifts = mean_shifts(f32, logits, bench.model().total_classes());
  size_t first = 0;
  for (uint32_t head = 0; head < bench.model().heads().size(); ++head) {
    const size_t classes = bench.model().heads()[head].labels.size(), bias = bench.find(Slot::head_b, head);
    if (bias != bench.tensors().size()) {
      std::vector<float> values = bench.read(bias);
      for (size_t c = 0; c < classes; ++c) {
        values[c] = static_cast<float>(static_cast<double>(values[c]) + shifts[first + c]);
      }
      ONEPASS_TRY(bench.write(bias, values));
      changed.push_back(bias);
    }
    first += classes;
  }
  return changed;
}

}  // namespace onepass::quantise
