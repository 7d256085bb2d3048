// Processors without sdot: smlal multiplies 16-bit codes and adds the products to 32-bit sums, one key or channel of
// each of four at a time.
#include "kernels/arm/attention_i8_lanes.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct Neon : Lanes128 {
  using Key = int16_t;
  using Value = int16_t;
  using Query = int16_t;
  using Code = int16_t;
  using Operand = int16x4_t;
  static constexpr size_t group = 1;

  ONEPASS_INLINE static Operand load(const int16_t* p) { return vld1_s16(p); }
  ONEPASS_INLINE static Sums step(Sums sum, Operand keys, const int16_t* q) { return vmlal_n_s16(sum, keys, *q); }
  ONEPASS_INLINE static Operand load_terms(const int16_t* p) { return vld1_s16(p); }
  ONEPASS_INLINE static Sums pair_step(Sums sum, Operand keys, Operand columns) {
    return vmlal_s16(sum, keys, columns);
  }
  ONEPASS_INLINE static Operand splat_key(const int16_t* p) { return vdup_n_s16(*p); }
  ONEPASS_INLINE static Sums mix_step(Sums sum, Operand values, const int16_t* codes) {
    return vmlal_n_s16(sum, values, *codes);
  }
  ONEPASS_INLINE static void store_keys(const I16 (&rows)[4], int16_t* to, size_t stride) {
    for (size_t part = 0; part < 4; ++part) {
      const int16x4x4_t four = {
          {words(rows[0], part), words(rows[1], part), words(rows[2], part), words(rows[3], part)}};
      int16_t by_channel[16];
      vst4_s16(by_channel, four);
      for (size_t c = 0; c < 4; ++c) vst1_s16(to + (4 * part + c) * stride, vld1_s16(by_channel + 4 * c));
    }
  }
  ONEPASS_INLINE static void store_terms(const I16 (&rows)[4], int16_t* to, size_t stride) {
    store_keys(rows, to, stride);
  }
  ONEPASS_INLINE static void store_values(const I16 (&rows)[4], int16_t* values, size_t channel, size_t width) {
    for (size_t i = 0; i < 4; ++i) store_queries(rows[i], values + i * width + channel);
  }
  ONEPASS_INLINE static void store_queries(I16 codes, int16_t* to) {
    for (size_t part = 0; part < 4; ++part) vst1_s16(to + 4 * part, words(codes, part));
  }
  ONEPASS_INLINE static void score_starts(const int16_t*, size_t, size_t, bool, int32_t* start) {
    plain_starts(start, score_start);
  }
  ONEPASS_INLINE static void mix_starts(I16, int32_t* start) { plain_starts(start, 0); }
  template <size_t vectors>
  ONEPASS_INLINE static void store_codes(const F16 (&y)[vectors], int16_t* codes) {
    for (size_t v = 0; v < 4; ++v) {
      for (size_t half = 0; half < 2; ++half) {
        vst1q_s16(codes + 16 * v + 8 * half,
                  v < vectors ? code_words(y[v < vectors ? v : 0], 2 * half) : vdupq_n_s16(0));
      }
    }
  }
  ONEPASS_INLINE static I16 code_sums(const int16_t* codes, size_t rows) {
    alignas(64) int32_t sums[query_rows] = {};
    for (size_t i = 0; i < rows; ++i) {
      int32x4_t sum = vdupq_n_s32(0);
      for (size_t t = 0; t < block_keys; t += 8) sum = vpadalq_s16(sum, vld1q_s16(codes + i * block_keys + t));
      sums[i] = vaddvq_s32(sum);
    }
    return load_bits(sums);
  }
};

}  // namespace

[[gnu::flatten]] void attention_i8_neon(const AttentionI8& op) noexcept { attend_i8<Neon>(op); }

}  // namespace onepass::kernels
