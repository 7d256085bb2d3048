#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/pack/channels.h"
#include "kernels/pack/fit.h"
#include "kernels/pack/pack.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

constexpr uint16_t f16_infinity = 0x7c00;

// Where the parts of element (channel, input) lie in a packed tensor.
class Places {
 public:
  Places(Layout layout, size_t k)
      : rows_(layout == Layout::i4g32_rows),
        group_(group_size(layout)),
        stride_(rows_ ? i4_row_bytes(k) : i4_panel_bytes(layout, k)),
        pair_bytes_(rows_ ? 0 : i4_pair_bytes(layout)),
        row_scales_(rows_ ? i4_groups(layout, k) * 16 : 0) {}

  size_t nibble(size_t channel, size_t input) const {
    if (rows_) return channel * stride_ + input / 32 * 16 + input % 16;
    const size_t in_group = input % group_;
    return pair(channel, input / group_) + in_group / 4 * 128 + channel % 32 * 4 + in_group % 4;
  }
  bool in_high_half(size_t input) const { return rows_ ? input % 32 >= 16 : input / group_ % 2 != 0; }
  size_t scale(size_t channel, size_t group) const {
    if (rows_) return channel * stride_ + row_scales_ + group * 2;
    return pair(channel, group) + group_ * 32 + (group % 2 * 32 + channel % 32) * 2;
  }
  size_t minimum(size_t channel, size_t group) const { return scale(channel, group) + 2 * 32 * 2; }

 private:
  size_t pair(size_t channel, size_t group) const { return channel / 32 * stride_ + group / 2 * pair_bytes_; }

  bool rows_;
  size_t group_, stride_, pair_bytes_, row_scales_;
};

// A packed tensor that is padding everywhere: value 0.
void fill_padding(Layout layout, size_t n, size_t k, uint8_t* out) {
  std::memset(out, 0, packed_bytes(layout, n, k));
  if (has_minimum(layout)) return;
  if (layout == Layout::i4g32_rows) {
    const size_t groups = i4_groups(layout, k);
    for (size_t row = 0; row < n; ++row) std::memset(out + row * i4_row_bytes(k), 0x88, groups * 16);
  } else {
    const size_t pairs = packed_bytes(layout, n, k) / i4_pair_bytes(layout);
    for (size_t pair = 0; pair < pairs; ++pair) {
      std::memset(out + pair * i4_pair_bytes(layout), 0x88, group_size(layout) * 32);
    }
  }
}

void store_nibble(uint8_t& byte, bool high, unsigned nibble) {
  byte = static_cast<uint8_t>(high ? (byte & 0x0fu) | nibble << 4 : (byte & 0xf0u) | nibble);
}

// Half to even, within 0..15. NaN gives 0.
float nearest_nibble(float x) {
  const float rounded = (x + round_magic) - round_magic, positive = rounded > 0.0f ? rounded : 0.0f;
  return positive < 15.0f ? positive : 15.0f;
}

// One group as value = scale * (nibble - zero) + minimum, with zero 8 and minimum 0, or zero 0.
struct Group {
  uint16_t scale = 0, minimum = 0;
  double error = 0;  // squared, weighted; what exceeds `most` may be less than all of it
  float inverse = 0, f32_minimum = 0, zero = 0;

  Group(const float* w, const float* importance, size_t count, float wanted_scale, float wanted_minimum, bool symmetric,
        double most = std::numeric_limits<double>::infinity())
      : scale(f16_from_f32(wanted_scale)), minimum(f16_from_f32(wanted_minimum)), zero(symmetric ? 8.0f : 0.0f) {
    const float s = ref::f32_from_f16(scale);
    f32_minimum = ref::f32_from_f16(minimum);
    inverse = s == 0.0f ? 0.0f : 1.0f / s;
    // Most candidates are worse before their end.
    for (size_t begin = 0; begin < count && error <= most; begin += 16) {
      const size_t end = std::min(count, begin + 16);
      double squares[16];
      for (size_t i = begin; i < end; ++i) {
        // Exact in double: 4 bits times 11, plus 11.
        const double value = static_cast<double>(nibble(w[i]) - zero) * static_cast<double>(s) + f32_minimum;
        const double off = static_cast<double>(static_cast<float>(value)) - static_cast<double>(w[i]);
        squares[i - begin] = off * off;
      }
      for (size_t i = begin; i < end; ++i) {
        error += importance == nullptr ? squares[i - begin] : squares[i - begin] * static_cast<double>(importance[i]);
      }
    }
  }
  float nibble(float w) const { return nearest_nibble((w - f32_minimum) * inverse + zero); }
  bool finite() const { return (scale & f16_infinity) != f16_infinity && (minimum & f16_infinity) != f16_infinity; }
  void take_better(const Group& other) {
    if (other.finite() && other.error < error) *this = other;
  }
};

// Both signs of the scale: the codes reach -8, but only 7. A smaller scale clips the largest weight and holds the
// others better.
Group quantize_symmetric(const float* w, const float* importance, size_t count) {
  float absmax = 0.0f;
  for (size_t i = 0; i < count; ++i) absmax = std::fmax(absmax, std::fabs(w[i]));
  Group best(w, importance, count, absmax / 8.0f, 0.0f, true);
  // Few weights may count, and a smaller scale then hold them.
  const float most = importance == nullptr ? 9.7f : 16.0f, stride = importance == nullptr ? 0.2f : 0.1f;
  for (const float sign : {1.0f, -1.0f}) {
    for (float steps = 5.6f; steps < most; steps += stride) {
      best.take_better(Group(w, importance, count, sign * absmax / steps, 0.0f, true, best.error));
    }
  }
  return best;
}

Group quantize_with_minimum(const float* w, const float* importance, size_t count) {
  const auto [low, high] = std::minmax_element(w, w + count);
  const float range = *high - *low, most = importance == nullptr ? 0.11f : 0.37f;
  Group best(w, importance, count, range / 15.0f, *low, false);
  for (float cut_low = 0.0f; cut_low < most; cut_low += 0.02f) {
    for (float cut_high = 0.0f; cut_high < most; cut_high += 0.02f) {
      best.take_better(Group(w, importance, count, range * (1.0f - cut_low - cut_high) / 15.0f, *low + range * cut_low,
                             false, best.error));
    }
  }
  return best;
}

}  // namespace

HalfGroup fit_half_group(const float* w, const float* importance, size_t count, bool with_minimum) {
  const Group best =
      with_minimum ? quantize_with_minimum(w, importance, count) : quantize_symmetric(w, importance, count);
  return {best.scale, best.minimum};
}

PackResult quantize_i4(Layout layout, const float* w, size_t n, size_t k, void* out) {
  auto* bytes = static_cast<uint8_t*>(out);
  fill_padding(layout, n, k, bytes);
  const Places at(layout, k);
  const size_t group = group_size(layout), groups = i4_groups(layout, k);
  std::atomic<size_t> first_failure = n * groups;
  over_channels(n, [&](size_t channel) {
    for (size_t g = 0; g < groups; ++g) {
      const float* values = w + channel * k + g * group;
      const size_t count = std::min(group, k - g * group);
      const Group best = has_minimum(layout) ? quantize_with_minimum(values, nullptr, count)
                                             : quantize_symmetric(values, nullptr, count);
      if (!best.finite()) {
        size_t first = first_failure;
        while (channel * groups + g < first && !first_failure.compare_exchange_weak(first, channel * groups + g)) {
        }
        return;
      }
      for (size_t i = 0; i < count; ++i) {
        const size_t input = g * group + i;
        store_nibble(bytes[at.nibble(channel, input)], at.in_high_half(input),
                     static_cast<unsigned>(best.nibble(values[i])));
      }
      std::memcpy(bytes + at.scale(channel, g), &best.scale, 2);
      if (has_minimum(layout)) std::memcpy(bytes + at.minimum(channel, g), &best.minimum, 2);
    }
  });
  if (first_failure == n * groups) return {};
  const size_t first = first_failure / groups * k + first_failure % groups * group;
  const auto beyond = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  const float* largest = std::max_element(w + first, w + first + std::min(group, k - first % k), beyond);
  return {PackStatus::f16_overflow, static_cast<size_t>(largest - w)};
}

PackResult pack_i4(Layout layout, const I4Weights& weights, size_t n, size_t k, void* out) {
  if (dtype_of(layout) != Dtype::i4 || has_steps(layout)) return {PackStatus::bad_layout, 0};
  auto* bytes = static_cast<uint8_t*>(out);
  fill_padding(layout, n, k, bytes);
  const Places at(layout, k);
  const size_t groups = i4_groups(layout, k);
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) {
      store_nibble(bytes[at.nibble(channel, i)], at.in_high_half(i), weights.nibbles[channel * k + i] & 15u);
    }
    for (size_t g = 0; g < groups; ++g) {
      std::memcpy(bytes + at.scale(channel, g), weights.scales + channel * groups + g, 2);
      if (has_minimum(layout)) std::memcpy(bytes + at.minimum(channel, g), weights.minima + channel * groups + g, 2);
    }
  }
  return {};
}

bool unpack_i4(Layout layout, const void* packed, size_t n, size_t k, uint8_t* nibbles, uint16_t* scales,
               uint16_t* minima) {
  if (dtype_of(layout) != Dtype::i4 || has_steps(layout)) return false;
  const auto* bytes = static_cast<const uint8_t*>(packed);
  const Places at(layout, k);
  const size_t groups = i4_groups(layout, k);
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) {
      nibbles[channel * k + i] =
          static_cast<uint8_t>(bytes[at.nibble(channel, i)] >> (at.in_high_half(i) ? 4 : 0) & 15);
    }
    for (size_t g = 0; g < groups; ++g) {
      std::memcpy(scales + channel * groups + g, bytes + at.scale(channel, g), 2);
      if (has_minimum(layout)) std::memcpy(minima + channel * groups + g, bytes + at.minimum(channel, g), 2);
    }
  }
  return true;
}

void dequantize_i4(Layout layout, const void* packed, size_t n, size_t k, float* w) {
  const auto* bytes = static_cast<const uint8_t*>(packed);
  const Places at(layout, k);
  const size_t group = group_size(layout);
  for (size_t channel = 0; channel < n; ++channel) {
    for (size_t i = 0; i < k; ++i) {
      uint16_t scale, minimum = 0;
      std::memcpy(&scale, bytes + at.scale(channel, i / group), 2);
      if (has_minimum(layout)) std::memcpy(&minimum, bytes + at.minimum(channel, i / group), 2);
      const int nibble = bytes[at.nibble(channel, i)] >> (at.in_high_half(i) ? 4 : 0) & 15;
      const auto code = static_cast<float>(has_minimum(layout) ? nibble : nibble - 8);
      // Exact but for the addition of a minimum: 4 and 11 bits make 15.
      w[channel * k + i] = std::fma(code, ref::f32_from_f16(scale), ref::f32_from_f16(minimum));
    }
  }
}

}  // namespace onepass::kernels
