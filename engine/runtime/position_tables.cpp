#include "engine/runtime/position_tables.h"

#include <algorithm>
#include <utility>

#include "kernels/rope_table.h"

namespace onepass {

Status PositionTables::reserve(const Config& config, const Weights& weights, size_t tokens) noexcept {
  const bool is_long = config.rotary_original != 0 && tokens > config.rotary_original;
  if (config.arch.position == Position::rotary && (tokens > positions_ || (is_long && rows_ == positions_))) {
    ONEPASS_TRY(fill_rotary(config, weights, tokens, is_long || rows_ > positions_));
  }
  if (config.arch.relative != Relative::none && index_.empty()) ONEPASS_TRY(fill_index(config, weights));
  return {};
}

Status PositionTables::fill_index(const Config& config, const Weights& weights) noexcept {
  const auto distances = static_cast<size_t>(dim_value(Dim::X, config, 0, no_layer));
  Array<uint16_t> index;
  if (!index.resize_uninitialized(distances)) {
    return make_error(Code::out_of_memory, Error::no_offset, "session", "no memory for %zu distances", distances);
  }
  for (size_t i = 0; i < distances; ++i) {
    const float row = weights.relative_index[i];
    const bool known = row >= 0 && row < static_cast<float>(config.relative_rows);
    if (!known || row != static_cast<float>(static_cast<uint16_t>(row))) {
      return make_error(Code::bad_value, Error::no_offset, "relative.index.w",
                        "distance %zu has a row that the tables do not have: convert the model again", i);
    }
    index[i] = static_cast<uint16_t>(row);
  }
  index_ = std::move(index);
  return {};
}

Status PositionTables::fill_rotary(const Config& config, const Weights& weights, size_t count,
                                   bool with_long) noexcept {
  // Twice as far as before, so that texts of growing length do not fill the tables again and again.
  const size_t grown = count > positions_ ? 2 * positions_ : positions_;
  const size_t positions =
      std::min<size_t>(std::max({count, grown, size_t{64}}), size_t{config.max_tokens} + config.branch_tokens);
  const size_t half = config.rotary_width / 2;
  const size_t tables = config.arch.local_rotary != 0 ? 2 : 1;
  const size_t rows = with_long ? 2 * positions : positions;
  positions_ = rows_ = 0;
  rotary_ = Array<float>();
  if (!rotary_.resize_uninitialized(tables * 2 * rows * half)) {
    return make_error(Code::out_of_memory, Error::no_offset, "session", "no memory for %zu rotary positions",
                      positions);
  }
  const auto fill = [&](const float* frequencies, size_t table, size_t row) {
    float* cos = rotary_.data() + (table * 2 * rows + row) * half;
    kernels::fill_rope_table({.inv_freq = frequencies,
                              .half = half,
                              .first_position = 0,
                              .positions = positions,
                              .factor = config.rotary_factor != 0 ? static_cast<float>(config.rotary_factor) : 1.0f,
                              .cos = cos,
                              .sin = cos + rows * half,
                              .stride = half});
  };
  fill(weights.rotary_global, 0, 0);
  if (tables == 2) fill(weights.rotary_local, 1, 0);
  if (with_long) fill(weights.rotary_long, 0, positions);
  positions_ = positions;
  rows_ = rows;
  half_ = half;
  local_ = tables == 2;
  return {};
}

}  // namespace onepass
