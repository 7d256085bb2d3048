// vpdpbusd takes the keys as its unsigned operand, 128 too high, and the queries as its signed one, broadcast from
// memory; what 128 adds to a query's scores is the same for all its keys, and a softmax does not see it. With the
// values the codes are the unsigned operand.
//
// A tile is 8 rows by 32 keys or channels: 16 accumulators; 64 keys of 16 queries are 8 tiles.
#include "kernels/attention_i8_blocks.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct Avx512Vnni {
  using Key = uint8_t;
  using Value = int8_t;
  using Query = int8_t;
  using Code = uint8_t;
  using Operand = __m512i;
  using Sums [[gnu::vector_size(64)]] = int32_t;  // see kernels/x86/matmul_i8_avx512vnni.cpp
  static constexpr size_t group = 4, lanes = 16, tile_rows = 8, tile_panels = 2;

  ONEPASS_INLINE static Sums as_sums(__m512i x) { return reinterpret_cast<Sums>(x); }
  ONEPASS_INLINE static __m512i as_register(Sums x) { return reinterpret_cast<__m512i>(x); }
  ONEPASS_INLINE static Sums splat_sum(int32_t x) { return as_sums(_mm512_set1_epi32(x)); }
  ONEPASS_INLINE static Sums load_sum(const int32_t* p) { return as_sums(_mm512_loadu_si512(p)); }
  ONEPASS_INLINE static void store_sum(int32_t* to, Sums x) { _mm512_storeu_si512(to, as_register(x)); }
  ONEPASS_INLINE static Operand load(const void* p) { return _mm512_load_si512(p); }
  ONEPASS_INLINE static __m512i four(const void* p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_set1_epi32(bits);
  }
  ONEPASS_INLINE static Sums step(Sums sum, Operand keys, const int8_t* q) {
    return as_sums(_mm512_dpbusd_epi32(as_register(sum), keys, four(q)));
  }
  ONEPASS_INLINE static Sums pair_step(Sums sum, Operand keys, Operand columns) {
    return as_sums(_mm512_dpbusd_epi32(as_register(sum), keys, columns));
  }
  static constexpr bool joins_columns = true;
  ONEPASS_INLINE static Operand load_terms(const void* p) { return _mm512_loadu_si512(p); }
  ONEPASS_INLINE static Operand lanes_from(size_t n) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int32_t>(n)));
  }
  ONEPASS_INLINE static Operand join(Operand low, Operand high, Operand lanes) {
    return _mm512_permutex2var_epi32(low, lanes, high);
  }
  ONEPASS_INLINE static Operand splat_key(const uint8_t* p) { return four(p); }
  ONEPASS_INLINE static Sums mix_step(Sums sum, Operand values, const uint8_t* codes) {
    return as_sums(_mm512_dpbusd_epi32(as_register(sum), four(codes), values));
  }

  ONEPASS_INLINE static void add_mix(float* to, Sums sum, float a, float b) {
    const __m512 before = _mm512_mul_ps(_mm512_loadu_ps(to), _mm512_set1_ps(a));
    _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(as_register(sum)), _mm512_set1_ps(b), before));
  }

  // Lane of 128 bits c / 4: rows 0 to 3 of channels c .. c + 3.
  ONEPASS_INLINE static __m512i pack_four(const I16 (&rows)[4]) {
    return _mm512_packs_epi16(_mm512_packs_epi32(rows[0].part[0], rows[1].part[0]),
                              _mm512_packs_epi32(rows[2].part[0], rows[3].part[0]));
  }
  ONEPASS_INLINE static void store_groups(__m512i codes, void* to, size_t stride) {
    auto* group = static_cast<uint8_t*>(to);
    _mm_store_si128(reinterpret_cast<__m128i*>(group), _mm512_castsi512_si128(codes));
    _mm_store_si128(reinterpret_cast<__m128i*>(group + stride), _mm512_extracti32x4_epi32(codes, 1));
    _mm_store_si128(reinterpret_cast<__m128i*>(group + 2 * stride), _mm512_extracti32x4_epi32(codes, 2));
    _mm_store_si128(reinterpret_cast<__m128i*>(group + 3 * stride), _mm512_extracti32x4_epi32(codes, 3));
  }
  ONEPASS_INLINE static void store_keys(const I16 (&rows)[4], uint8_t* to, size_t stride) {
    store_groups(_mm512_xor_si512(pack_four(rows), _mm512_set1_epi8(static_cast<char>(0x80))), to, stride);
  }
  ONEPASS_INLINE static void store_terms(const I16 (&rows)[4], int8_t* to, size_t stride) {
    store_groups(pack_four(rows), to, stride);
  }
  ONEPASS_INLINE static void store_values(const I16 (&rows)[4], int8_t* values, size_t channel, size_t) {
    const __m512i by_channel =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    _mm512_store_si512(values + channel * 4, _mm512_shuffle_epi8(pack_four(rows), by_channel));
  }
  ONEPASS_INLINE static void store_queries(I16 codes, int8_t* to) {
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtsepi32_epi8(codes.part[0]));
  }
  // Unless the sums are to be exact: up to 128 channels the excess of 128 keeps |sum| below 2^22: 127 * 255 * 128.
  // Beyond, the sums start below 0.
  ONEPASS_INLINE static void score_starts(const int8_t* q, size_t width, size_t rows, bool exact, int32_t* start) {
    for (size_t i = 0; i < query_rows; ++i) start[i] = score_start;
    if (!exact && width <= 128) return;
    for (size_t i = 0; i < rows; ++i) {
      __m128i sum = _mm_setzero_si128();
      const __m128i ones = _mm_set1_epi8(1);
      for (size_t e = 0; e < width; e += 16) {
        sum = _mm_dpbusd_epi32(sum, ones, _mm_load_si128(reinterpret_cast<const __m128i*>(q + i * width + e)));
      }
      sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
      start[i] -= 128 * _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
    }
  }
  ONEPASS_INLINE static void mix_starts(I16, int32_t* start) { _mm512_store_si512(start, _mm512_setzero_si512()); }

  // The codes of 32 values of y as words.
  ONEPASS_INLINE static __m512i code_words(__m512i y) {
    const __m512i whole = _mm512_srli_epi16(y, 12), f = _mm512_slli_epi16(y, 4);
    const auto constant = [](uint16_t c) { return _mm512_set1_epi16(static_cast<int16_t>(c)); };
    __m512i power = _mm512_sub_epi16(constant(exp_code_poly[2]), _mm512_mulhi_epu16(f, constant(exp_code_poly[3])));
    power = _mm512_sub_epi16(constant(exp_code_poly[1]), _mm512_mulhi_epu16(f, power));
    power = _mm512_sub_epi16(constant(exp_code_poly[0]), _mm512_mulhi_epu16(f, power));
    return _mm512_mulhrs_epi16(power, _mm512_srlv_epi16(_mm512_set1_epi16(256), whole));
  }
  template <size_t vectors>
  ONEPASS_INLINE static void store_codes(const F16 (&y)[vectors], uint8_t* codes) {
    const auto steps = [&](size_t v) {
      return v < vectors ? _mm512_cvtps_epi32(y[v < vectors ? v : 0].part[0]) : _mm512_set1_epi32(65535);
    };
    const __m512i low = code_words(_mm512_packus_epi32(steps(0), steps(1)));
    const __m512i high = vectors > 2 ? code_words(_mm512_packus_epi32(steps(2), steps(3))) : _mm512_setzero_si512();
    // Both packs work within lanes of 128 bits: the four keys 4 j .. 4 j + 3 of vector v lie at 4 j + v.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_store_si512(codes, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
  }

  // Sixteen sums of 64 codes: each row's eight sums of eight bytes, then folds that join rows.
  ONEPASS_INLINE static I16 code_sums(const uint8_t* codes, size_t rows) {
    __m512i a[8], b[4], c[2];
    const __m512i zero = _mm512_setzero_si512();
    const auto eight = [&](size_t i) {
      return i < rows ? _mm512_sad_epu8(_mm512_load_si512(codes + i * block_keys), zero) : zero;
    };
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      a[i] = _mm512_or_si512(eight(i), _mm512_slli_epi64(eight(i + 8), 32));  // pairs: rows i, i + 8
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      b[i] = _mm512_add_epi32(_mm512_shuffle_i64x2(a[i], a[i + 4], 0x44), _mm512_shuffle_i64x2(a[i], a[i + 4], 0xee));
    }  // halves: rows i, i + 4
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      c[i] = _mm512_add_epi32(_mm512_shuffle_i64x2(b[i], b[i + 2], 0x88), _mm512_shuffle_i64x2(b[i], b[i + 2], 0xdd));
    }  // lanes of 128: rows i, i + 4, i + 2, i + 6
    const __m512i d = _mm512_add_epi32(_mm512_unpacklo_epi64(c[0], c[1]), _mm512_unpackhi_epi64(c[0], c[1]));
    // d: in each lane of 128 rows r, r + 8, r + 1, r + 9, for r = 0, 4, 2, 6.
    return I16{{_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 5, 7, 13, 15), d)}};
  }
};

}  // namespace

[[gnu::flatten]] void attention_i8_avx512vnni(const AttentionI8& op) noexcept { attend_i8<Avx512Vnni>(op); }

}  // namespace onepass::kernels
