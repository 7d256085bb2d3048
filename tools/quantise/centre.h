// What the logits of a quantised model are off by on average, taken up by the biases of its heads: thresholds were
// chosen for the logits of f32.
#pragma once

#include <span>
#include <vector>

#include "tools/quantise/workbench.h"

namespace onepass::quantise {

// What to add to each class so that the mean over rows of `logits` is that of `f32`, both [rows, classes]: as much of
// the mean difference as is not chance by the spread of the differences. Afterwards no mean is off by more than its
// standard error. Nothing for fewer than two rows.
std::vector<double> mean_shifts(std::span<const float> f32, std::span<const float> logits, size_t classes);

// Adds the shifts to the biases of the heads, where there are any, and returns these tensors. `f32` are the logits of
// `texts` before anything was exchanged.
Result<std::vector<size_t>> centre_heads(Workbench& bench, const Texts& texts, std::span<const float> f32);

}  // namespace onepass::quantise
