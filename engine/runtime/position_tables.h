// PositionTables: what a session keeps of positions and distances: the cosines and sines of rotary positions, as far as
// its texts have reached, and the rows of relative tables.
#pragma once

#include "engine/arch/arch.h"
#include "engine/blocks/blocks.h"
#include "engine/core/array.h"
#include "engine/core/result.h"
#include "engine/runtime/weights.h"

namespace onepass {

class PositionTables {
 public:
  // Fills the tables for texts of up to `tokens` tokens, where they are not. A row depends on its position alone.
  Status reserve(const Config& config, const Weights& weights, size_t tokens) noexcept;

  // Row of global() at which the positions of texts beyond Config::rotary_original begin.
  size_t long_row() const noexcept { return positions_; }
  // Of layers without and with a window.
  RotaryTable global() const noexcept { return rotary(0); }
  RotaryTable local() const noexcept { return rotary(local_ ? 1 : 0); }
  // Row of the relative tables by distance; points at distance 0. A copy, so that a row is below W whatever happens to
  // the mapped file.
  const uint16_t* relative_index() const noexcept { return index_.data() + index_.size() / 2; }
  size_t memory_bytes() const noexcept {
    return rotary_.capacity() * sizeof(float) + index_.capacity() * sizeof(uint16_t);
  }

 private:
  Status fill_rotary(const Config& config, const Weights& weights, size_t tokens, bool with_long) noexcept;
  Status fill_index(const Config& config, const Weights& weights) noexcept;
  RotaryTable rotary(size_t which) const noexcept {
    const float* cos = rotary_.data() + which * 2 * rows_ * half_;
    return {cos, cos + rows_ * half_, half_};
  }

  size_t positions_ = 0, half_ = 0;
  size_t rows_ = 0;  // of a table: positions, and again for long texts
  bool local_ = false;
  Array<float> rotary_;    // [table][cos, sin][row][half]
  Array<uint16_t> index_;  // [X]
};

}  // namespace onepass
