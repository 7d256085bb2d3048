// What a confidence is worth: how right the texts are that it keeps, and how far it is from how right they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace onepass::eval {

// One labelled text, judged.
struct Judged {
  float confidence = 0;
  bool right = false;               // its best label is among the true ones
  bool eligible = true;             // no rule but that of the confidence sends it away
  uint32_t tp = 0, fp = 0, fn = 0;  // of its labels
};

// The texts with at least that confidence that are eligible, and the others.
struct Kept {
  double threshold = 0;
  double share = 0;          // kept, of all
  double accuracy = 0;       // share of right ones among those kept; NaN where none is
  double micro_f1 = 0;       // of the labels of those kept
  double accuracy_sent = 0;  // of the others; NaN where there is none
};
Kept keep(std::span<const Judged> texts, double threshold);

// Bins of equal width over 0..1: the last has 1, too.
struct Bin {
  double mean_score = 0;  // NaN where it is empty
  double share_true = 0;
  size_t count = 0;
};
std::vector<Bin> reliability(std::span<const float> scores, std::span<const uint8_t> truth, size_t bins);
// The gaps between mean score and share of true ones, weighted by counts.
double calibration_error(std::span<const Bin> bins);

// An SVG of the unit square, with percent on both axes.
std::string trade_off_svg(const std::string& title, std::span<const Kept> curve, const Kept& chosen);
struct Diagram {
  std::string name;
  std::vector<Bin> bins;
};
std::string reliability_svg(const std::string& title, std::span<const Diagram> diagrams);

}  // namespace onepass::eval
