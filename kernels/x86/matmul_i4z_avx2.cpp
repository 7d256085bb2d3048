// vpmaddubsw of nibbles and activations: two products are at most 2 * 15 * 127 = 3810, so eight results, 32 inputs, add
// up in 16 bits (30480). vpmaddwd makes them 32-bit sums, as int8 needs it every time, and here it multiplies by the
// group's step while it does. What the zeros add, step * zero * (sum of the group's activations), is one vpmaddwd more
// for two groups.
//
// A tile is 4 rows by 16 channels: 8 accumulators of 16 bits, 2 weight vectors, a broadcast and temporaries; the 32-bit
// sums are in memory meanwhile, as they are touched once in 32 inputs.
#include "kernels/kernels.h"
#include "kernels/matmul_i4z_blocks.h"
#include "kernels/x86/expand_i4z_256.h"
#include "kernels/x86/tile_i8_256.h"

namespace onepass::kernels {
namespace {

constexpr size_t part_inputs = 512;  // 16 KiB of nibbles as bytes
constexpr size_t part_groups = part_inputs / 32;
constexpr size_t tile_rows = 4;

// Some inputs of a panel.
struct Nibbles {
  const uint8_t* codes;     // of the first pair of groups; spread: [inputs/4][32][4], a nibble a byte
  const int32_t* steps;     // [groups][32], the step in both halves
  const int32_t* products;  // [pairs][32], step * zero of the even group and of the odd
  const int32_t* a_sums;    // [rows][part_groups / 2], minus the sum of the row's codes of the even group, and the odd
  size_t group, pair_bytes, inputs;
};

ONEPASS_INLINE __m256i load_32(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }

// pairs (+)= four inputs.
template <size_t rows, bool spread, bool first>
ONEPASS_INLINE void add_four(Sums (&pairs)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes,
                             __m128i shift) {
  __m256i w0 = load_32(codes), w1 = load_32(codes + 32);
  if constexpr (!spread) {
    w0 = _mm256_and_si256(_mm256_srl_epi16(w0, shift), _mm256_set1_epi8(15));
    w1 = _mm256_and_si256(_mm256_srl_epi16(w1, shift), _mm256_set1_epi8(15));
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
    const __m256i p0 = _mm256_maddubs_epi16(w0, x), p1 = _mm256_maddubs_epi16(w1, x);
    pairs[i][0] = as_sums(first ? p0 : _mm256_add_epi16(as_register(pairs[i][0]), p0));
    pairs[i][1] = as_sums(first ? p1 : _mm256_add_epi16(as_register(pairs[i][1]), p1));
  }
}

// Channels [half * 16, half * 16 + 16) of the panel.
template <size_t rows, bool spread>
ONEPASS_INLINE void half_tile_i4z(const MatmulI8& op, size_t m, const Panel& panel, size_t half, const Nibbles& w,
                                  const int32_t* a_sums) {
  Sums sum[rows][2];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) sum[i][0] = sum[i][1] = Sums{};
  for (size_t pair = 0; pair * 2 * w.group < w.inputs; ++pair) {
    const int32_t* products = w.products + pair * 32 + half * 16;
    const __m256i z0 = load_32(products), z1 = load_32(products + 8);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m256i x = _mm256_set1_epi32(a_sums[i * (part_groups / 2) + pair]);
      sum[i][0] += as_sums(_mm256_madd_epi16(z0, x));
      sum[i][1] += as_sums(_mm256_madd_epi16(z1, x));
    }
  }
  const int8_t* a = op.a + m * op.a_stride;
  const uint8_t* next = panel.next;
  for (size_t k = 0; k < w.inputs; k += 32, next += panel.next_step) {
    for (size_t at = 0; at < panel.next_step; at += 64) fetch_far(next + at);
    const size_t g = k / w.group;
    const uint8_t* codes = w.codes + half * 64 + (spread ? k * 32 : g / 2 * w.pair_bytes + k % w.group * 32);
    const __m128i shift = _mm_cvtsi32_si128(g % 2 == 0 ? 0 : 4);
    Sums pairs[rows][2];
    add_four<rows, spread, true>(pairs, a + k, op.a_stride, codes, shift);
    if (w.inputs - k >= 32) {
#pragma GCC unroll 2  // of all eight g++ 12 computes the products first, and keeps them in memory
      for (size_t i = 4; i < 32; i += 4) {
        add_four<rows, spread, false>(pairs, a + k + i, op.a_stride, codes + i * 32, shift);
      }
    } else {
      for (size_t i = 4; i < w.inputs - k; i += 4) {
        add_four<rows, spread, false>(pairs, a + k + i, op.a_stride, codes + i * 32, shift);
      }
    }
    const int32_t* steps = w.steps + g * 32 + half * 16;
    const __m256i step0 = load_32(steps), step1 = load_32(steps + 8);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      sum[i][0] += as_sums(_mm256_madd_epi16(as_register(pairs[i][0]), step0));
      sum[i][1] += as_sums(_mm256_madd_epi16(as_register(pairs[i][1]), step1));
    }
  }
  finish_columns<rows, 2>(op, m, panel, half * 16, sum);
}

template <bool spread, size_t most>
ONEPASS_INLINE void multiply_block(size_t rows, const MatmulI8& op, size_t m, Panel& panel, const Nibbles& w) {
  if (rows == most) {
    const int32_t* a_sums = w.a_sums + m % group_rows * (part_groups / 2);
#pragma GCC unroll 1
    for (size_t half = 0; half * 16 < panel.count; ++half) {
      half_tile_i4z<most, spread>(op, m, panel, half, w, a_sums);
      panel.next += (w.inputs + 31) / 32 * panel.next_step;
    }
  } else if constexpr (most > (spread ? 2 : 1)) {  // five rows and more are blocks of two and more
    multiply_block<spread, most - 1>(rows, op, m, panel, w);
  }
}

// Minus the sums of a row's codes in the two groups of each pair, as 16-bit halves: 64 * 127 = 8128 at most.
ONEPASS_INLINE void sum_activations(const int8_t* a, size_t inputs, size_t group, int32_t* sums) {
  const __m256i minus = _mm256_set1_epi8(-1);
  for (size_t k = 0; k < inputs; k += 2 * group) {
    int32_t both[2] = {};
    for (size_t odd = 0; odd < 2; ++odd) {
      const size_t begin = k + odd * group, end = begin + group < inputs ? begin + group : inputs;
      size_t i = begin;
      if (begin + group <= inputs) {
        __m256i sum = _mm256_setzero_si256();
        for (; i < end; i += 32) {
          // Two neighbours fit 16 bits: |a| * sign(-1, a) = -a.
          const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i));
          const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(minus, codes));
          sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        __m128i lanes = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0x4e));
        both[odd] = _mm_cvtsi128_si32(_mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0xb1)));
      }
      for (; i < end; ++i) both[odd] -= a[i];
    }
    *sums++ = static_cast<int32_t>((static_cast<uint32_t>(both[0]) & 0xffffu) | static_cast<uint32_t>(both[1]) << 16);
  }
}

// The factors of a pair of groups, as the operands of vpmaddwd.
ONEPASS_INLINE void widen_factors(const uint8_t* factors, int32_t* steps, int32_t* products) {
  const Factors even = load_factors(factors), odd = load_factors(factors + 32);
  alignas(32) uint8_t bytes[4][32];
  _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[0]), even.step);
  _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[1]), odd.step);
  _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[2]), even.product);
  _mm256_store_si256(reinterpret_cast<__m256i*>(bytes[3]), odd.product);
  const auto widen = [](const uint8_t* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  };
  for (size_t i = 0; i < 32; i += 8) {
    const __m256i step0 = widen(bytes[0] + i), step1 = widen(bytes[1] + i);
    const auto twice = [](__m256i x) { return _mm256_or_si256(x, _mm256_slli_epi32(x, 16)); };
    _mm256_store_si256(reinterpret_cast<__m256i*>(steps + i), twice(step0));
    _mm256_store_si256(reinterpret_cast<__m256i*>(steps + 32 + i), twice(step1));
    _mm256_store_si256(reinterpret_cast<__m256i*>(products + i),
                       _mm256_or_si256(widen(bytes[2] + i), _mm256_slli_epi32(widen(bytes[3] + i), 16)));
  }
}

// The nibbles of a pair of groups, a byte each.
ONEPASS_INLINE void spread_pair(const uint8_t* pair, size_t group, uint8_t* low) {
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  for (size_t at = 0; at < group * 32; at += 32) {
    const __m256i both = load_32(pair + at);
    _mm256_store_si256(reinterpret_cast<__m256i*>(low + at), _mm256_and_si256(both, low_nibbles));
    _mm256_store_si256(reinterpret_cast<__m256i*>(low + group * 32 + at),
                       _mm256_and_si256(_mm256_srli_epi16(both, 4), low_nibbles));
  }
}

// Blocks of rows of equal height.
template <bool spread>
ONEPASS_INLINE void multiply_rows(const MatmulI8& op, size_t m, size_t end, Panel& panel, const Nibbles& w) {
  const size_t first = m;
  for (size_t blocks = (end - m + tile_rows - 1) / tile_rows; blocks > 0; --blocks) {
    const size_t rows = (end - m + blocks - 1) / blocks;
    multiply_block<spread, tile_rows>(rows, op, m, panel, w);
    m += rows;
  }
  if (!panel.continues && (op.act != Act::none || op.peak != nullptr)) finish_tile(op, first, end - first, panel);
}

}  // namespace

[[gnu::flatten]] void matmul_i4z_avx2(const MatmulI4Z& op) noexcept {
  alignas(64) uint8_t spread[part_inputs * 32];
  alignas(64) int32_t steps[(part_groups + 1) * 32], products[part_groups / 2 * 32];
  int32_t a_sums[group_rows * (part_groups / 2)];
  const size_t group = group_size(op.layout), pair_bytes = i4_pair_bytes(op.layout);
  const size_t panel_bytes = i4_panel_bytes(op.layout, op.k), k_end = round_up(op.k, 4);
  const auto* packed = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(packed + scale_offset(op.layout, op.n, op.k));
  for (size_t m = 0; m < op.m; m += group_rows) {
    const size_t rows = op.m - m < group_rows ? op.m - m : group_rows;
    for (size_t k = 0; k < k_end; k += part_inputs) {
      const size_t inputs = k_end - k < part_inputs ? k_end - k : part_inputs;
      const size_t part_bytes = (inputs + 2 * group - 1) / (2 * group) * pair_bytes;
      const MatmulI8 part = int8_part(op, m, rows, k, inputs);
      for (size_t i = 0; i < rows; ++i) {
        sum_activations(part.a + i * op.a_stride, inputs, group, a_sums + i * (part_groups / 2));
      }
      for (size_t n = op.n_begin; n < op.n_end; n += 32) {
        const uint8_t* codes = packed + n / 32 * panel_bytes + k / (2 * group) * pair_bytes;
        const bool spreads = rows > tile_rows;
        for (size_t i = 0; i * 2 * group < inputs; ++i) {
          const uint8_t* pair = codes + i * pair_bytes;
          widen_factors(pair + group * 32, steps + i * 64, products + i * 32);
          if (spreads) spread_pair(pair, group, spread + i * 2 * group * 32);
        }
        // The next panel's part is asked for over all the arithmetic of this one.
        const size_t steps_of_32 = (rows + tile_rows - 1) / tile_rows * 2 * ((inputs + 31) / 32);
        Panel panel = {.codes = codes,
                       .scale = scale + n,
                       .bias = op.bias != nullptr ? op.bias + n : nullptr,
                       .n = n,
                       .count = op.n_end - n < 32 ? op.n_end - n : 32,
                       .next = codes + panel_bytes,
                       .next_step = (part_bytes + steps_of_32 - 1) / steps_of_32,
                       .fetching = 1,
                       .continued = k != 0,
                       .continues = k + inputs < k_end};
        const Nibbles w = {spreads ? spread : codes, steps, products, a_sums, group, pair_bytes, inputs};
        if (spreads) {
          multiply_rows<true>(part, 0, rows, panel, w);
        } else {
          multiply_rows<false>(part, 0, rows, panel, w);
        }
      }
    }
  }
}

}  // namespace onepass::kernels
