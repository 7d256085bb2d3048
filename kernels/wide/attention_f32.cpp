// Blocks of 128 keys, and of two tiles of queries: the transposed keys and the values of a block stay in the first- and
// second-level caches while the queries pass.
#include "kernels/kernels.h"
#include "kernels/layouts.h"
#include "kernels/wide/math.h"
#include "kernels/wide/tile_f32.h"

namespace onepass::kernels {
namespace {

constexpr size_t block_keys = 128, block_rows = 2 * tile_rows;
// Arrays with an element a row are handled sixteen rows at a time.
constexpr size_t row_lanes = (block_rows + 15) / 16 * 16;
constexpr float lowest = -0x1.fffffep+127f;
static_assert(block_rows <= 24, "attention_scratch_floats has room for 24 rows");

// Four rows of four floats become columns.
#if defined(__aarch64__)
ONEPASS_INLINE void transpose_4x4(const float* const (&from)[4], float* to, size_t to_stride) {
  const float32x4x2_t low = vtrnq_f32(vld1q_f32(from[0]), vld1q_f32(from[1]));
  const float32x4x2_t high = vtrnq_f32(vld1q_f32(from[2]), vld1q_f32(from[3]));
  vst1q_f32(to, vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0])));
  vst1q_f32(to + to_stride, vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1])));
  vst1q_f32(to + 2 * to_stride, vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0])));
  vst1q_f32(to + 3 * to_stride, vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1])));
}
#else
ONEPASS_INLINE void transpose_4x4(const float* const (&from)[4], float* to, size_t to_stride) {
  __m128 a = _mm_loadu_ps(from[0]), b = _mm_loadu_ps(from[1]);
  __m128 c = _mm_loadu_ps(from[2]), d = _mm_loadu_ps(from[3]);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + to_stride, b);
  _mm_storeu_ps(to + 2 * to_stride, c);
  _mm_storeu_ps(to + 3 * to_stride, d);
}
#endif

#if defined(__AVX512BW__)
// Sixteen rows of sixteen floats become columns, with a third of the instructions.
ONEPASS_INLINE void transpose_16x16(const float* const (&from)[16], size_t column, float* to, size_t to_stride) {
  __m512 quad[4][4];  // [rows 4g to 4g + 3][column 4l + c, in lane l]
#pragma GCC unroll 4
  for (size_t g = 0; g < 4; ++g) {
    const __m512 a = _mm512_loadu_ps(from[4 * g] + column), b = _mm512_loadu_ps(from[4 * g + 1] + column);
    const __m512 c = _mm512_loadu_ps(from[4 * g + 2] + column), d = _mm512_loadu_ps(from[4 * g + 3] + column);
    const __m512d ab0 = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), ab1 = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    const __m512d cd0 = _mm512_castps_pd(_mm512_unpacklo_ps(c, d)), cd1 = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    quad[g][0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab0, cd0));
    quad[g][1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab0, cd0));
    quad[g][2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab1, cd1));
    quad[g][3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab1, cd1));
  }
#pragma GCC unroll 4
  for (size_t c = 0; c < 4; ++c) {
    const __m512 even01 = _mm512_shuffle_f32x4(quad[0][c], quad[1][c], 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(quad[0][c], quad[1][c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(quad[2][c], quad[3][c], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(quad[2][c], quad[3][c], 0xdd);
    _mm512_storeu_ps(to + c * to_stride, _mm512_shuffle_f32x4(even01, even23, 0x88));
    _mm512_storeu_ps(to + (4 + c) * to_stride, _mm512_shuffle_f32x4(odd01, odd23, 0x88));
    _mm512_storeu_ps(to + (8 + c) * to_stride, _mm512_shuffle_f32x4(even01, even23, 0xdd));
    _mm512_storeu_ps(to + (12 + c) * to_stride, _mm512_shuffle_f32x4(odd01, odd23, 0xdd));
  }
}
#endif

// to [width][stride] = columns of `rows` rows, row_of(t) being the first element of row t.
template <class RowOf>
ONEPASS_INLINE void transpose_rows(RowOf row_of, size_t rows, size_t width, float* to, size_t stride) {
  const size_t whole = width / 4 * 4;
  size_t t = 0;
#if defined(__AVX512BW__)
  for (; width % 16 == 0 && t + 16 <= rows; t += 16) {
    const float* base[16];
    for (size_t i = 0; i < 16; ++i) base[i] = row_of(t + i);
    for (size_t e = 0; e < width; e += 16) transpose_16x16(base, e, to + e * stride + t, stride);
  }
#endif
  for (; t + 4 <= rows; t += 4) {
    const float* const base[4] = {row_of(t), row_of(t + 1), row_of(t + 2), row_of(t + 3)};
    for (size_t e = 0; e < whole; e += 4) {
      const float* const from[4] = {base[0] + e, base[1] + e, base[2] + e, base[3] + e};
      transpose_4x4(from, to + e * stride + t, stride);
    }
    for (size_t e = whole; e < width; ++e) {
      for (size_t i = 0; i < 4; ++i) to[e * stride + t + i] = base[i][e];
    }
  }
  for (; t < rows; ++t) {
    const float* row = row_of(t);
    for (size_t e = 0; e < width; ++e) to[e * stride + t] = row[e];
  }
}

struct Prepared {
  size_t width;         // E padded to 16
  float* keys;          // blocks of 128 keys, [E][keys of the block, padded to 16]
  const float* values;  // [kv_count] rows, value_stride apart
  size_t value_stride;
  float* scores;  // [block_rows, 128]
  float* mix;     // [block_rows, width]
  // Relative tables by j - i + last, last the position of the last query: [E][distances] and [distances].
  float *key_terms, *query_terms, *bias;
  size_t distances, last;
};

ONEPASS_INLINE Prepared prepare(const AttentionF32& op) {
  Prepared l;
  const size_t padded = round_up(op.kv_count, 16);
  l.width = round_up(op.head_width, 16);
  l.scores = op.scratch;
  l.mix = l.scores + 24 * block_keys;
  l.keys = l.mix + 24 * l.width;
  float* values = l.keys + padded * l.width;
  for (size_t key = 0; key < op.kv_count; key += block_keys) {
    const size_t count = op.kv_count - key < block_keys ? op.kv_count - key : block_keys;
    const float* from = op.k + key * op.k_stride;
    transpose_rows([&](size_t t) { return from + t * op.k_stride; }, count, op.head_width, l.keys + key * op.head_width,
                   round_up(count, 16));
  }
  l.values = op.v;
  l.value_stride = op.v_stride;
  // Rows that lie pages apart share a few sets of the cache: with enough queries to read them, they are moved together.
  if (op.q_count * op.q_heads > 2 * block_rows && op.v_stride > 4 * op.head_width && op.head_width % 16 == 0) {
    for (size_t t = 0; t < op.kv_count; ++t) {
      for (size_t e = 0; e < op.head_width; e += 16) store(values + t * l.width + e, load(op.v + t * op.v_stride + e));
    }
    l.values = values;
    l.value_stride = l.width;
  }
  l.key_terms = l.query_terms = l.bias = nullptr;
  l.last = op.window.first + op.q_count - 1;
  l.distances = 0;
  if (op.relative != nullptr) {
    const RelativeTerms& r = *op.relative;
    const size_t count = op.kv_count + op.q_count - 1;
    l.distances = round_up(count, 16) + 128;
    const auto row = [&](size_t u) {
      return size_t{r.index[static_cast<ptrdiff_t>(l.last) - static_cast<ptrdiff_t>(u)]};
    };
    float* at = values + padded * l.width;
    const auto spread = [&](const float* table, size_t stride) {
      float* terms = at;
      if (table == nullptr) return static_cast<float*>(nullptr);
      transpose_rows([&](size_t u) { return table + row(u) * stride; }, count, op.head_width, terms, l.distances);
      at += l.distances * op.head_width;
      return terms;
    };
    l.key_terms = spread(r.key_table, r.key_stride);
    l.query_terms = spread(r.query_table, r.query_stride);
    if (r.bias != nullptr) {
      l.bias = at;
      for (size_t u = 0; u < count; ++u) at[u] = r.bias[row(u)];
    }
  }
  return l;
}

// sum[i][j] as the terms of the sums start, end, and how one channel adds to them.
template <size_t rows, size_t vectors, class Start, class Step, class End>
ONEPASS_INLINE void chains(size_t count, Start start, Step step, End end) {
  Floats sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j] = start(i, j);
  }
  for (size_t k = 0; k < count; ++k) step(k, sum);
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) end(i, j, sum[i][j]);
  }
}

// scores += the relative terms of a tile. terms(i, j): where the vector's distances begin in a row of the tables.
template <size_t rows, size_t vectors>
ONEPASS_INLINE void add_terms(const AttentionF32& op, const Prepared& l, const float* q, const float* keys,
                              size_t keys_stride, size_t distance, float* to) {
  // Row i + 1 stands one position later: its distances begin one element earlier.
  const auto start = [&](size_t i, size_t j) { return Floats::load_unaligned(to + i * block_keys + j * part_width); };
  const auto end = [&](size_t i, size_t j, Floats sum) { sum.store_unaligned(to + i * block_keys + j * part_width); };
  if (l.key_terms != nullptr) {
    chains<rows, vectors>(
        op.head_width, start,
        [&](size_t e, Floats(&sum)[rows][vectors]) {
          const float* terms = l.key_terms + e * l.distances + distance;
#pragma GCC unroll 16
          for (size_t i = 0; i < rows; ++i) {
            const Floats x(q[i * op.q_stride + e]);
#pragma GCC unroll 16
            for (size_t j = 0; j < vectors; ++j) {
              sum[i][j] = fused(x, Floats::load_unaligned(terms + j * part_width - i), sum[i][j]);
            }
          }
        },
        end);
  }
  if (l.query_terms != nullptr) {
    chains<rows, vectors>(
        op.head_width, start,
        [&](size_t e, Floats(&sum)[rows][vectors]) {
          const float* terms = l.query_terms + e * l.distances + distance;
          Floats k[vectors];
#pragma GCC unroll 16
          for (size_t j = 0; j < vectors; ++j) k[j] = Floats::load_unaligned(keys + e * keys_stride + j * part_width);
#pragma GCC unroll 16
          for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
            for (size_t j = 0; j < vectors; ++j) {
              sum[i][j] = fused(k[j], Floats::load_unaligned(terms + j * part_width - i), sum[i][j]);
            }
          }
        },
        end);
  }
}

// scores [rows, padded] = q * keys, and the relative terms; position: of the first row.
template <size_t rows>
ONEPASS_INLINE void score(const AttentionF32& op, const Prepared& l, const float* q, const float* keys, size_t key,
                          size_t padded, size_t position, float* scores) {
  const auto tile = [&](size_t t, auto vectors) {
    constexpr size_t count = decltype(vectors)::value;
    tile_f32<rows, count>(
        q, op.q_stride, op.head_width,
        [&](size_t e, size_t j) { return Floats::load_unaligned(keys + e * padded + t + j * part_width); }, scores + t,
        block_keys);
#ifndef ONEPASS_WITHOUT_ENCODERS
    if (op.relative != nullptr) {
      add_terms<rows, count>(op, l, q, keys + t, padded, key + t + l.last - position, scores + t);
    }
#endif
  };
  size_t t = 0;
  for (; t + tile_vectors * part_width <= padded; t += tile_vectors * part_width) {
    tile(t, std::integral_constant<size_t, tile_vectors>{});
  }
  for (; t < padded; t += part_width) tile(t, std::integral_constant<size_t, 1>{});
}

// The keys of a block that a row sees: [begin, end).
struct Seen {
  size_t begin, end;
};

ONEPASS_INLINE F16 lane_numbers() {
  alignas(64) static constexpr float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}

// The greatest of sixteen lanes that hold no NaN.
ONEPASS_INLINE float greatest_float(F16 x) {
#if defined(__AVX512BW__) || defined(__AVX2__)
#if defined(__AVX512BW__)
  const __m512 all = x.part[0];
  const __m256 m8 = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
#else
  const __m256 m8 = _mm256_max_ps(x.part[0], x.part[1]);
#endif
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_shuffle_ps(m2, m2, 1)));
#else
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.part[0], x.part[1]), vmaxq_f32(x.part[2], x.part[3])));
#endif
}

// Scores of one row in place: scaled, capped, biased, -infinity where the key is not seen. Returns their maximum, or
// `top` where that is greater.
template <bool all_seen, bool plain>
ONEPASS_INLINE float finish_scores(const AttentionF32& op, float* s, size_t padded, Seen seen, const float* bias,
                                   float top) {
  const F16 scale = splat(op.scale), unseen = splat(-__builtin_inff());
  const F16 cap = splat(op.softcap), inverse_cap = splat(1.0f / op.softcap);
  F16 greatest = splat(lowest);
  for (size_t t = 0; t < padded; t += 16) {
    F16 x = load(s + t) * scale;
    if constexpr (!plain) {
      if (op.softcap > 0) x = cap * tanh_f32(x * inverse_cap);
      if (bias != nullptr) x = x + load(bias + t);
    }
    if constexpr (!all_seen) {
      const F16 number = lane_numbers() + splat(static_cast<float>(t));
      x = where_less(number, splat(static_cast<float>(seen.end)), x, unseen);
      x = where_less(number, splat(static_cast<float>(seen.begin)), unseen, x);
    }
    store(s + t, x);
    greatest = greater(x, greatest);
  }
  // A NaN may or may not get through the comparisons; either way some p is NaN, the sum is, and so is the result.
  const float max = greatest_float(greatest);
  return max > top ? max : top;
}

// p = exp(s - top) in place; returns their sum.
ONEPASS_INLINE float exponentials(float* s, size_t padded, float top_of_row) {
  const F16 top = splat(top_of_row);
  F16 sum = splat(0.0f);
  for (size_t t = 0; t < padded; t += 16) {
    const F16 p = exp_bounded(load(s + t) - top);
    store(s + t, p);
    sum = sum + p;
  }
  return sum_lanes(sum);
}

// mix [rows, vectors] = mix * a + p * v.
template <size_t rows, size_t vectors, bool first_block>
ONEPASS_INLINE void mix_tile(const Prepared& l, const float* p, const float* v, size_t keys, size_t count,
                             const float* a, float* mix) {
  const auto start = [&](size_t i, size_t j) {
    if constexpr (first_block) return Floats(0.0f);
    return Floats::load_unaligned(mix + i * l.width + j * part_width) * Floats(a[i]);
  };
  const auto end = [&](size_t i, size_t j, Floats sum) { sum.store_unaligned(mix + i * l.width + j * part_width); };
  const auto steps = [&](auto load_vector) {
    chains<rows, vectors>(
        keys, start,
        [&](size_t t, Floats(&sum)[rows][vectors]) {
          Floats value[vectors];
#pragma GCC unroll 16
          for (size_t j = 0; j < vectors; ++j) value[j] = load_vector(v + t * l.value_stride + j * part_width);
#pragma GCC unroll 16
          for (size_t i = 0; i < rows; ++i) {
            const Floats x(p[i * block_keys + t]);
#pragma GCC unroll 16
            for (size_t j = 0; j < vectors; ++j) sum[i][j] = fused(x, value[j], sum[i][j]);
          }
        },
        end);
  };
  if (vectors > 1 || count == part_width) {
    steps([](const float* from) { return Floats::load_unaligned(from); });
  } else {
    steps([count](const float* from) { return load_part(from, count); });
  }
}

template <size_t rows, bool first_block>
ONEPASS_INLINE void mix_rows(const AttentionF32& op, const Prepared& l, const float* p, const float* v, size_t keys,
                             const float* a, float* mix) {
  constexpr size_t whole = tile_vectors * part_width;
  size_t e = 0;
  for (; op.head_width - e >= whole; e += whole) {
    mix_tile<rows, tile_vectors, first_block>(l, p, v + e, keys, whole, a, mix + e);
  }
  for (; e < op.head_width; e += part_width) {
    const size_t count = op.head_width - e < part_width ? op.head_width - e : part_width;
    mix_tile<rows, 1, first_block>(l, p, v + e, keys, count, a, mix + e);
  }
}

// Queries [first, first + rows) of one head.
ONEPASS_INLINE void attend(const AttentionF32& op, const Prepared& l, const float* q, size_t first, size_t rows,
                           float* out) {
  alignas(64) float tops[row_lanes], before[row_lanes], a[row_lanes], sums[row_lanes];
  for (size_t i = 0; i < row_lanes; ++i) tops[i] = lowest, sums[i] = 0.0f;
  const size_t begin = op.window.begin(first), end = op.window.end(first + rows - 1, op.kv_count);
  const size_t last_begin = op.window.begin(first + rows - 1), first_end = op.window.end(first, op.kv_count);
  const bool plain = !(op.softcap > 0) && l.bias == nullptr;
  const size_t first_block = begin / block_keys * block_keys;
  for (size_t key = first_block; key < end; key += block_keys) {
    const size_t count = op.kv_count - key < block_keys ? op.kv_count - key : block_keys;
    const size_t in_block = round_up(count, 16), keys = end - key < count ? end - key : count;
    const float* block = l.keys + key * op.head_width;
    // Scores of whole registers of the block's keys; those beyond the window are not read again.
    for_row_blocks<tile_rows>(rows, [&](size_t row, auto tile) {
      constexpr size_t height = decltype(tile)::value;
      const size_t position = op.window.first + first + row;
      const float* from = q + row * op.q_stride;
      score<height>(op, l, from, block, key, in_block, position, l.scores + row * block_keys);
    });
    const size_t padded = round_up(keys, 16);
    const bool all_seen = last_begin <= key && first_end >= key + keys && keys % 16 == 0;
    for (size_t i = 0; i < rows; ++i) {
      before[i] = tops[i];
      Seen seen = {0, padded};
      if (!all_seen) {
        const size_t from = op.window.begin(first + i), to = op.window.end(first + i, op.kv_count);
        seen.begin = from < key ? 0 : from - key < block_keys ? from - key : block_keys;
        seen.end = to < key ? 0 : to - key < block_keys ? to - key : block_keys;
      }
      float* s = l.scores + i * block_keys;
      const float* bias = l.bias == nullptr ? nullptr : l.bias + key + l.last - (op.window.first + first + i);
      if (plain && all_seen) {
        tops[i] = finish_scores<true, true>(op, s, padded, seen, bias, tops[i]);
      } else if (plain) {
        tops[i] = finish_scores<false, true>(op, s, padded, seen, bias, tops[i]);
      } else {
        tops[i] = finish_scores<false, false>(op, s, padded, seen, bias, tops[i]);
      }
    }
    for (size_t i = rows; i < row_lanes; ++i) before[i] = tops[i];
    for (size_t i = 0; i < row_lanes; i += 16) store(a + i, exp_bounded(load(before + i) - load(tops + i)));
    for (size_t i = 0; i < rows; ++i) {
      sums[i] = __builtin_fmaf(sums[i], a[i], exponentials(l.scores + i * block_keys, padded, tops[i]));
    }
    const float* v = l.values + key * l.value_stride;
    for_row_blocks<tile_rows>(rows, [&](size_t row, auto tile) {
      constexpr size_t height = decltype(tile)::value;
      const float* p = l.scores + row * block_keys;
      if (key == first_block) {
        mix_rows<height, true>(op, l, p, v, keys, a + row, l.mix + row * l.width);
      } else {
        mix_rows<height, false>(op, l, p, v, keys, a + row, l.mix + row * l.width);
      }
    });
  }
  for (size_t i = 0; i < rows; ++i) {
    const Floats sum(sums[i]);
    for (size_t e = 0; e < op.head_width; e += part_width) {
      const Floats mean = divided(Floats::load_unaligned(l.mix + i * l.width + e), sum);
      store_part(out + i * op.out_stride + e, mean, op.head_width - e);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(attention_f32)(const AttentionF32& op) noexcept {
  const Prepared l = prepare(op);
  for (size_t head = 0; head < op.q_heads; ++head) {
    const float* q = op.q + head * op.q_head_stride;
    float* out = op.out + head * op.out_head_stride;
    for (size_t first = 0; first < op.q_count; first += block_rows) {
      const size_t rows = op.q_count - first < block_rows ? op.q_count - first : block_rows;
      attend(op, l, q + first * op.q_stride, first, rows, out + first * op.out_stride);
    }
  }
}

}  // namespace onepass::kernels
