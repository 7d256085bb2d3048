// vpmaddwd: products of 16-bit codes, two at a time, whose 32-bit sums are exact. vpmaddubsw would saturate with
// codes up to 255, and needs three instructions for twice the products.
#include "kernels/kernels.h"
#include "kernels/x86/attention_i8_256.h"

namespace onepass::kernels {
namespace {

struct Avx2 : Lanes256 {
  using Key = int16_t;
  using Value = int16_t;
  using Query = int16_t;
  using Code = int16_t;
  static constexpr size_t group = 2;

  ONEPASS_INLINE static Sums step(Sums sum, Operand keys, const int16_t* q) {
    return as_sums(_mm256_add_epi32(as_register(sum), _mm256_madd_epi16(keys, broadcast(q))));
  }
  ONEPASS_INLINE static Sums pair_step(Sums sum, Operand keys, Operand columns) {
    return as_sums(_mm256_add_epi32(as_register(sum), _mm256_madd_epi16(keys, columns)));
  }
  ONEPASS_INLINE static Sums mix_step(Sums sum, Operand values, const int16_t* codes) {
    return step(sum, values, codes);
  }
  ONEPASS_INLINE static void store_keys(const I16 (&rows)[4], int16_t* keys, size_t stride) {
    for (size_t i = 0; i < 2; ++i) {
      const __m256 ab = _mm256_castsi256_ps(_mm256_packs_epi32(rows[0].part[i], rows[1].part[i]));
      const __m256 cd = _mm256_castsi256_ps(_mm256_packs_epi32(rows[2].part[i], rows[3].part[i]));
      const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(ab, cd, 0x88));
      const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(ab, cd, 0xdd));
      int16_t* to = keys + 4 * i * stride;
      store_half(to, _mm256_castsi256_si128(even));
      store_half(to + stride, _mm256_castsi256_si128(odd));
      store_half(to + 2 * stride, _mm256_extracti128_si256(even, 1));
      store_half(to + 3 * stride, _mm256_extracti128_si256(odd, 1));
    }
  }
  ONEPASS_INLINE static void store_terms(const I16 (&rows)[4], int16_t* to, size_t stride) {
    store_keys(rows, to, stride);
  }
  ONEPASS_INLINE static void store_values(const I16 (&rows)[4], int16_t* values, size_t channel, size_t width) {
    for (size_t pair = 0; pair < 2; ++pair) {
      for (size_t i = 0; i < 2; ++i) {
        const __m256i codes =
            _mm256_blend_epi16(rows[2 * pair].part[i], _mm256_slli_epi32(rows[2 * pair + 1].part[i], 16), 0xaa);
        int16_t* to = values + (pair * width + channel + 8 * i) * 2;
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), codes);
      }
    }
  }
  ONEPASS_INLINE static void store_queries(I16 codes, int16_t* to) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes.part[0], codes.part[1]), 0xd8);
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), words);
  }
  ONEPASS_INLINE static void score_starts(const int16_t*, size_t, size_t, bool, int32_t* start) {
    for (size_t i = 0; i < query_rows; ++i) start[i] = score_start;
  }
  template <size_t vectors>
  ONEPASS_INLINE static void store_codes(const F16 (&y)[vectors], int16_t* codes) {
    for (size_t v = 0; v < 4; ++v) {
      const __m256i words = v < vectors ? code_words(y[v < vectors ? v : 0]) : _mm256_setzero_si256();
      _mm256_store_si256(reinterpret_cast<__m256i*>(codes + 16 * v), words);
    }
  }
  ONEPASS_INLINE static I16 code_sums(const int16_t* codes, size_t rows) {
    alignas(64) int32_t sums[query_rows] = {};
    for (size_t i = 0; i < rows; ++i) {
      const auto* row = reinterpret_cast<const __m256i*>(codes + i * block_keys);
      const __m256i words = _mm256_add_epi16(_mm256_add_epi16(row[0], row[1]), _mm256_add_epi16(row[2], row[3]));
      sums[i] = sum_lanes_of(_mm256_madd_epi16(words, _mm256_set1_epi16(1)));
    }
    return load_bits(sums);
  }
};

}  // namespace

[[gnu::flatten]] void attention_i8_avx2(const AttentionI8& op) noexcept { attend_i8<Avx2>(op); }

}  // namespace onepass::kernels
