// How every int8 product walks over C, whatever its tile: groups of rows, panels of 32 channels, blocks of rows.
// Only for sources of one level; internal linkage.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/finish_tile.h"
#include "kernels/panel_i8.h"

namespace onepass::kernels {
namespace {

// Rows that share a pass over the panels: their activations (48 x 384 codes = 18 KiB) and one panel stay in the
// first-level cache, and what is computed once per row is computed once per group.
constexpr size_t group_rows = 48;

// Bytes by which the tiles fetch ahead within a panel, from the second-level cache into the first.
constexpr size_t near_distance = 1024;

// The 128 bytes of four inputs.
ONEPASS_INLINE void fetch_near(const uint8_t* p) {
  __builtin_prefetch(p + near_distance, 0, 3);
  __builtin_prefetch(p + near_distance + 64, 0, 3);
}
// One line, from further away.
ONEPASS_INLINE void fetch_far(const uint8_t* p) { __builtin_prefetch(p, 0, 2); }

// Calls the tile with `rows`, 1..most, as a constant.
template <class Level, size_t most>
ONEPASS_INLINE void dispatch_rows(size_t rows, const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
  if (rows == most) {
    Level::template tile_of<most>(op, m, panel, start);
  } else if constexpr (most > 1) {
    dispatch_rows<Level, most - 1>(rows, op, m, panel, start);
  }
}

ONEPASS_INLINE void finish_tile(const MatmulI8& op, size_t m, size_t rows, const Panel& panel) {
  finish_tile(op, m, rows, panel.n, panel.count);
}

// The rows of the next block, of `left`. Where the level does not say, blocks have equal heights: 16 rows are 8 + 8
// rather than 12 + 4, which would leave the multiplier waiting.
template <class Level>
ONEPASS_INLINE size_t block_rows(size_t left) {
  if constexpr (requires { Level::next_rows(left); }) {
    return Level::next_rows(left);
  } else {
    const size_t blocks = (left + Level::rows - 1) / Level::rows;
    return (left + blocks - 1) / blocks;
  }
}

// Rows [group, group_end) of a panel, in blocks. start[i] belongs to row group + i.
//
// Level has: rows, the largest tile; start(a, k_end), where the sums of a row begin; tile_of<rows>(...); panel(part),
// which is multiply_panel, in line or as a function that products share; and it may have next_rows(left).
template <class Level>
ONEPASS_INLINE void multiply_panel(const PanelI8& part) {
  const MatmulI8& op = part.op;
  Panel panel = part.panel;
  const size_t group = part.begin, group_end = part.end;
  const int32_t* start = part.start;
  const bool finish = !panel.continues && (op.act != Act::none || op.peak != nullptr);
  for (size_t m = group, block = 0; m < group_end; ++block) {
    if (block == panel.fetching) panel.next = panel.codes, panel.next_step = 0;
    const size_t rows = block_rows<Level>(group_end - m);
    dispatch_rows<Level, Level::rows>(rows, op, m, panel, start + (m - group));
    if (finish) finish_tile(op, m, rows, panel);
    m += rows;
    panel.next += round_up(op.k, 4) / 4 * panel.next_step;
  }
}

template <class Level>
ONEPASS_INLINE void multiply_panels(const MatmulI8& op) {
  const size_t k_end = round_up(op.k, 4);
  const auto* codes = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(codes + scale_offset(Layout::i8_n32k4, op.n, op.k));
  for (size_t group = 0; group < op.m; group += group_rows) {
    const size_t group_end = op.m - group < group_rows ? op.m : group + group_rows;
    int32_t start[group_rows];
    for (size_t m = group; m < group_end; ++m) start[m - group] = Level::start(op.a + m * op.a_stride, k_end);
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      // The first two blocks fetch half of the next panel each: what comes from memory is spread over as much
      // arithmetic as there is in a short text. One alone fetches every second line. More prefetches would take
      // the place of the loads that the products need.
      const Panel panel = {.codes = codes + n * k_end,
                           .scale = scale + n,
                           .bias = op.bias != nullptr ? op.bias + n : nullptr,
                           .n = n,
                           .count = op.n_end - n < 32 ? op.n_end - n : 32,
                           .next = codes + (n + 32) * k_end,
                           .next_step = block_rows<Level>(group_end - group) < group_end - group ? 64u : 128u,
                           .fetching = 2};
      Level::panel({op, panel, group, group_end, start});
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
