// Three instructions for 32 products, where 16 bits hold what vpmaddubsw adds up (saturation.h), and the sign trick
// where they often would not: |w| is the unsigned operand, and a takes the sign of w, so that two products are at most
// 2 * 128 * 127 = 32512. Both are exact for every weight byte.
//
// A tile is 4 rows by 16 channels: 8 accumulators, two weight vectors with their magnitudes, the ones, and three
// temporaries make 16 registers.
#include "kernels/kernels.h"
#include "kernels/x86/saturation.h"
#include "kernels/x86/tile_i8_256.h"

namespace onepass::kernels {
namespace {

constexpr size_t tile_rows = 4;

struct AsStored {
  using Weights = __m256i;
  ONEPASS_INLINE static __m256i weights(const uint8_t* codes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  }
  ONEPASS_INLINE static __m256i add(__m256i sum, __m256i w, __m256i a) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
  }
};

struct SignTrick {
  struct Weights {
    __m256i signed_codes, magnitudes;
  };
  ONEPASS_INLINE static Weights weights(const uint8_t* codes) {
    const __m256i stored = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
    const __m256i signed_codes = _mm256_xor_si256(stored, _mm256_set1_epi8(static_cast<char>(0x80)));
    return {signed_codes, _mm256_abs_epi8(signed_codes)};
  }
  ONEPASS_INLINE static __m256i add(__m256i sum, const Weights& w, __m256i a) {
    const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(a, w.signed_codes));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// What saturation took from the product of four inputs: that of the codes' halves, less that of the codes. It fits 16
// bits, at most 255 * 254 - 32767.
ONEPASS_INLINE Sums lost(const uint8_t* codes, __m256i a, __m256i half, __m256i rest) {
  const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
  const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(w, half), _mm256_maddubs_epi16(w, rest));
  return as_sums(_mm256_madd_epi16(_mm256_sub_epi16(both, _mm256_maddubs_epi16(w, a)), _mm256_set1_epi16(1)));
}

struct AddWhatWasLost {
  static constexpr bool corrects = true;
  const Saturating* begin;
  const Saturating* end;
  const int8_t* a;  // the tile's first row
  size_t a_stride;
  const uint8_t* codes;  // of the channels

  template <size_t rows, size_t vectors>
  ONEPASS_INLINE void operator()(Sums (&sum)[rows][vectors]) const {
    for (const Saturating* s = begin; s != end; ++s) {
      const __m256i x = _mm256_set1_epi32(load_four(a + s->row * a_stride + s->four * size_t{4}));
      const __m256i sign = _mm256_and_si256(x, _mm256_set1_epi8(static_cast<char>(0x80)));
      const __m256i shifted = _mm256_and_si256(_mm256_srli_epi16(x, 1), _mm256_set1_epi8(0x7f));
      const __m256i half = _mm256_or_si256(shifted, sign), rest = _mm256_sub_epi8(x, half);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j) {
        sum[s->row][j] += lost(codes + s->four * size_t{128} + j * 32, x, half, rest);
      }
    }
  }
};

template <size_t rows>
ONEPASS_INLINE void multiply_tile(const MatmulI8& op, size_t group, const Panel& panel, const Plan& plan,
                                  const TilePlan& tile) {
  constexpr int32_t zeros[rows] = {};
  const size_t m = group + tile.first_row;
#pragma GCC unroll 1
  for (size_t first = 0; first < 32; first += 16) {
    if (tile.by_sign) {
      columns<SignTrick, rows, 2, 1>(op, m, panel, first, zeros);
    } else {
      const AddWhatWasLost correct = {plan.saturating + tile.begin, plan.saturating + tile.end, op.a + m * op.a_stride,
                                      op.a_stride, panel.codes + first * 4};
      columns<AsStored, rows, 2, 1>(op, m, panel, first, plan.start + tile.first_row, correct);
    }
  }
}

template <size_t most>
ONEPASS_INLINE void multiply_tile_of(size_t rows, const MatmulI8& op, size_t group, const Panel& panel,
                                     const Plan& plan, const TilePlan& tile) {
  if (rows == most) {
    multiply_tile<most>(op, group, panel, plan, tile);
  } else if constexpr (most > 1) {
    multiply_tile_of<most - 1>(rows, op, group, panel, plan, tile);
  }
}

}  // namespace

[[gnu::flatten]] void matmul_i8_avx2(const MatmulI8& op) noexcept {
  const size_t k_end = round_up(op.k, 4);
  const auto* codes = static_cast<const uint8_t*>(op.w);
  const auto* scale = reinterpret_cast<const float*>(codes + scale_offset(Layout::i8_n32k4, op.n, op.k));
  const bool finish = op.act != Act::none || op.peak != nullptr;
  Plan plan;
  for (size_t group = 0; group < op.m; group += group_rows) {
    make_plan<tile_rows>(op, group, op.m - group < group_rows ? op.m - group : group_rows, plan);
    for (size_t n = op.n_begin; n < op.n_end; n += 32) {
      Panel panel = {.codes = codes + n * k_end,
                     .scale = scale + n,
                     .bias = op.bias != nullptr ? op.bias + n : nullptr,
                     .n = n,
                     .count = op.n_end - n < 32 ? op.n_end - n : 32,
                     .next = codes + (n + 32) * k_end,
                     .next_step = plan.count > 1 ? 64u : 128u,
                     .fetching = plan.count > 1 ? 2u : 1u};
      for (size_t t = 0; t < plan.count; ++t) {
        if (t == panel.fetching) panel.next = panel.codes, panel.next_step = 0;
        const TilePlan& tile = plan.tiles[t];
        multiply_tile_of<tile_rows>(tile.rows, op, group, panel, plan, tile);
        if (finish) finish_tile(op, group + tile.first_row, tile.rows, panel);
        panel.next += k_end / 4 * panel.next_step;
      }
    }
  }
}

}  // namespace onepass::kernels
