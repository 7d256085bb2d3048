// How far logits are from those of f32.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace onepass::quantise {

struct LogitChange {
  double sensitivity = 0;  // the mean of the squared differences, each in units of its logit's variance over the texts
  double mean = 0, max = 0;
};

class Distance {
 public:
  Distance(std::vector<float> f32, size_t classes) : f32_(std::move(f32)), inverse_variance_(classes) {
    const size_t rows = f32_.size() / classes;
    for (size_t c = 0; c < classes; ++c) {
      double sum = 0, squares = 0;
      for (size_t r = 0; r < rows; ++r) {
        const double x = static_cast<double>(f32_[r * classes + c]);
        sum += x;
        squares += x * x;
      }
      const double mean = sum / static_cast<double>(rows);
      inverse_variance_[c] = 1 / std::max(squares / static_cast<double>(rows) - mean * mean, 1e-12);
    }
  }
  LogitChange measure(const std::vector<float>& logits) const {
    LogitChange out;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double difference = std::fabs(static_cast<double>(logits[i]) - static_cast<double>(f32_[i]));
      out.sensitivity += difference * difference * inverse_variance_[i % inverse_variance_.size()];
      out.mean += difference;
      out.max = std::max(out.max, difference);
    }
    out.sensitivity /= static_cast<double>(logits.size());
    out.mean /= static_cast<double>(logits.size());
    return out;
  }

 private:
  std::vector<float> f32_;
  std::vector<double> inverse_variance_;
};

}  // namespace onepass::quantise
