// How an int4 product of whole steps walks over C: it expands panels to the bytes of i8_n32k4, which the tiles of int8
// multiply. Only for sources of one level; internal linkage.
//
// What is expanded serves all rows, and waits in the nearest two caches: a few panels, or as many inputs of one as
// fit. A longer K is a product in parts of equal length, one after the other for each panel, so that a short text reads
// the weights from end to end; the sums of a row begin in the first part.
#pragma once

#include "kernels/matmul_i4z.h"
#include "kernels/matmul_i8_blocks.h"

namespace onepass::kernels {
namespace {

constexpr size_t i4z_expanded_bytes = 48 * 1024;
// Inputs of a part, whole pairs of groups: with few rows, what is expanded stays in the nearest cache.
constexpr size_t i4z_part_inputs = i4z_expanded_bytes / 32, i4z_short_part_inputs = 512;
static_assert(i4z_part_inputs % 128 == 0 && i4z_short_part_inputs % 128 == 0);
// Inputs of a part where the next one is expanded beside it, from i4z_ahead_rows rows on. With fewer rows, that both
// parts and the activations stay in the nearest cache counts for more than fewer parts do.
constexpr size_t i4z_ahead_part_inputs = 768, i4z_ahead_rows = 20;
static_assert(i4z_ahead_part_inputs % 128 == 0 && i4z_ahead_part_inputs >= i4z_short_part_inputs);
// Rows that share what is expanded.
constexpr size_t i4z_rows = 10 * group_rows;

// Bytes by which packed codes are fetched ahead while they are expanded.
constexpr size_t i4z_near_distance = 1024;

// The inputs [k, k + inputs) of the op, as an int8 product; `inputs` whole groups of four.
ONEPASS_INLINE MatmulI8 int8_part(const MatmulI4Z& op, size_t m, size_t rows, size_t k, size_t inputs) {
  return {.a = op.a + m * op.a_stride + k,
          .a_stride = op.a_stride,
          .a_scale = op.a_scale + m,
          .w = nullptr,
          .bias = op.bias,
          .c = op.c + m * op.c_stride,
          .c_stride = op.c_stride,
          .m = rows,
          .n = op.n,
          .k = inputs,
          .n_begin = op.n_begin,
          .n_end = op.n_end,
          .act = op.act,
          .peak = op.peak != nullptr ? op.peak + m * 16 : nullptr};
}

// `inputs` inputs from the pair of groups at `packed` on.
template <class ExpandPair>
ONEPASS_INLINE void expand_panel(const uint8_t* packed, size_t group, size_t pair_bytes, size_t inputs, uint8_t* codes,
                                 ExpandPair expand_pair) {
  for (size_t k = 0; k < inputs; k += 2 * group, packed += pair_bytes) {
    for (size_t at = 0; at < pair_bytes; at += 64) __builtin_prefetch(packed + i4z_near_distance + at, 0, 3);
    expand_pair(packed, group, codes + k * 32, codes + (k + group) * 32);
  }
}

// Rows [first, end) of the part, group_rows at a time. start[i] belongs to row i of the part.
template <class Level>
struct RowGroups {
  static constexpr size_t shared_rows = group_rows;
  ONEPASS_INLINE explicit RowGroups(size_t) {}
  ONEPASS_INLINE static int32_t start(const int8_t* a, size_t k_end) { return Level::start(a, k_end); }
  template <class PanelOf>
  ONEPASS_INLINE void multiply(const MatmulI8& part, size_t panels, PanelOf panel_of, const int32_t* start) const {
    // What the next panel has to read is asked for over all the arithmetic that a short text has: a cache keeps only so
    // many lines under way, and one block of 16 rows would be through before they came.
    const size_t rows = part.m < group_rows ? part.m : group_rows;
    const size_t blocks = (rows + block_rows<Level>(rows) - 1) / block_rows<Level>(rows);
    for (size_t first = 0; first < part.m; first += group_rows) {
      const size_t end = part.m - first < group_rows ? part.m : first + group_rows;
      for (size_t i = 0; i < panels; ++i) {
        Panel panel = panel_of(i);
        panel.fetching = first == 0 ? blocks : 0;
        panel.next_step /= blocks;
        Level::panel({part, panel, first, end, start + first});
      }
    }
  }
};

// Rows is RowGroups<Level>, with a Level of multiply_panels, or AMX's. expand_pair(pair, group, low, high) expands a
// pair of groups.
template <class Rows, class ExpandPair>
ONEPASS_INLINE void multiply_i4z(const MatmulI4Z& op, ExpandPair expand_pair) {
  alignas(64) uint8_t codes[i4z_expanded_bytes];
  int32_t start[i4z_rows], zeros[i4z_rows] = {};
  const size_t group = group_size(op.layout), pair_bytes = i4_pair_bytes(op.layout);
  const size_t panel_bytes = i4_panel_bytes(op.layout, op.k), k_end = round_up(op.k, 4);
  const auto* packed = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(packed + scale_offset(op.layout, op.n, op.k));
  for (size_t m = 0; m < op.m; m += i4z_rows) {
    const size_t count = op.m - m < i4z_rows ? op.m - m : i4z_rows;
    const Rows rows(count);
    const bool few = count <= Rows::shared_rows;
    const size_t part_limit = few ? i4z_short_part_inputs : i4z_part_inputs;
    const size_t parts = (k_end + part_limit - 1) / part_limit;
    const size_t most_inputs = round_up((k_end + parts - 1) / parts, 2 * group);
    const size_t expanded_bytes = most_inputs * 32, part_bytes = most_inputs / (2 * group) * pair_bytes;
    const size_t most_panels = few ? 1 : i4z_expanded_bytes / expanded_bytes;
    for (size_t i = 0; i < count; ++i) start[i] = Rows::start(op.a + (m + i) * op.a_stride, k_end);
    for (size_t n = op.n_begin; n < op.n_end; n += most_panels * 32) {
      const size_t left = (op.n_end - n + 31) / 32, panels = left < most_panels ? left : most_panels;
      for (size_t k = 0; k < k_end; k += most_inputs) {
        const size_t inputs = k_end - k < most_inputs ? k_end - k : most_inputs;
        const MatmulI8 part = int8_part(op, m, count, k, inputs);
        const uint8_t* source = packed + n / 32 * panel_bytes + k / (2 * group) * pair_bytes;
        for (size_t i = 0; i < panels; ++i) {
          expand_panel(source + i * panel_bytes, group, pair_bytes, inputs, codes + i * expanded_bytes, expand_pair);
        }
        const auto panel_of = [&](size_t i) {
          const size_t channel = n + i * 32;
          return Panel{.codes = codes + i * expanded_bytes,
                       .scale = scale + channel,
                       .bias = op.bias != nullptr ? op.bias + channel : nullptr,
                       .n = channel,
                       .count = op.n_end - channel < 32 ? op.n_end - channel : 32,
                       .next = source + (few ? part_bytes : (panels + i) * panel_bytes),
                       .next_step = pair_bytes / (group / 2),
                       .fetching = 1,
                       .continued = k != 0,
                       .continues = k + inputs < k_end};
        };
        rows.multiply(part, panels, panel_of, k == 0 ? start : zeros);
      }
    }
  }
}

// What is multiplied after this part: whole pairs of groups, none after the last part.
struct NextPart {
  const uint8_t* packed;
  size_t group, pairs;
  uint8_t* codes;  // where they are expanded to
};

// The same where a tile can expand the next part while it multiplies this one. Requires op.m >= 5.
//
// Level has, beyond what multiply_panels asks: expanding_rows(rows), how many of 5 or more rows are such a tile, at
// most all; expanding_tile(tile rows, part, panel, start, next), which returns how many pairs of groups it expanded;
// least_fetching_rows, the lowest of int8's tiles that fetch far, for the rows that are left.
template <class Level, class ExpandPair>
ONEPASS_INLINE void multiply_i4z_ahead(const MatmulI4Z& op, ExpandPair expand_pair) {
  alignas(64) uint8_t codes[2][i4z_ahead_part_inputs * 32];
  int32_t start[i4z_rows], zeros[i4z_rows] = {};
  const size_t group = group_size(op.layout), pair_inputs = 2 * group, pair_bytes = i4_pair_bytes(op.layout);
  const size_t k_end = round_up(op.k, 4), all_pairs = (op.k + pair_inputs - 1) / pair_inputs;
  const auto* packed = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(packed + scale_offset(op.layout, op.n, op.k));
  const bool finish = op.act != Act::none || op.peak != nullptr;
  // Of equal heights: none of the last four rows alone.
  const size_t row_blocks = (op.m + i4z_rows - 1) / i4z_rows, block_height = (op.m + row_blocks - 1) / row_blocks;
  for (size_t m = 0; m < op.m; m += block_height) {
    const size_t count = op.m - m < block_height ? op.m - m : block_height;
    const size_t first = Level::expanding_rows(count), rest = count - first;
    const size_t rest_rows = rest == 0 ? 0 : block_rows<Level>(rest);
    const size_t rest_blocks = rest_rows < Level::least_fetching_rows ? 0 : (rest + rest_rows - 1) / rest_rows;
    // What the part after the next has to read is asked for over the arithmetic of a short text: see RowGroups.
    const size_t fetching = rest_blocks < 3 ? 1 + rest_blocks : 4, next_step = pair_bytes / (group / 2) / fetching;
    const size_t part_limit = count < i4z_ahead_rows ? i4z_short_part_inputs : i4z_ahead_part_inputs;
    const size_t parts = (k_end + part_limit - 1) / part_limit, part_pairs = (all_pairs + parts - 1) / parts;
    for (size_t i = 0; i < count; ++i) start[i] = Level::start(op.a + (m + i) * op.a_stride, k_end);

    // Parts, and panels, follow one another.
    const uint8_t* source = packed + op.n_begin / 32 * all_pairs * pair_bytes;
    size_t turn = 0, expanded = 0;
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      for (size_t pair = 0; pair < all_pairs; pair += part_pairs, turn ^= 1) {
        const size_t left = all_pairs - pair, pairs = left < part_pairs ? left : part_pairs;
        const size_t k = pair * pair_inputs, inputs = pairs * pair_inputs;
        expand_panel(source + expanded * pair_bytes, group, pair_bytes, (pairs - expanded) * pair_inputs,
                     codes[turn] + expanded * pair_inputs * 32, expand_pair);
        source += pairs * pair_bytes;
        const size_t after = left != pairs ? left - pairs : n + 32 < op.n_end ? all_pairs : 0;
        const MatmulI8 part = int8_part(op, m, count, k, k_end - k < inputs ? k_end - k : inputs);
        Panel panel = {.codes = codes[turn],
                       .scale = scale + n,
                       .bias = op.bias != nullptr ? op.bias + n : nullptr,
                       .n = n,
                       .count = op.n_end - n < 32 ? op.n_end - n : 32,
                       .next = source + part_pairs * pair_bytes,
                       .next_step = next_step,
                       .fetching = fetching - 1,
                       .continued = k != 0,
                       .continues = left != pairs};
        const int32_t* begin = k == 0 ? start : zeros;
        const NextPart next = {source, group, after < part_pairs ? after : part_pairs, codes[turn ^ 1]};
        expanded = Level::expanding_tile(first, part, panel, begin, next);
        if (finish && !panel.continues) finish_tile(part, 0, first, panel);
        panel.next += round_up(part.k, 4) / 4 * next_step;
        if (rest != 0) Level::panel({part, panel, first, count, begin + first});
      }
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
