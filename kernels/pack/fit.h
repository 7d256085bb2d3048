// Fit: scales, steps and zeros that hold some weights best, for quantisers that choose the codes themselves.
// `importance`, where it is not null, weighs the squared error of each weight; all of them >= 0.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "kernels/layouts.h"

namespace onepass::kernels {

// A group of an int4 layout of whole steps, under its channel's scale: value = (nibble - zero) * step * scale.
struct StepGroup {
  int step = 0, zero = 8;
  double error = 0;  // squared, weighted
};
StepGroup fit_step_group(const float* w, const float* importance, size_t count, float scale);
// The scale of a channel of k inputs whose largest |w| is 1, and its groups; groups.size() = ceil(k / group).
float fit_step_channel(const float* w, const float* importance, size_t k, size_t group, std::vector<StepGroup>& groups);

// A group with an f16 scale: value = (nibble - 8) * scale, or nibble * scale + minimum. Infinite where f16 cannot hold
// them.
struct HalfGroup {
  uint16_t scale = 0, minimum = 0;
};
HalfGroup fit_half_group(const float* w, const float* importance, size_t count, bool with_minimum);

// The scale of an int8 channel; 1 where the weights are (almost) 0. Without importance it is that of pack().
float fit_int8_channel(const float* w, const float* importance, size_t k);

}  // namespace onepass::kernels
