// The product of few rows with int4 of whole steps, where expanding a panel would take longer than multiplying it:
// vpdpbusd takes the nibbles, 8 too high, as its unsigned operand. The sum of 32 inputs, (nibble - 8) x code, then fits
// 16 bits (32 x 8 x 127 = 32512), so one vpdpwssd multiplies it by the step and adds it; another adds (8 - zero) x step
// x (sum of codes) for two groups. Here is what the register widths share.
#pragma once

#include "kernels/matmul_i4z_blocks.h"
#include "kernels/x86/i4_256.h"

namespace onepass::kernels {
namespace {

// Bytes by which packed codes are fetched ahead.
constexpr size_t few_rows_distance = 2048;
constexpr size_t few_rows = 4;
constexpr size_t few_rows_part = 4096;  // inputs

// What the zeros need of up to few_rows_part codes of each row.
struct CodeSums {
  int32_t start[few_rows][few_rows_part / 32];  // -8 times the sum of 32 codes
  int32_t pairs[few_rows][few_rows_part / 64];  // the sums of a pair of groups, in 16 bits each
};

ONEPASS_INLINE void sum_codes(const int8_t* a, size_t inputs, size_t group, int32_t* start, int32_t* pairs) {
  int32_t sums[few_rows_part / 32];
  const size_t runs = round_up(inputs, 128) / 32;
  for (size_t k = 0; k < inputs; k += 128) {
    int32_t* four = sums + k / 32;
    if (inputs - k >= 128) {
      sums_of_32(a + k, four);
    } else {
      for (size_t i = 0; i < 4; ++i) four[i] = 0;
      for (size_t i = k; i < inputs; ++i) sums[i / 32] += a[i];
    }
  }
  const auto halves = [](int32_t even, int32_t odd) {
    return static_cast<int32_t>((static_cast<uint32_t>(even) & 0xffffu) | static_cast<uint32_t>(odd) << 16);
  };
  for (size_t i = 0; i < runs; ++i) start[i] = -8 * sums[i];
  for (size_t i = 0; i + 1 < runs && group == 32; i += 2) pairs[i / 2] = halves(sums[i], sums[i + 1]);
  for (size_t i = 0; i + 3 < runs && group == 64; i += 4) {
    pairs[i / 4] = halves(sums[i] + sums[i + 1], sums[i + 2] + sums[i + 3]);
  }
}

// How many inputs there are of the run of 32 that begins at `run`, where the part ends at k.
ONEPASS_INLINE size_t run_inputs(size_t run, size_t k) { return run >= k ? 0 : k - run < 32 ? k - run : 32; }

// Level has panel<rows, whole>(part, panel, group, pair_bytes, sums); whole: both groups of every pair exist. Calls it
// with `rows`, 1..most, as a constant.
template <class Level, bool whole, size_t most>
ONEPASS_INLINE void dispatch_few_rows(const MatmulI8& part, const Panel& panel, size_t group, size_t pair_bytes,
                                      const CodeSums& sums) {
  if (part.m == most) {
    Level::template panel<most, whole>(part, panel, group, pair_bytes, sums);
  } else if constexpr (most > 1) {
    dispatch_few_rows<Level, whole, most - 1>(part, panel, group, pair_bytes, sums);
  }
}

// Requires op.m <= few_rows.
template <class Level>
ONEPASS_INLINE void multiply_few_rows(const MatmulI4Z& op) {
  CodeSums sums;
  const size_t group = group_size(op.layout), pair_bytes = i4_pair_bytes(op.layout);
  const size_t panel_bytes = i4_panel_bytes(op.layout, op.k), k_end = round_up(op.k, 4);
  const auto* packed = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(packed + scale_offset(op.layout, op.n, op.k));
  for (size_t k = 0; k < k_end; k += few_rows_part) {
    const MatmulI8 part = int8_part(op, 0, op.m, k, k_end - k < few_rows_part ? k_end - k : few_rows_part);
    for (size_t i = 0; i < op.m; ++i) {
      sum_codes(part.a + i * op.a_stride, part.k, group, sums.start[i], sums.pairs[i]);
    }
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      const Panel panel = {.codes = packed + n / 32 * panel_bytes + k / (2 * group) * pair_bytes,
                           .scale = scale + n,
                           .bias = op.bias != nullptr ? op.bias + n : nullptr,
                           .n = n,
                           .count = op.n_end - n < 32 ? op.n_end - n : 32,
                           .next = nullptr,
                           .next_step = 0,
                           .fetching = 0,
                           .continued = k != 0,
                           .continues = k + part.k < k_end};
      if (part.k % (2 * group) == 0) {
        dispatch_few_rows<Level, true, few_rows>(part, panel, group, pair_bytes, sums);
      } else {
        dispatch_few_rows<Level, false, few_rows>(part, panel, group, pair_bytes, sums);
      }
      if (!panel.continues && (op.act != Act::none || op.peak != nullptr)) finish_tile(part, 0, op.m, panel);
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
