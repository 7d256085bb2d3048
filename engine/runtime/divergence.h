// Divergence: how far two answers of the same head are apart, for apps that ask a second model about some texts. It
// needs the scores of both and never the text.
#pragma once

#include <cstdint>
#include <span>

#include "formats/onepass/model_file.h"

namespace onepass {

struct Divergence {
  // single_label: half the sum of |a - b|. multi_label: the same of each label's two outcomes, which is |a - b|,
  // averaged over the labels. Regression: 0.
  float total_variation = 0;
  // single_label: 1 where the label differs. multi_label: how many labels apply in one and not in the other.
  uint32_t label_flips = 0;
  // Regression: the Euclidean distance between the values.
  float distance = 0;
};

// a and b hold the scores of the head's C classes.
Divergence divergence(const HeadView& head, std::span<const float> a, std::span<const float> b) noexcept;

}  // namespace onepass
