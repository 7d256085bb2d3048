// The int8 tile of vpdpbusd that expands, while it multiplies one part of the weights, the int4 of the next: a line of
// 64 bytes for each four inputs, so that a part of as many inputs is through with the tile. Where a processor has more
// vector ports than vpdpbusd uses, only the two multiplications of a line take time of their own.
#pragma once

#include "kernels/matmul_i4z_blocks.h"
#include "kernels/x86/expand_i4z_512.h"
#include "kernels/x86/tile_i8_512.h"

namespace onepass::kernels {
namespace {

// A function of its own: in one with other numbers of rows, g++ 12 keeps the addresses of rows in memory.
template <size_t rows>
[[gnu::noinline, gnu::flatten]] size_t expanding_tile(const MatmulI8& op, const Panel& panel, const int32_t* start,
                                                      const NextPart& part) {
  Sums sum[rows][2];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) sum[i][0] = sum[i][1] = as_sums(_mm512_set1_epi32(start[i]));
  const size_t group = part.group, pair_inputs = 2 * group, pair_bytes = group * 32 + 64, k_end = round_up(op.k, 4);
  const int8_t* a = op.a;
  const int8_t* const a_end = a + k_end;
  const uint8_t *codes = panel.codes, *next = panel.next, *packed = part.packed;
  uint8_t* out = part.codes;
  const size_t next_step = panel.next_step;
  const size_t here = k_end / pair_inputs, pairs = part.pairs < here ? part.pairs : here;
  for (size_t pair = 0; pair < pairs; ++pair, packed += pair_bytes, out += pair_inputs * 32) {
    const PairFactors factors = load_factors(packed, group);
    for (size_t at = 0; at < group * 32; at += 128) {
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half, a += 4, codes += 128, next += next_step) {
        const size_t line = at + half * 64;
        fetch_far(next);
        // First, so that its multiplications are not behind those of the products.
        expand_line(packed + line, factors, half, out + line, out + group * 32 + line);
        add_products<rows>(sum, a, op.a_stride, codes);
      }
    }
  }
  for (; a < a_end; a += 4, codes += 128) add_products<rows>(sum, a, op.a_stride, codes);
  store_tile<rows>(op, 0, panel, sum);
  return pairs;
}

struct ExpandingAvx512Vnni : Avx512Vnni {
  static constexpr size_t least_fetching_rows = 6;  // lower tiles, of several sums each, do not fetch far
  // Three heights keep the code small; what 12 leaves of 13 to 19 rows would be too few for the next tile.
  ONEPASS_INLINE static size_t expanding_rows(size_t m) { return m == 12 || m >= 20 ? 12 : m >= 8 ? 8 : 5; }
  ONEPASS_INLINE static size_t expanding_tile(size_t rows, const MatmulI8& op, const Panel& panel, const int32_t* start,
                                              const NextPart& part) {
    if (rows == 12) return kernels::expanding_tile<12>(op, panel, start, part);
    if (rows == 8) return kernels::expanding_tile<8>(op, panel, start, part);
    return kernels::expanding_tile<5>(op, panel, start, part);
  }
};

}  // namespace
}  // namespace onepass::kernels
