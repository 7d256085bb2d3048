// As attention_i8_avx512vnni, on 256-bit registers.
#include "kernels/kernels.h"
#include "kernels/x86/attention_i8_256.h"

namespace onepass::kernels {
namespace {

struct AvxVnni : Lanes256 {
  using Key = uint8_t;
  using Value = int8_t;
  using Query = int8_t;
  using Code = uint8_t;
  static constexpr size_t group = 4;

  ONEPASS_INLINE static Sums step(Sums sum, Operand keys, const int8_t* q) {
    return as_sums(_mm256_dpbusd_avx_epi32(as_register(sum), keys, broadcast(q)));
  }
  ONEPASS_INLINE static Sums pair_step(Sums sum, Operand keys, Operand columns) {
    return as_sums(_mm256_dpbusd_avx_epi32(as_register(sum), keys, columns));
  }
  ONEPASS_INLINE static Sums mix_step(Sums sum, Operand values, const uint8_t* codes) {
    return as_sums(_mm256_dpbusd_avx_epi32(as_register(sum), broadcast(codes), values));
  }
  // Lane of 128 bits c / 4: rows 0 to 3 of channels c .. c + 3 of the eight of part i.
  ONEPASS_INLINE static __m256i pack_four(const I16 (&rows)[4], size_t i) {
    return _mm256_packs_epi16(_mm256_packs_epi32(rows[0].part[i], rows[1].part[i]),
                              _mm256_packs_epi32(rows[2].part[i], rows[3].part[i]));
  }
  ONEPASS_INLINE static void store_groups(const I16 (&rows)[4], __m256i excess, void* to, size_t stride) {
    for (size_t i = 0; i < 2; ++i) {
      const __m256i codes = _mm256_xor_si256(pack_four(rows, i), excess);
      uint8_t* group = static_cast<uint8_t*>(to) + 2 * i * stride;
      store_half(group, _mm256_castsi256_si128(codes));
      store_half(group + stride, _mm256_extracti128_si256(codes, 1));
    }
  }
  ONEPASS_INLINE static void store_keys(const I16 (&rows)[4], uint8_t* to, size_t stride) {
    store_groups(rows, _mm256_set1_epi8(static_cast<char>(0x80)), to, stride);
  }
  ONEPASS_INLINE static void store_terms(const I16 (&rows)[4], int8_t* to, size_t stride) {
    store_groups(rows, _mm256_setzero_si256(), to, stride);
  }
  ONEPASS_INLINE static void store_values(const I16 (&rows)[4], int8_t* values, size_t channel, size_t) {
    const __m256i by_channel =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (size_t i = 0; i < 2; ++i) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(values + (channel + 8 * i) * 4),
                         _mm256_shuffle_epi8(pack_four(rows, i), by_channel));
    }
  }
  ONEPASS_INLINE static void store_queries(I16 codes, int8_t* to) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes.part[0], codes.part[1]), 0xd8);
    store_half(to, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  // Unless the sums are to be exact: up to 128 channels the excess of 128 keeps |sum| below 2^22: 127 * 255 * 128.
  // Beyond, the sums start below 0.
  ONEPASS_INLINE static void score_starts(const int8_t* q, size_t width, size_t rows, bool exact, int32_t* start) {
    for (size_t i = 0; i < query_rows; ++i) start[i] = score_start;
    if (!exact && width <= 128) return;
    for (size_t i = 0; i < rows; ++i) {
      int32_t sum = 0;
      for (size_t e = 0; e < width; ++e) sum += q[i * width + e];
      start[i] -= 128 * sum;
    }
  }
  template <size_t vectors>
  ONEPASS_INLINE static void store_codes(const F16 (&y)[vectors], uint8_t* codes) {
    for (size_t v = 0; v < 4; v += 2) {
      const auto words = [&](size_t i) {
        return i < vectors ? code_words(y[i < vectors ? i : 0]) : _mm256_setzero_si256();
      };
      const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words(v), words(v + 1)), 0xd8);
      _mm256_store_si256(reinterpret_cast<__m256i*>(codes + 16 * v), bytes);
    }
  }
  ONEPASS_INLINE static I16 code_sums(const uint8_t* codes, size_t rows) {
    alignas(64) int32_t sums[query_rows] = {};
    for (size_t i = 0; i < rows; ++i) {
      const __m256i zero = _mm256_setzero_si256();
      const __m256i low = _mm256_sad_epu8(load(codes + i * block_keys), zero);
      sums[i] = sum_lanes_of(_mm256_add_epi32(low, _mm256_sad_epu8(load(codes + i * block_keys + 32), zero)));
    }
    return load_bits(sums);
  }
};

}  // namespace

[[gnu::flatten]] void attention_i8_avxvnni(const AttentionI8& op) noexcept { attend_i8<AvxVnni>(op); }

}  // namespace onepass::kernels
