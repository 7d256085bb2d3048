// vpmaddubsw of nibbles and activations: two products are at most 2 * 15 * 127 = 3810, so eight results, 32 inputs, add
// up in 16 bits (30480) before vpmaddwd makes them 32-bit sums. int8 needs that step, and the sign trick, every time.
//
// A tile is 4 rows by 16 channels: 8 accumulators of 16 bits, 2 weight vectors, a broadcast and a temporary; the 32-bit
// sums of the group are in memory meanwhile, as they are touched once in 32 inputs.
#include "kernels/kernels.h"
#include "kernels/x86/tile_i4_256.h"

namespace onepass::kernels {
namespace {

struct PairDot {
  static constexpr int32_t high_factor = 1;
  __m256i shift;

  ONEPASS_INLINE explicit PairDot(bool high) : shift(_mm256_set1_epi32(high ? 4 : 0)) {}
  ONEPASS_INLINE __m256i nibbles(__m256i both) const {
    return _mm256_and_si256(_mm256_srlv_epi32(both, shift), _mm256_set1_epi8(0x0f));
  }

  template <size_t rows, bool spread, bool first>
  ONEPASS_INLINE void add_four(Sums (&pairs)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes) const {
    __m256i w0 = load_codes(codes), w1 = load_codes(codes + 32);
    if constexpr (!spread) {
      w0 = nibbles(w0);
      w1 = nibbles(w1);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
      const __m256i p0 = _mm256_maddubs_epi16(w0, x), p1 = _mm256_maddubs_epi16(w1, x);
      pairs[i][0] = as_sums(first ? p0 : _mm256_add_epi16(as_register(pairs[i][0]), p0));
      pairs[i][1] = as_sums(first ? p1 : _mm256_add_epi16(as_register(pairs[i][1]), p1));
    }
  }

  // At most 32 inputs.
  template <size_t rows, bool spread>
  ONEPASS_INLINE void add_run(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes,
                              size_t inputs) const {
    Sums pairs[rows][2];
    add_four<rows, spread, true>(pairs, a, a_stride, codes);
    if (inputs == 32) {
#pragma GCC unroll 2  // of all eight g++ 12 computes the products first, and keeps them in memory
      for (size_t k = 4; k < 32; k += 4) add_four<rows, spread, false>(pairs, a + k, a_stride, codes + k * 32);
    } else {
      for (size_t k = 4; k < inputs; k += 4) add_four<rows, spread, false>(pairs, a + k, a_stride, codes + k * 32);
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      sum[i][0] += as_sums(_mm256_madd_epi16(as_register(pairs[i][0]), ones));
      sum[i][1] += as_sums(_mm256_madd_epi16(as_register(pairs[i][1]), ones));
    }
  }

  template <size_t rows, bool spread>
  ONEPASS_INLINE void add_group(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes,
                                size_t inputs) const {
    for (size_t k = 0; k < inputs; k += 32) {
      add_run<rows, spread>(sum, a + k, a_stride, codes + k * 32, lesser_of(inputs - k, 32));
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_avx2(const MatmulI4& op) noexcept { multiply_i4<Level256<PairDot, 4>>(op); }

}  // namespace onepass::kernels
