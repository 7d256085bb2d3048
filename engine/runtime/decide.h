// From logits to scores, labels and a confidence.
#pragma once

#include <span>

#include "formats/onepass/model_file.h"

namespace onepass {

// scores[C] of one head from its logits[C]:
//   single_label  softmax(logits / temperature)
//   token_label   the same, of one token
//   multi_label   sigmoid(logits / temperature)
//   regression    logits, clamped to the head's range
void head_scores(const HeadView& head, std::span<const float> logits, std::span<float> scores) noexcept;

// True where a label applies: the best one of single_label and token_label (the first of equals), every one at or above
// its threshold of multi_label; never for regression.
bool label_applies(const HeadView& head, std::span<const float> scores, size_t label) noexcept;

// How sure a label head is, 0..1: its highest score. Regression has none: 1.
float head_confidence(const HeadView& head, std::span<const float> scores) noexcept;

// The scores of every head, side by side like the logits; returns the confidence of the first label head, 1 where there
// is none.
float all_scores(std::span<const HeadView> heads, const float* logits, float* scores) noexcept;

}  // namespace onepass
