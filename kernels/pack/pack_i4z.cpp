#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/pack/channels.h"
#include "kernels/pack/fit.h"
#include "kernels/pack/pack.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

constexpr float smallest_absmax = 1e-30f;

// Where the parts of element (channel, input) lie in a packed tensor.
struct Places {
  Layout layout;
  size_t group, panel_bytes, pair_bytes;

  Places(Layout l, size_t k)
      : layout(l), group(group_size(l)), panel_bytes(i4_panel_bytes(l, k)), pair_bytes(i4_pair_bytes(l)) {}
  size_t pair(size_t channel, size_t g) const { return channel / 32 * panel_bytes + g / 2 * pair_bytes; }
  size_t nibble(size_t channel, size_t input) const {
    const size_t i = input % group;
    return pair(channel, input / group) + i / 4 * 128 + channel % 32 * 4 + i % 4;
  }
  unsigned shift(size_t input) const { return input / group % 2 == 0 ? 0 : 4; }
  size_t factors(size_t channel, size_t g) const { return pair(channel, g) + group * 32 + g % 2 * 32 + channel % 32; }
};

float nibble_of(float w, float inverse, float zero) {
  const float nibble = (w * inverse + round_magic) - round_magic + zero;
  return nibble < 0.0f ? 0.0f : nibble > 15.0f ? 15.0f : nibble;
}

// The squared error of a group: 16 sums side by side, as registers hold them.
template <bool weighted>
float error_of(const float* w, [[maybe_unused]] const float* importance, size_t count, float size, float zero) {
  const float inverse = 1.0f / size;
  float sums[16] = {};
  size_t i = 0;
  const auto add = [&](size_t at, float& sum) {
    const float off = (nibble_of(w[at], inverse, zero) - zero) * size - w[at];
    if constexpr (weighted) {
      sum += off * off * importance[at];
    } else {
      sum += off * off;
    }
  };
  for (; i + 16 <= count; i += 16) {
    for (size_t j = 0; j < 16; ++j) add(i + j, sums[j]);
  }
  for (; i < count; ++i) add(i, sums[i % 16]);
  float sum = 0.0f;
  for (const float part : sums) sum += part;
  return sum;
}

// Near the step and zero that the group's range asks for: a smaller step clips the largest weights and holds the others
// better.
template <bool weighted>
StepGroup fit_group(const float* w, const float* importance, size_t count, float scale) {
  float low = 0.0f, high = 0.0f, squares = 0.0f;
  for (size_t i = 0; i < count; ++i) {
    low = std::fmin(low, w[i]);
    high = std::fmax(high, w[i]);
    if constexpr (weighted) {
      squares += w[i] * w[i] * importance[i];
    } else {
      squares += w[i] * w[i];
    }
  }
  StepGroup best{0, 8, static_cast<double>(squares)};
  const float whole = std::fmax((high - low) / 15.0f, std::fmax(high, -low) / 11.0f) / scale;
  // Few weights may count, and a smaller step then hold them.
  const int first = std::max(1, static_cast<int>(std::fmin(whole * (weighted ? 0.5f : 0.75f), 11.0f)));
  const int last = std::clamp(static_cast<int>(std::fmin(whole * 1.15f, 100.0f)) + 1, first, largest_step);
  for (int step = first; step <= last; ++step) {
    const float size = static_cast<float>(step) * scale, inverse = 1.0f / size;
    const int middle =
        static_cast<int>(std::fmin(-low * inverse, 15.0f) + (15.0f - std::fmin(high * inverse, 15.0f))) / 2;
    for (int zero = middle - 1; zero <= middle + 2; ++zero) {
      if (zero < least_zero || zero > least_zero + 7) continue;
      const float error = error_of<weighted>(w, importance, count, size, static_cast<float>(zero));
      if (static_cast<double>(error) < best.error) best = {step, zero, static_cast<double>(error)};
    }
  }
  return best;
}

}  // namespace

StepGroup fit_step_group(const float* w, const float* importance, size_t count, float scale) {
  return importance == nullptr ? fit_group<false>(w, nullptr, count, scale)
                               : fit_group<true>(w, importance, count, scale);
}

float fit_step_channel(const float* w, const float* importance, size_t k, size_t group,
                       std::vector<StepGroup>& groups) {
  std::vector<StepGroup> candidate(groups.size());
  float best_scale = 1.0f;
  double best_error = 0.0;
  const float stride = importance == nullptr ? 6.0f : 3.0f;
  for (float steps = 60.0f; steps < 126.0f; steps += stride) {
    const float scale = 1.0f / steps;
    double error = 0.0;
    for (size_t g = 0; g < groups.size(); ++g) {
      const float* weights = importance == nullptr ? nullptr : importance + g * group;
      candidate[g] = fit_step_group(w + g * group, weights, std::min(group, k - g * group), scale);
      error += candidate[g].error;
    }
    if (steps == 60.0f || error < best_error) {
      best_error = error;
      best_scale = scale;
      groups = candidate;
    }
  }
  return best_scale;
}

void quantize_i4z(Layout layout, const float* w, size_t n, size_t k, void* out) {
  auto* bytes = static_cast<uint8_t*>(out);
  const size_t scales_at = scale_offset(layout, n, k);
  std::memset(bytes, 0, scales_at);
  auto* scales = reinterpret_cast<float*>(bytes + scales_at);
  std::fill(scales, scales + scale_count(layout, n), 1.0f);
  const Places at(layout, k);
  over_channels(n, [&](size_t channel) {
    float absmax = 0.0f;
    for (size_t i = 0; i < k; ++i) absmax = std::fmax(absmax, std::fabs(w[channel * k + i]));
    if (absmax < smallest_absmax) return;
    std::vector<StepGroup> groups(i4_groups(layout, k));
    std::vector<float> row(k);
    for (size_t i = 0; i < k; ++i) row[i] = w[channel * k + i] / absmax;
    const float scale = fit_step_channel(row.data(), nullptr, k, at.group, groups);
    // With the codes chosen, least squares give the scale: sum(w * code) / sum(code^2).
    double product = 0.0, square = 0.0;
    for (size_t i = 0; i < k; ++i) {
      const StepGroup& group = groups[i / at.group];
      const float inverse = group.step == 0 ? 0.0f : 1.0f / (static_cast<float>(group.step) * scale);
      const int nibble =
          group.step == 0 ? 0 : static_cast<int>(nibble_of(row[i], inverse, static_cast<float>(group.zero)));
      uint8_t& byte = bytes[at.nibble(channel, i)];
      byte = static_cast<uint8_t>(byte | static_cast<unsigned>(nibble) << at.shift(i));
      const double code = (nibble - group.zero) * group.step;
      product += code * static_cast<double>(row[i]);
      square += code * code;
    }
    for (size_t g = 0; g < groups.size(); ++g) {
      const int factors = groups[g].step == 0 ? 0 : groups[g].step + (groups[g].zero - least_zero) * 16;
      bytes[at.factors(channel, g)] = static_cast<uint8_t>(factors);
    }
    scales[channel] = static_cast<float>(product / square) * absmax;
  });
}

PackResult pack_i4z(Layout layout, const StepWeights& weights, size_t n, size_t k, void* out) {
  if (!has_steps(layout)) return {PackStatus::bad_layout, 0};
  auto* bytes = static_cast<uint8_t*>(out);
  const size_t scales_at = scale_offset(layout, n, k);
  std::memset(bytes, 0, scales_at);
  auto* scales = reinterpret_cast<float*>(bytes + scales_at);
  std::fill(scales, scales + scale_count(layout, n), 1.0f);
  const Places at(layout, k);
  const size_t groups = i4_groups(layout, k);
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) {
      uint8_t& byte = bytes[at.nibble(channel, i)];
      byte = static_cast<uint8_t>(byte | (weights.nibbles[channel * k + i] & 15u) << at.shift(i));
    }
    for (size_t g = 0; g < groups; ++g) bytes[at.factors(channel, g)] = weights.factors[channel * groups + g];
    scales[channel] = weights.scales[channel];
  }
  return {};
}

void dequantize_i4z(Layout layout, const void* packed, size_t n, size_t k, float* w) {
  const auto* bytes = static_cast<const uint8_t*>(packed);
  const auto* scales = reinterpret_cast<const float*>(bytes + scale_offset(layout, n, k));
  const Places at(layout, k);
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) {
      const uint8_t factors = bytes[at.factors(channel, i / at.group)];
      const int nibble = bytes[at.nibble(channel, i)] >> at.shift(i) & 15;
      w[channel * k + i] = static_cast<float>((nibble - zero_of(factors)) * step_of(factors)) * scales[channel];
    }
  }
}

}  // namespace onepass::kernels
