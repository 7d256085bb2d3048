#include "kernels/kernels.h"
#include "kernels/wide/math.h"
#include "kernels/wide/tile_f32.h"

namespace onepass::kernels {
namespace {

// Queries that share a pass over the keys and values; attention_scratch_floats has room for the scores of 8.
constexpr size_t query_block = tile_rows < 8 ? tile_rows : 8;

// Four rows of four floats become columns.
#if defined(__aarch64__)
ONEPASS_INLINE void transpose_4x4(const float* from, size_t from_stride, float* to, size_t to_stride) {
  const float32x4x2_t low = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + from_stride));
  const float32x4x2_t high = vtrnq_f32(vld1q_f32(from + 2 * from_stride), vld1q_f32(from + 3 * from_stride));
  vst1q_f32(to, vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0])));
  vst1q_f32(to + to_stride, vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1])));
  vst1q_f32(to + 2 * to_stride, vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0])));
  vst1q_f32(to + 3 * to_stride, vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1])));
}
#else
ONEPASS_INLINE void transpose_4x4(const float* from, size_t from_stride, float* to, size_t to_stride) {
  __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_stride);
  __m128 c = _mm_loadu_ps(from + 2 * from_stride), d = _mm_loadu_ps(from + 3 * from_stride);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + to_stride, b);
  _mm_storeu_ps(to + 2 * to_stride, c);
  _mm_storeu_ps(to + 3 * to_stride, d);
}
#endif

// keys [E][padded], 0 beyond kv_count: vectors of keys for the scores.
ONEPASS_INLINE void transpose_keys(const AttentionF32& op, float* keys, size_t padded) {
  const size_t whole_t = op.kv_count / 4 * 4, whole_e = op.head_width / 4 * 4;
  for (size_t t = 0; t < whole_t; t += 4) {
    const float* from = op.k + t * op.k_stride;
    for (size_t e = 0; e < whole_e; e += 4) transpose_4x4(from + e, op.k_stride, keys + e * padded + t, padded);
    for (size_t e = whole_e; e < op.head_width; ++e) {
      for (size_t i = 0; i < 4; ++i) keys[e * padded + t + i] = from[i * op.k_stride + e];
    }
  }
  for (size_t t = whole_t; t < padded; ++t) {
    for (size_t e = 0; e < op.head_width; ++e) {
      keys[e * padded + t] = t < op.kv_count ? op.k[t * op.k_stride + e] : 0.0f;
    }
  }
}

// scores [rows, padded] = q * keys.
template <size_t rows>
ONEPASS_INLINE void score(const AttentionF32& op, const float* q, const float* keys, float* scores, size_t padded) {
  size_t t = 0;
  for (; t + tile_vectors * part_width <= padded; t += tile_vectors * part_width) {
    tile_f32<rows, tile_vectors>(
        q, op.q_stride, op.head_width,
        [&](size_t e, size_t j) { return Floats::load_unaligned(keys + e * padded + t + j * part_width); }, scores + t,
        padded);
  }
  for (; t < padded; t += part_width) {
    tile_f32<rows, 1>(
        q, op.q_stride, op.head_width, [&](size_t e, size_t) { return Floats::load_unaligned(keys + e * padded + t); },
        scores + t, padded);
  }
}

// p = exp(scale * s - max) in place over the padded row, 0 in the padding; returns their sum.
ONEPASS_INLINE float exponentials(float* s, float scale, size_t kv_count, size_t padded) {
  const F16 factor = splat(scale);
  F16 greatest = splat(-__builtin_inff());
  const size_t whole = kv_count / 16 * 16;
  for (size_t t = 0; t < whole; t += 16) {
    const F16 scaled = load(s + t) * factor;
    store(s + t, scaled);
    greatest = greater(scaled, greatest);
  }
  if (whole < kv_count) {
    for (size_t t = whole; t < kv_count; ++t) s[t] *= scale;
    for (size_t t = kv_count; t < padded; ++t) s[t] = -__builtin_inff();
    greatest = greater(load(s + whole), greatest);
  }
  alignas(64) float lanes[16];
  store(lanes, greatest);
  float max = lanes[0];
  for (size_t j = 1; j < 16; ++j) max = lanes[j] > max ? lanes[j] : max;
  // A NaN may or may not get through the comparisons; either way some p is NaN, the sum is, and so is the result.
  const F16 top = splat(max);
  F16 sum = splat(0.0f);
  for (size_t t = 0; t < padded; t += 16) {
    const F16 p = exp_bounded(load(s + t) - top);
    store(s + t, p);
    sum = sum + p;
  }
  return sum_lanes(sum);
}

// out [rows, E] = p * v / sum, for `vectors` registers of E.
template <size_t rows, size_t vectors>
ONEPASS_INLINE void mix(const AttentionF32& op, const float* p, size_t padded, const float* sums, float* out,
                        size_t e) {
  constexpr size_t width = vectors * part_width;
  alignas(64) float mixed[rows * width];
  const size_t count = op.head_width - e < width ? op.head_width - e : width;
  const float* v = op.v + e;
  if (count == width) {
    tile_f32<rows, vectors>(
        p, padded, op.kv_count,
        [&](size_t t, size_t j) { return Floats::load_unaligned(v + t * op.v_stride + j * part_width); }, mixed, width);
  } else {
    const size_t last = count - (vectors - 1) * part_width;  // lanes of the last vector
    tile_f32<rows, vectors>(
        p, padded, op.kv_count,
        [&](size_t t, size_t j) {
          const float* from = v + t * op.v_stride + j * part_width;
          return j + 1 < vectors ? Floats::load_unaligned(from) : load_part(from, last);
        },
        mixed, width);
  }
  for (size_t i = 0; i < rows; ++i) {
    const Floats sum(sums[i]);
    for (size_t j = 0; j < count; j += part_width) {
      const Floats mean = divided(Floats::load_unaligned(mixed + i * width + j), sum);
      store_part(out + i * op.out_stride + e + j, mean, count - j);
    }
  }
}

template <size_t rows>
ONEPASS_INLINE void attend(const AttentionF32& op, size_t first, const float* keys, float* scores, size_t padded) {
  score<rows>(op, op.q + first * op.q_stride, keys, scores, padded);
  float sums[rows];
  for (size_t i = 0; i < rows; ++i) sums[i] = exponentials(scores + i * padded, op.scale, op.kv_count, padded);
  float* out = op.out + first * op.out_stride;
  size_t e = 0;
  for (; e < op.head_width && op.head_width - e > (tile_vectors - 1) * part_width; e += tile_vectors * part_width) {
    mix<rows, tile_vectors>(op, scores, padded, sums, out, e);
  }
  for (; e < op.head_width; e += part_width) mix<rows, 1>(op, scores, padded, sums, out, e);
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(attention_f32)(const AttentionF32& op) noexcept {
  const size_t padded = round_up(op.kv_count, 16);
  float* keys = op.scratch;
  float* scores = keys + padded * op.head_width;
  transpose_keys(op, keys, padded);
  for_row_blocks<query_block>(op.q_count,
                              [&](size_t first, auto rows) { attend<rows>(op, first, keys, scores, padded); });
}

}  // namespace onepass::kernels
