// sdot for the scores; udot for the values, stored 128 too high, since the codes take all eight bits: each sum is then
// 128 times the sum of the codes too high, and starts at minus that.
#include "kernels/arm/attention_i8_lanes.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct Dotprod : Lanes128 {
  using Key = int8_t;
  using Value = uint8_t;
  using Query = int8_t;
  using Code = uint8_t;
  using Operand = int8x16_t;
  static constexpr size_t group = 4;

  ONEPASS_INLINE static Operand load(const int8_t* p) { return vld1q_s8(p); }
  ONEPASS_INLINE static Operand load(const uint8_t* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
  ONEPASS_INLINE static int32x4_t broadcast(const void* p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    return vdupq_n_s32(bits);
  }
  ONEPASS_INLINE static Sums step(Sums sum, Operand keys, const int8_t* q) {
    return vdotq_s32(sum, keys, vreinterpretq_s8_s32(broadcast(q)));
  }
  ONEPASS_INLINE static Operand load_terms(const int8_t* p) { return vld1q_s8(p); }
  ONEPASS_INLINE static Sums pair_step(Sums sum, Operand keys, Operand columns) {
    return vdotq_s32(sum, keys, columns);
  }
  ONEPASS_INLINE static Operand splat_key(const int8_t* p) { return vreinterpretq_s8_s32(broadcast(p)); }
  ONEPASS_INLINE static Sums mix_step(Sums sum, Operand values, const uint8_t* codes) {
    return vreinterpretq_s32_u32(
        vdotq_u32(vreinterpretq_u32_s32(sum), vreinterpretq_u8_s8(values), vreinterpretq_u8_s32(broadcast(codes))));
  }
  // Rows 0 to 3 of channels 4 part .. 4 part + 3.
  ONEPASS_INLINE static int8x16_t pack_four(const I16 (&rows)[4], size_t part) {
    return vcombine_s8(vqmovn_s16(vcombine_s16(words(rows[0], part), words(rows[1], part))),
                       vqmovn_s16(vcombine_s16(words(rows[2], part), words(rows[3], part))));
  }
  ONEPASS_INLINE static void store_keys(const I16 (&rows)[4], int8_t* to, size_t stride) {
    for (size_t part = 0; part < 4; ++part) vst1q_s8(to + part * stride, pack_four(rows, part));
  }
  ONEPASS_INLINE static void store_terms(const I16 (&rows)[4], int8_t* to, size_t stride) {
    store_keys(rows, to, stride);
  }
  ONEPASS_INLINE static void store_values(const I16 (&rows)[4], uint8_t* values, size_t channel, size_t) {
    const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    for (size_t part = 0; part < 4; ++part) {
      const uint8x16_t codes = veorq_u8(vreinterpretq_u8_s8(pack_four(rows, part)), vdupq_n_u8(0x80));
      vst1q_u8(values + (channel + 4 * part) * 4, vqtbl1q_u8(codes, vld1q_u8(order)));
    }
  }
  ONEPASS_INLINE static void store_queries(I16 codes, int8_t* to) {
    const int8x8_t low = vqmovn_s16(vcombine_s16(words(codes, 0), words(codes, 1)));
    vst1q_s8(to, vcombine_s8(low, vqmovn_s16(vcombine_s16(words(codes, 2), words(codes, 3)))));
  }
  ONEPASS_INLINE static void score_starts(const int8_t*, size_t, size_t, bool, int32_t* start) {
    plain_starts(start, score_start);
  }
  ONEPASS_INLINE static void mix_starts(I16 code_sums, int32_t* start) {
    for (size_t part = 0; part < 4; ++part) vst1q_s32(start + 4 * part, vmulq_n_s32(code_sums.part[part], -128));
  }
  template <size_t vectors>
  ONEPASS_INLINE static void store_codes(const F16 (&y)[vectors], uint8_t* codes) {
    for (size_t v = 0; v < 4; ++v) {
      uint8x16_t bytes = vdupq_n_u8(0);
      if (v < vectors) {
        const F16& x = y[v < vectors ? v : 0];
        bytes = vcombine_u8(vqmovun_s16(code_words(x, 0)), vqmovun_s16(code_words(x, 2)));
      }
      vst1q_u8(codes + 16 * v, bytes);
    }
  }
  ONEPASS_INLINE static I16 code_sums(const uint8_t* codes, size_t rows) {
    alignas(64) int32_t sums[query_rows] = {};
    for (size_t i = 0; i < rows; ++i) {
      int32_t sum = 0;
      for (size_t t = 0; t < block_keys; t += 16) sum += vaddlvq_u8(vld1q_u8(codes + i * block_keys + t));
      sums[i] = sum;
    }
    return load_bits(sums);
  }
};

}  // namespace

[[gnu::flatten]] void attention_i8_dotprod(const AttentionI8& op) noexcept { attend_i8<Dotprod>(op); }

}  // namespace onepass::kernels
