#include "tools/quantise/coded_matrix.h"

#include <algorithm>
#include <cmath>

#include "kernels/pack/fit.h"
#include "kernels/pack/pack.h"
#include "kernels/ref/math_ref.h"

namespace onepass::quantise {

using kernels::Dtype;
using kernels::Layout;

bool has_codes(Layout layout) {
  return kernels::dtype_of(layout) == Dtype::i8 || kernels::dtype_of(layout) == Dtype::i4;
}

CodedMatrix::CodedMatrix(Layout layout, size_t n, size_t k)
    : layout_(layout),
      n_(n),
      k_(k),
      group_(kernels::dtype_of(layout) == Dtype::i8 ? k : kernels::group_size(layout)),
      groups_((k + group_ - 1) / group_),
      least_(kernels::dtype_of(layout) == Dtype::i8 ? -127 : 0),
      most_(kernels::dtype_of(layout) == Dtype::i8 ? 127 : 15),
      codes_(n * k),
      cells_(n * groups_) {
  const bool int8 = kernels::dtype_of(layout) == Dtype::i8;
  if (int8 || kernels::has_steps(layout)) scales_.assign(n, 1.0f);
  if (kernels::has_steps(layout)) factors_.resize(n * groups_);
  if (!int8 && !kernels::has_steps(layout)) half_.resize(n * groups_);
  if (kernels::has_minimum(layout)) minima_.resize(n * groups_);
}

void CodedMatrix::set_cell(size_t channel, size_t g) {
  Cell& cell = cells_[channel * groups_ + g];
  if (!factors_.empty()) {
    const uint8_t factors = factors_[channel * groups_ + g];
    cell.size = static_cast<float>(kernels::step_of(factors)) * scales_[channel];
    cell.zero = static_cast<float>(kernels::zero_of(factors));
  } else if (!scales_.empty()) {
    cell.size = scales_[channel];
  } else {
    cell.size = kernels::ref::f32_from_f16(half_[channel * groups_ + g]);
    cell.zero = minima_.empty() ? 8.0f : 0.0f;
    cell.minimum = minima_.empty() ? 0.0f : kernels::ref::f32_from_f16(minima_[channel * groups_ + g]);
  }
  cell.inverse = cell.size == 0.0f ? 0.0f : 1.0f / cell.size;
}

void CodedMatrix::fit_channels(const float* w, const float* importance) {
  if (scales_.empty()) return;
  std::vector<kernels::StepGroup> groups(groups_);
  std::vector<float> row(k_);
  for (size_t channel = 0; channel < n_; ++channel) {
    const float* from = w + channel * k_;
    if (factors_.empty()) {
      scales_[channel] = kernels::fit_int8_channel(from, importance, k_);
      continue;
    }
    float absmax = 0.0f;
    for (size_t i = 0; i < k_; ++i) absmax = std::fmax(absmax, std::fabs(from[i]));
    if (absmax < 1e-30f) continue;
    for (size_t i = 0; i < k_; ++i) row[i] = from[i] / absmax;
    scales_[channel] = kernels::fit_step_channel(row.data(), importance, k_, group_, groups) * absmax;
  }
}

void CodedMatrix::fit_group(size_t channel, size_t g, const float* w, const float* importance, size_t count) {
  if (!factors_.empty()) {
    const kernels::StepGroup fitted = kernels::fit_step_group(w, importance, count, scales_[channel]);
    const int factors = fitted.step == 0 ? 0 : fitted.step + (fitted.zero - kernels::least_zero) * 16;
    factors_[channel * groups_ + g] = static_cast<uint8_t>(factors);
  } else if (scales_.empty()) {
    const kernels::HalfGroup fitted = kernels::fit_half_group(w, importance, count, !minima_.empty());
    half_[channel * groups_ + g] = fitted.scale;
    if (!minima_.empty()) minima_[channel * groups_ + g] = fitted.minimum;
  }
  set_cell(channel, g);
}

float CodedMatrix::assign(size_t channel, size_t input, float w) {
  const Cell& cell = cells_[channel * groups_ + input / group_];
  const float wanted = (w - cell.minimum) * cell.inverse + cell.zero;
  const float code = std::clamp((wanted + kernels::round_magic) - kernels::round_magic, static_cast<float>(least_),
                                static_cast<float>(most_));
  codes_[channel * k_ + input] = static_cast<int8_t>(code);
  return (code - cell.zero) * cell.size + cell.minimum;
}

float CodedMatrix::neighbour(size_t channel, size_t input, int direction) const {
  const Cell& cell = cells_[channel * groups_ + input / group_];
  const int code = std::clamp(codes_[channel * k_ + input] + direction, least_, most_);
  return (static_cast<float>(code) - cell.zero) * cell.size + cell.minimum;
}

void CodedMatrix::step(size_t channel, size_t input, int direction) {
  int8_t& code = codes_[channel * k_ + input];
  code = static_cast<int8_t>(std::clamp(code + direction, least_, most_));
}

void CodedMatrix::scale_channel(size_t channel, float factor) {
  scales_[channel] *= factor;
  for (size_t g = 0; g < groups_; ++g) set_cell(channel, g);
}

void CodedMatrix::take_channel(const CodedMatrix& other, size_t channel) {
  const auto take = [channel](auto& to, const auto& from, size_t row) {
    if (!to.empty()) std::copy_n(from.data() + channel * row, row, to.data() + channel * row);
  };
  take(codes_, other.codes_, k_);
  take(cells_, other.cells_, groups_);
  take(scales_, other.scales_, 1);
  take(factors_, other.factors_, groups_);
  take(half_, other.half_, groups_);
  take(minima_, other.minima_, groups_);
}

std::vector<float> CodedMatrix::values() const {
  std::vector<float> all(n_ * k_);
  for (size_t channel = 0; channel < n_; ++channel) {
    for (size_t i = 0; i < k_; ++i) all[channel * k_ + i] = value(channel, i);
  }
  return all;
}

Status CodedMatrix::pack(std::span<uint8_t> out) const {
  constexpr uint16_t kExponent = 0x7c00;
  for (size_t i = 0; i < half_.size(); ++i) {
    const bool finite =
        (half_[i] & kExponent) != kExponent && (minima_.empty() || (minima_[i] & kExponent) != kExponent);
    if (finite) continue;
    return make_error(Code::bad_value, Error::no_offset, "weights",
                      "the weights of row %zu are too large for int4: use f32 or int8", i / groups_);
  }
  const auto* nibbles = reinterpret_cast<const uint8_t*>(codes_.data());
  kernels::PackResult packed;
  if (!factors_.empty()) {
    packed = kernels::pack_i4z(layout_, {nibbles, factors_.data(), scales_.data()}, n_, k_, out.data());
  } else if (!scales_.empty()) {
    packed = kernels::pack_i8(layout_, codes_.data(), scales_.data(), n_, k_, out.data());
  } else {
    const uint16_t* minima = minima_.empty() ? nullptr : minima_.data();
    packed = kernels::pack_i4(layout_, {nibbles, half_.data(), minima}, n_, k_, out.data());
  }
  if (packed.ok()) return {};
  return make_error(Code::bad_value, Error::no_offset, "weights", "%s has no codes", kernels::layout_name(layout_));
}

CodedMatrix round_to_nearest(Layout layout, const float* w, size_t n, size_t k, const float* importance) {
  CodedMatrix coded(layout, n, k);
  coded.fit_channels(w, importance);
  for (size_t channel = 0; channel < n; ++channel) {
    const float* row = w + channel * k;
    for (size_t g = 0; g < coded.groups(); ++g) {
      const size_t first = g * coded.group(), count = std::min(coded.group(), k - first);
      coded.fit_group(channel, g, row + first, importance == nullptr ? nullptr : importance + first, count);
      for (size_t i = first; i < first + count; ++i) coded.assign(channel, i, row[i]);
    }
  }
  return coded;
}

}  // namespace onepass::quantise
