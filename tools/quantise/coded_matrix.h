// CodedMatrix: the codes of a quantised matrix while they are being chosen, and the numbers that they stand for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/result.h"
#include "kernels/layouts.h"

namespace onepass::quantise {

// Whether a layout has codes that a quantiser can choose: int8 and every int4 layout.
bool has_codes(kernels::Layout layout);

class CodedMatrix {
 public:
  // Requires has_codes(layout).
  CodedMatrix(kernels::Layout layout, size_t n, size_t k);

  kernels::Layout layout() const { return layout_; }
  size_t n() const { return n_; }
  size_t k() const { return k_; }
  // Inputs that share what fit_group finds; k for int8.
  size_t group() const { return group_; }
  size_t groups() const { return groups_; }

  // First, of all weights [n,k] in their order: what a channel has of its own. importance [k], or null.
  void fit_channels(const float* w, const float* importance);
  // Then what a group has, from `count` weights of it in any order.
  void fit_group(size_t channel, size_t g, const float* w, const float* importance, size_t count);
  // The nearest code to `w`; returns its value.
  float assign(size_t channel, size_t input, float w);

  float value(size_t channel, size_t input) const {
    const Cell& cell = cells_[channel * groups_ + input / group_];
    return (static_cast<float>(codes_[channel * k_ + input]) - cell.zero) * cell.size + cell.minimum;
  }
  // The value one code further up or down; the same value at the end of the codes.
  float neighbour(size_t channel, size_t input, int direction) const;
  void step(size_t channel, size_t input, int direction);
  // Whether a channel can be scaled as a whole, and doing so. `factor` > 0.
  bool has_channel_scales() const { return !scales_.empty(); }
  void scale_channel(size_t channel, float factor);

  // What `other`, of the same layout and size, has for a channel.
  void take_channel(const CodedMatrix& other, size_t channel);

  // Every value, [n,k].
  std::vector<float> values() const;
  // Into packed_bytes(layout, n, k) bytes. bad_value where a scale does not fit its type.
  Status pack(std::span<uint8_t> out) const;

 private:
  // value = (code - zero) * size + minimum
  struct Cell {
    float size = 0, zero = 0, minimum = 0, inverse = 0;
  };
  void set_cell(size_t channel, size_t g);

  kernels::Layout layout_;
  size_t n_, k_, group_, groups_;
  int least_, most_;  // codes
  std::vector<int8_t> codes_;
  std::vector<Cell> cells_;              // [n, groups]
  std::vector<float> scales_;            // [n], of int8 and of whole steps
  std::vector<uint8_t> factors_;         // [n, groups], of whole steps
  std::vector<uint16_t> half_, minima_;  // [n, groups], of f16 scales
};

// Every group fitted to its weights and every weight to the nearest code. importance [k], or null: all alike.
CodedMatrix round_to_nearest(kernels::Layout layout, const float* w, size_t n, size_t k, const float* importance);

}  // namespace onepass::quantise
