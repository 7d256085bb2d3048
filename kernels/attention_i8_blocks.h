// How every attention_i8 walks over a text, whatever its instructions: codes of the keys and values once, then blocks
// of 16 queries by 64 keys, whose scores, codes and sums stay in the first-level cache. Only for sources of one level;
// internal linkage.
//
// A Level says how codes are stored and multiplied:
//   Key, Value, Query, Code   their elements in scratch
//   group                     neighbouring channels (keys) of one step of the product with the keys (values)
//   Operand, Sums, lanes      registers of keys or values, and of that many s32 sums
//   tile_rows, tile_panels    rows, and 16 keys or channels, of its largest tile
//   load(p), splat_sum, load_sum, store_sum; add_mix(to, sums, a, b): to = to * a + float(sums) * b
//   step(sums, keys, queries); mix_step(sums, values, codes); pair_step(sums, keys, columns), of registers
//   load_terms(p)             columns of the query table, anywhere; or, with joins_columns, join(low, high,
//   lanes_from(n)):
//                             the lanes from n on of two registers
//   splat_key(p)              the codes of `group` channels of one key in every lane
//   store_keys, store_values, store_terms  four rows of codes into the order below, or of the terms
//   score_starts              where sums start for 1.5 * 2^23 + sum; unless exact, a constant more in a row is let
//   stand store_codes<vectors>      y of `vectors` x 16 keys to 64 codes, 0 for the rest code_sums                 the
//   sums of each query's 64 codes
// Keys lie in panels of 16, [E/group][16][group]; values as [T/group][E][group], E padded to 16.
#pragma once

#include "kernels/attention_i8_terms.h"
#include "kernels/wide/math.h"
#include "kernels/wide/tile_f32.h"

namespace onepass::kernels {
namespace {

constexpr float lowest_score = -2 * attention_largest_score;  // below every score, of either kind
constexpr size_t least_tile_rows = 4;

// Lane j of the result: the greatest lane of rows[j], as signed integers.
#if defined(__AVX512BW__)
ONEPASS_INLINE I16 greatest_of_rows(const I16 (&rows)[query_rows]) {
  // Four folds; each joins two registers into one that holds half of each row's lanes.
  __m512i a[8], b[4], c[2];
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; ++i) {
    const __m512i x = rows[i].part[0], y = rows[i + 8].part[0];
    a[i] = _mm512_max_epi32(_mm512_shuffle_i64x2(x, y, 0x44), _mm512_shuffle_i64x2(x, y, 0xee));  // x x y y
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    b[i] = _mm512_max_epi32(_mm512_shuffle_i64x2(a[i], a[i + 4], 0x88), _mm512_shuffle_i64x2(a[i], a[i + 4], 0xdd));
  }  // lanes of 128: rows i, i + 8, i + 4, i + 12
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    c[i] = _mm512_max_epi32(_mm512_unpacklo_epi64(b[i], b[i + 2]), _mm512_unpackhi_epi64(b[i], b[i + 2]));
  }  // pairs: rows i, i + 2
  const __m512 c0 = _mm512_castsi512_ps(c[0]), c1 = _mm512_castsi512_ps(c[1]);
  const __m512i d = _mm512_max_epi32(_mm512_castps_si512(_mm512_shuffle_ps(c0, c1, 0x88)),
                                     _mm512_castps_si512(_mm512_shuffle_ps(c0, c1, 0xdd)));
  // d: in each lane of 128 rows r, r + 2, r + 1, r + 3, for r = 0, 8, 4, 12.
  return I16{{_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15), d)}};
}
#else
ONEPASS_INLINE I16 greatest_of_rows(const I16 (&rows)[query_rows]) {
  alignas(64) int32_t result[query_rows];
  for (size_t i = 0; i < query_rows; ++i) {
#if defined(__AVX2__)
    const __m256i eight = _mm256_max_epi32(rows[i].part[0], rows[i].part[1]);
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    result[i] = _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
#else
    const int32x4_t low = vmaxq_s32(rows[i].part[0], rows[i].part[1]);
    result[i] = vmaxvq_s32(vmaxq_s32(low, vmaxq_s32(rows[i].part[2], rows[i].part[3])));
#endif
  }
  return load_bits(result);
}
#endif

// What a call keeps in scratch.
template <class Level>
struct Packed {
  size_t width, groups;  // E padded to 16; steps of a product with the keys
  typename Level::Key* keys;
  typename Level::Value* values;
  float *k_center, *center_codes;  // [width]; codes of the centers, where something sees them
  float *v_center, *v_inverse;     // [width]
  float* v_scale;                  // [width]
  typename Level::Query* queries;  // [16, width]
  int32_t* scores;                 // [16, 64]
  typename Level::Code* codes;     // [16, 64]
  float* mix;                      // [16, width]
  float k_scale, k_inverse;
  Terms<Level> terms;
};

template <class Level>
ONEPASS_INLINE Packed<Level> take_scratch(const AttentionI8& op) {
  Packed<Level> p;
  p.width = round_up(op.head_width, 16);
  p.groups = (op.head_width + Level::group - 1) / Level::group;
  auto* at = static_cast<uint8_t*>(op.scratch);
  const auto take = [&](size_t bytes) {
    uint8_t* block = at;
    at += round_up(bytes, 64);
    return block;
  };
  const size_t keys = round_up(op.kv_count, block_keys);
  p.k_center = reinterpret_cast<float*>(take(p.width * 4));
  p.center_codes = reinterpret_cast<float*>(take(p.width * 4));
  p.v_center = reinterpret_cast<float*>(take(p.width * 4));
  p.v_inverse = reinterpret_cast<float*>(take(p.width * 4));
  p.v_scale = reinterpret_cast<float*>(take(p.width * 4));
  p.queries = reinterpret_cast<typename Level::Query*>(take(query_rows * p.width * sizeof(typename Level::Query)));
  p.scores = reinterpret_cast<int32_t*>(take(query_rows * block_keys * 4));
  p.codes = reinterpret_cast<typename Level::Code*>(take(query_rows * block_keys * sizeof(typename Level::Code)));
  p.mix = reinterpret_cast<float*>(take(query_rows * p.width * 4));
  p.keys = reinterpret_cast<typename Level::Key*>(take(keys * p.width * sizeof(typename Level::Key)));
  p.values = reinterpret_cast<typename Level::Value*>(take(keys * p.width * sizeof(typename Level::Value)));
  p.terms = op.relative != nullptr ? take_terms<Level>(op, p.width, take) : Terms<Level>{};
  return p;
}

// Least and greatest of a channel; both NaN where a value is no finite number.
struct Range {
  F16 least, greatest;
  // The middle, 0 where the channel is not finite, and the largest distance from it, NaN there.
  ONEPASS_INLINE F16 center() const {
    const F16 middle = fma(splat(0.5f), greatest, splat(0.5f) * least);
    return where_less(middle * splat(0.0f), splat(1.0f), middle, splat(0.0f));
  }
  ONEPASS_INLINE F16 distance(F16 center) const { return kernels::greater(greatest - center, center - least); }
};
struct Ranges {
  F16 least, greatest, poison;
  ONEPASS_INLINE void add(F16 x) {
    least = lesser(x, least);
    greatest = kernels::greater(x, greatest);
    poison = fma(x, splat(0.0f), poison);
  }
  ONEPASS_INLINE Range range() const { return {least + poison, greatest + poison}; }
};

// Rows are pages apart, where the processor's own prefetching stops: the lines of a later row are asked for.
constexpr size_t rows_ahead = 12;
ONEPASS_INLINE void prefetch(const float* p, size_t count) {
  for (size_t i = 0; i < count; i += 16) __builtin_prefetch(p + i);
}

// The channels e .. e + n of all keys and values, `chunks` registers of each. The least and greatest of the keys are
// left in k_center and mix.
template <size_t chunks, class Level>
ONEPASS_INLINE void measure_channels(const AttentionI8& op, const Packed<Level>& p, size_t e, size_t n) {
  const float infinity = __builtin_inff();
  Ranges k[chunks], v[chunks];
#pragma GCC unroll 2
  for (size_t c = 0; c < chunks; ++c) k[c] = v[c] = {splat(infinity), splat(-infinity), splat(0.0f)};
  const float *k_row = op.k + e, *v_row = op.v + e;
  for (size_t t = 0; t < op.kv_count; ++t, k_row += op.k_stride, v_row += op.v_stride) {
    if (t + rows_ahead < op.kv_count) {
      prefetch(k_row + rows_ahead * op.k_stride, 16 * chunks);
      prefetch(v_row + rows_ahead * op.v_stride, 16 * chunks);
    }
#pragma GCC unroll 2
    for (size_t c = 0; c < chunks; ++c) {
      k[c].add(load_upto(k_row + 16 * c, chunks > 1 ? 16 : n));
      v[c].add(load_upto(v_row + 16 * c, chunks > 1 ? 16 : n));
    }
  }
#pragma GCC unroll 2
  for (size_t c = 0; c < chunks; ++c) {
    const Range k_range = k[c].range(), v_range = v[c].range();
    const F16 v_center = v_range.center(), v_distance = v_range.distance(v_center);
    const size_t at = e + 16 * c;
    store(p.k_center + at, k_range.least);
    store(p.mix + at, k_range.greatest);
    store(p.v_center + at, v_center);
    store(p.v_scale + at, where_less(v_distance, splat(quantize_smallest), splat(0.0f), v_distance / splat(127.0f)));
    store(p.v_inverse + at, where_less(v_distance, splat(quantize_smallest), splat(0.0f), splat(127.0f) / v_distance));
  }
}

// The scale of codes for magnitudes up to the one with these bits, and its inverse.
struct Steps {
  float scale, inverse;
};
ONEPASS_INLINE Steps steps_of(I16 magnitudes) {
  const int32_t bits = greatest_lane(magnitudes);
  float largest;
  memcpy(&largest, &bits, sizeof largest);
  return largest < quantize_smallest ? Steps{0.0f, 0.0f} : Steps{largest / 127.0f, 127.0f / largest};
}

// The centers of the keys' channels, from their ranges, and the scale of the keys. A query table and a cap see the
// centers: they are whole multiples of one step there, whose codes are kept.
template <class Level>
ONEPASS_INLINE void center_keys(const AttentionI8& op, Packed<Level>& p) {
  const bool coded = p.terms.query != nullptr || op.softcap > 0;
  I16 widest = magnitude_bits(splat(0.0f)), farthest = widest;
  const auto range = [&](size_t e) { return Range{load(p.k_center + e), load(p.mix + e)}; };
  Steps centers = {};
  if (coded) {
    for (size_t e = 0; e < op.head_width; e += 16) farthest = greater(farthest, magnitude_bits(range(e).center()));
    centers = steps_of(farthest);
    p.terms.center_scale = centers.scale;
  }
  for (size_t e = 0; e < op.head_width; e += 16) {
    const Range channels = range(e);
    F16 center = channels.center();
    if (coded) {
      const I16 zero = magnitude_bits(splat(0.0f)), code = rounded(center * splat(centers.inverse));
      const I16 rows[4] = {code, zero, zero, zero};
      if (p.terms.query != nullptr) Level::store_keys(rows, p.terms.centers + e * 4, 4 * Level::group);
      store(p.center_codes + e, to_floats(code));
      center = to_floats(code) * splat(centers.scale);
    }
    widest = greater(widest, magnitude_bits(channels.distance(center)));
    store(p.k_center + e, center);
  }
  const Steps keys = steps_of(widest);
  p.k_scale = keys.scale;
  p.k_inverse = keys.inverse;
}

template <class Level>
ONEPASS_INLINE void measure_ranges(const AttentionI8& op, Packed<Level>& p) {
  size_t e = 0;
  for (; e + 32 <= op.head_width; e += 32) measure_channels<2>(op, p, e, 32);
  for (; e < op.head_width; e += 16) {
    measure_channels<1>(op, p, e, op.head_width - e < 16 ? op.head_width - e : 16);
  }
  center_keys(op, p);
}

template <class Level>
ONEPASS_INLINE void pack_keys_and_values(const AttentionI8& op, const Packed<Level>& p) {
  const F16 k_inverse = splat(p.k_inverse);
  const I16 none = magnitude_bits(splat(0.0f));
  for (size_t e = 0; e < op.head_width; e += 16) {
    const size_t n = op.head_width - e < 16 ? op.head_width - e : 16;
    const F16 k_center = load(p.k_center + e), v_center = load(p.v_center + e), v_inverse = load(p.v_inverse + e);
    const auto k_codes = [&](size_t t) {
      return rounded((load_upto(op.k + t * op.k_stride + e, n) - k_center) * k_inverse);
    };
    const auto v_codes = [&](size_t t) {
      return rounded((load_upto(op.v + t * op.v_stride + e, n) - v_center) * v_inverse);
    };
    const size_t whole = op.kv_count / 4 * 4;
    const auto store_four = [&](size_t t, const I16(&k)[4], const I16(&v)[4]) {
      Level::store_keys(k, p.keys + panel_offset<Level>(t, e, p.width), 16 * Level::group);
      Level::store_values(v, p.values + t * p.width, e, p.width);
    };
    for (size_t t = 0; t < whole; t += 4) {
      const I16 k[4] = {k_codes(t), k_codes(t + 1), k_codes(t + 2), k_codes(t + 3)};
      const I16 v[4] = {v_codes(t), v_codes(t + 1), v_codes(t + 2), v_codes(t + 3)};
      store_four(t, k, v);
    }
    if (whole < op.kv_count) {
      I16 k[4] = {none, none, none, none}, v[4] = {none, none, none, none};
      for (size_t i = 0; whole + i < op.kv_count; ++i) {
        k[i] = k_codes(whole + i);
        v[i] = v_codes(whole + i);
      }
      store_four(whole, k, v);
    }
  }
}

// use(first, rows) for tiles of all queries of a block: of `most` rows, or of four. The last one may reach beyond the
// queries, into rows of scratch that are not read: a tile of fewer rows would wait for its own sums instead.
template <size_t most, class Use>
ONEPASS_INLINE void for_query_tiles(size_t rows, Use use) {
  static_assert(most >= least_tile_rows);
  size_t i = 0;
  if constexpr (most > least_tile_rows) {
    for (; i + least_tile_rows < rows; i += most) use(i, std::integral_constant<size_t, most>{});
  }
  for (; i < rows; i += least_tile_rows) use(i, std::integral_constant<size_t, least_tile_rows>{});
}

// sums [rows, 16 * panels] at `to`, `stride` apart, of codes by the panels of keys from `keys` on.
template <class Level, size_t rows, size_t panels>
ONEPASS_INLINE void score_tile(const Packed<Level>& p, const typename Level::Query* q, const typename Level::Key* keys,
                               const int32_t* start, int32_t* to, size_t stride) {
  constexpr size_t registers = 16 / Level::lanes, vectors = panels * registers;
  typename Level::Sums sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j] = Level::splat_sum(start[i]);
  }
  for (size_t g = 0; g < p.groups; ++g) {
    typename Level::Operand k[vectors];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      k[j] = Level::load(keys + j / registers * 16 * p.width + (g * 16 + j % registers * Level::lanes) * Level::group);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < vectors; ++j) {
        sum[i][j] = Level::step(sum[i][j], k[j], q + i * p.width + g * Level::group);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) Level::store_sum(to + i * stride + j * Level::lanes, sum[i][j]);
  }
}

// sums [rows, 16 * panels] of a block's queries at `to`.
template <class Level>
ONEPASS_INLINE void score_panels(const Packed<Level>& p, size_t rows, const typename Level::Key* keys, size_t panels,
                                 const int32_t* starts, int32_t* to, size_t stride) {
  for_query_tiles<Level::tile_rows>(rows, [&](size_t first, auto count) {
    constexpr size_t tile = decltype(count)::value;
    const typename Level::Query* q = p.queries + first * p.width;
    size_t panel = 0;
    if constexpr (Level::tile_panels > 1) {
      for (; panel + Level::tile_panels <= panels; panel += Level::tile_panels) {
        score_tile<Level, tile, Level::tile_panels>(p, q, keys + panel * 16 * p.width, starts + first,
                                                    to + first * stride + panel * 16, stride);
      }
    }
    for (; panel < panels; ++panel) {
      score_tile<Level, tile, 1>(p, q, keys + panel * 16 * p.width, starts + first, to + first * stride + panel * 16,
                                 stride);
    }
  });
}

// mix [rows, 16 * panels] = mix * a + float(codes x values) * b, for `groups` groups of keys.
template <class Level, size_t rows, size_t panels>
ONEPASS_INLINE void mix_tile(const Packed<Level>& p, const typename Level::Code* codes,
                             const typename Level::Value* values, size_t groups, const int32_t* start, const float* a,
                             const float* b, float* mix) {
  constexpr size_t vectors = panels * 16 / Level::lanes;
  typename Level::Sums sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) sum[i][j] = Level::splat_sum(start[i]);
  }
  for (size_t g = 0; g < groups; ++g) {
    typename Level::Operand v[vectors];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      v[j] = Level::load(values + (g * p.width + j * Level::lanes) * Level::group);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < vectors; ++j) {
        sum[i][j] = Level::mix_step(sum[i][j], v[j], codes + i * block_keys + g * Level::group);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) Level::add_mix(mix + i * p.width + j * Level::lanes, sum[i][j], a[i], b[i]);
  }
}

// The keys of a block that a row sees: [begin, end).
struct Seen {
  size_t begin, end;
};

// For key t of a block, of rows that see it up to `end` and from `begin` on: table[2 * 64 - end + t], table[64 - begin
// + t].
struct SeenTables {
  float most[3 * block_keys];   // what a score can be at most: anything, or below every score
  float least[3 * block_keys];  // what y is at least: 0, or that of a key that is not seen
  constexpr SeenTables() : most(), least() {
    for (size_t t = 0; t < 3 * block_keys; ++t) {
      const bool seen = t / block_keys == 1;
      most[t] = seen ? __builtin_inff() : lowest_score;
      least[t] = seen ? 0.0f : attention_unseen;
    }
  }
};
alignas(64) constexpr SeenTables seen_tables;

// The greatest of the scores that are seen, or lowest_score, as integers of the same order.
template <size_t vectors, bool all_seen>
ONEPASS_INLINE I16 greatest_score(const int32_t* scores, Seen seen) {
  F16 top = splat(lowest_score);
#pragma GCC unroll 4
  for (size_t v = 0; v < vectors; ++v) {
    F16 s = as_floats(load_bits(scores + 16 * v));
    if constexpr (!all_seen) {
      s = lesser(s, load(seen_tables.most + 2 * block_keys - seen.end + 16 * v));
      if (seen.begin != 0) s = lesser(s, load(seen_tables.most + block_keys - seen.begin + 16 * v));
    }
    top = v == 0 ? s : kernels::greater(s, top);
  }
  return in_order(bits_of(top));
}

template <class Level, size_t vectors, bool all_seen>
ONEPASS_INLINE void row_codes(const int32_t* scores, Seen seen, float top, float unit, typename Level::Code* codes) {
  F16 y[vectors];
#pragma GCC unroll 4
  for (size_t v = 0; v < vectors; ++v) {
    y[v] = (splat(top) - as_floats(load_bits(scores + 16 * v))) * splat(unit);
    if constexpr (!all_seen) {
      y[v] =
          greater(lesser(y[v], splat(attention_unseen)), load(seen_tables.least + 2 * block_keys - seen.end + 16 * v));
      if (seen.begin != 0) y[v] = greater(y[v], load(seen_tables.least + block_keys - seen.begin + 16 * v));
    }
  }
  Level::template store_codes<vectors>(y, codes);
}

// What blocks of keys leave behind for each of 16 queries, a lane a query.
struct Running {
  F16 top, sum;
};

// What a block of queries brings to every block of keys.
struct Rows {
  size_t position, count;  // of the first in its text
  alignas(64) int32_t score_starts[query_rows];
  alignas(64) float units[query_rows];                                // of scores, in y
  alignas(64) float product_units[query_rows], q_scales[query_rows];  // with relative terms or a cap
  alignas(64) float offsets[query_rows];                              // of scores, with a cap: q times the centers
  float cap;                                                          // in y; 0: none
  F16 weight;
};

template <class Level, size_t vectors, bool all_seen>
ONEPASS_INLINE void block_codes(const Packed<Level>& p, const Rows& rows, const Seen* seen, Running& running, float* a,
                                float* b, int32_t* mix_start) {
  I16 tops[query_rows];
  for (size_t i = 0; i < query_rows; ++i) {
    tops[i] = i < rows.count ? greatest_score<vectors, all_seen>(p.scores + i * block_keys, seen[i])
                             : in_order(bits_of(splat(lowest_score)));
  }
  const F16 top = as_floats(in_order(greatest_of_rows(tops)));
  alignas(64) float top_of[query_rows];
  store(top_of, top);
  for (size_t i = 0; i < rows.count; ++i) {
    row_codes<Level, vectors, all_seen>(p.scores + i * block_keys, seen[i], top_of[i], rows.units[i],
                                        p.codes + i * block_keys);
  }
  const F16 new_top = kernels::greater(top, running.top);
  const F16 before = exp_bounded((running.top - new_top) * rows.weight);
  const F16 now = exp_bounded((top - new_top) * rows.weight);
  const I16 code_sums = Level::code_sums(p.codes, rows.count);
  running.sum = fma(to_floats(code_sums), now, running.sum * before);
  running.top = new_top;
  store(a, before);
  store(b, now);
  Level::mix_starts(code_sums, mix_start);
}

// scores [rows, 16 * panels], and the units in which they are.
template <class Level>
ONEPASS_INLINE void score_block(const Packed<Level>& p, const Rows& rows, size_t key, size_t panels) {
  const Terms<Level>& t = p.terms;
  // Of the block's last query and first key.
  const size_t column = t.columns == 0 ? 0 : t.last + 1 - query_rows - rows.position + key;
  const size_t products = t.keys == nullptr ? 1 : 2;
  for (size_t product = 0; product < products; ++product) {
    const bool with_keys = product == 0;
    score_panels<Level>(p, rows.count, with_keys ? p.keys + key * p.width : t.keys + column * p.width,
                        with_keys ? panels : panels + 1, rows.score_starts, with_keys ? p.scores : t.key_sums,
                        with_keys ? block_keys : block_columns);
  }
  if (rows.cap > 0) cap_scores(rows.count, panels, rows.cap, rows.product_units, rows.offsets, p.scores);
  if (t.columns == 0) return;
  if (t.query != nullptr) {
    for_query_tiles<Level::tile_rows>(rows.count, [&](size_t first, auto count) {
      constexpr size_t tile = decltype(count)::value;
      for (size_t panel = 0; panel < panels; ++panel) {
        query_term_tile<Level, tile>(t, p.groups, p.keys + (key + 16 * panel) * p.width, column + 16 * panel, first,
                                     t.query_sums + first * block_keys + 16 * panel);
      }
    });
  }
  add_terms(t, rows.count, panels, column, rows.product_units, rows.q_scales, p.scores);
}

template <class Level>
ONEPASS_INLINE void attend_block(const Packed<Level>& p, const Rows& rows, size_t key, size_t keys, const Seen* seen,
                                 bool all_seen, Running& running) {
  const size_t panels = (keys + 15) / 16;
  score_block(p, rows, key, panels);

  alignas(64) float a[query_rows], b[query_rows];
  alignas(64) int32_t mix_start[query_rows];
  const auto codes = [&](auto vectors) {
    constexpr size_t count = decltype(vectors)::value;
    if (count == 4 && all_seen) {  // of whole blocks
      block_codes<Level, count, count == 4>(p, rows, seen, running, a, b, mix_start);
    } else {
      block_codes<Level, count, false>(p, rows, seen, running, a, b, mix_start);
    }
  };
  if (panels > 2) {
    // With three panels the fourth holds the scores of an earlier block, or nothing; no key of it is seen.
    codes(std::integral_constant<size_t, 4>{});
  } else if (panels == 2) {
    codes(std::integral_constant<size_t, 2>{});
  } else {
    codes(std::integral_constant<size_t, 1>{});
  }

  const size_t groups = (keys + Level::group - 1) / Level::group;
  for_query_tiles<Level::tile_rows>(rows.count, [&](size_t first, auto count) {
    constexpr size_t tile = decltype(count)::value;
    const typename Level::Code* code = p.codes + first * block_keys;
    size_t e = 0;
    if constexpr (Level::tile_panels > 1) {
      for (; e + 16 * Level::tile_panels <= p.width; e += 16 * Level::tile_panels) {
        mix_tile<Level, tile, Level::tile_panels>(p, code, p.values + key * p.width + e * Level::group, groups,
                                                  mix_start + first, a + first, b + first, p.mix + first * p.width + e);
      }
    }
    for (; e < p.width; e += 16) {
      mix_tile<Level, tile, 1>(p, code, p.values + key * p.width + e * Level::group, groups, mix_start + first,
                               a + first, b + first, p.mix + first * p.width + e);
    }
  });
}

// The codes of a block of queries, and with a cap their sums of products with the centers' codes. Their scales; 0, or
// NaN for a row that is not finite.
template <class Level>
ONEPASS_INLINE F16 quantize_queries(const AttentionI8& op, const Packed<Level>& p, const float* q, size_t rows,
                                    F16& scale, float* center_sums) {
  I16 magnitudes[query_rows];
  const I16 none = magnitude_bits(splat(0.0f));
  for (size_t i = 0; i < query_rows; ++i) {
    magnitudes[i] = none;
    if (i >= rows) continue;
    for (size_t e = 0; e < op.head_width; e += 16) {
      const size_t n = op.head_width - e < 16 ? op.head_width - e : 16;
      magnitudes[i] = greater(magnitudes[i], magnitude_bits(load_upto(q + i * op.q_stride + e, n)));
    }
  }
  const F16 m = as_floats(greatest_of_rows(magnitudes));
  scale = where_less(m, splat(quantize_smallest), splat(0.0f), m / splat(127.0f));
  alignas(64) float inverse[query_rows];
  store(inverse, where_less(m, splat(quantize_smallest), splat(0.0f), splat(127.0f) / m));
  for (size_t i = 0; i < rows; ++i) {
    F16 sum = splat(0.0f);  // of whole numbers, exact
    for (size_t e = 0; e < op.head_width; e += 16) {
      const size_t n = op.head_width - e < 16 ? op.head_width - e : 16;
      const I16 codes = rounded(load_upto(q + i * op.q_stride + e, n) * splat(inverse[i]));
      Level::store_queries(codes, p.queries + i * p.width + e);
      if (op.softcap > 0) sum = fma(to_floats(codes), load(p.center_codes + e), sum);
    }
    if (op.softcap > 0) center_sums[i] = sum_lanes(sum);
  }
  return m * splat(0.0f);
}

template <class Level>
ONEPASS_INLINE void attend_queries(const AttentionI8& op, const Packed<Level>& p, size_t first, size_t rows,
                                   const float* q, float* out) {
  F16 q_scale;
  Rows block;
  const F16 poison = quantize_queries<Level>(op, p, q, rows, q_scale, block.offsets) + splat(p.k_scale * 0.0f);
  const bool related = op.relative != nullptr || op.softcap > 0;  // scores have the unit of y
  block.position = op.window.first + first;
  block.count = rows;
  block.cap = op.softcap * attention_unit;
  Level::score_starts(p.queries, p.width, rows, related, block.score_starts);
  const F16 product = q_scale * splat(p.k_scale * (op.scale * attention_unit));
  const F16 unit = related ? splat(1.0f) : lesser(product, splat(attention_largest_unit));
  store(block.units, unit);
  if (related) {
    store(block.product_units, bounded_factor(product));
    store(block.q_scales, bounded_factor(q_scale));
    if (op.softcap > 0) {
      const F16 center_unit = bounded_factor(q_scale * splat(p.terms.center_scale * (op.scale * attention_unit)));
      store(block.offsets, load(block.offsets) * center_unit);
    }
  }
  block.weight = unit * splat(attention_unit_in_e);
  memset(p.mix, 0, round_up(rows, least_tile_rows) * p.width * sizeof(float));

  Running running = {splat(lowest_score), splat(0.0f)};
  const size_t begin = op.window.begin(first), end = op.window.end(first + rows - 1, op.kv_count);
  const size_t last_begin = op.window.begin(first + rows - 1), first_end = op.window.end(first, op.kv_count);
  for (size_t key = begin / block_keys * block_keys; key < end; key += block_keys) {
    const size_t keys = end - key < block_keys ? end - key : block_keys;
    Seen seen[query_rows];
    const bool all_seen = last_begin <= key && first_end >= key + keys && keys == block_keys;
    if (!all_seen) {
      for (size_t i = 0; i < rows; ++i) {
        const size_t from = op.window.begin(first + i), to = op.window.end(first + i, op.kv_count);
        seen[i].begin = from < key ? 0 : from - key < block_keys ? from - key : block_keys;
        seen[i].end = to < key ? 0 : to - key < block_keys ? to - key : block_keys;
      }
    }
    attend_block(p, block, key, keys, seen, all_seen, running);
  }

  alignas(64) float inverse[query_rows];
  store(inverse, splat(1.0f) / running.sum + poison);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t e = 0; e < op.head_width; e += 16) {
      const F16 mean = load(p.mix + i * p.width + e) * splat(inverse[i]);
      const F16 value = fma(mean, load(p.v_scale + e), load(p.v_center + e));
      float* to = out + i * op.out_stride + e;
      if (op.head_width - e >= 16) {
        store(to, value);
      } else {
        store_first(to, value, op.head_width - e);
      }
    }
  }
}

template <class Level>
ONEPASS_INLINE void attend_i8(const AttentionI8& op) {
  Packed<Level> p = take_scratch<Level>(op);
  measure_ranges(op, p);
  pack_keys_and_values(op, p);
  if (op.relative != nullptr) spread_terms(op, p.terms, p.width, p.k_scale, op.scale * attention_unit);
  for (size_t head = 0; head < op.q_heads; ++head) {
    const float* q = op.q + head * op.q_head_stride;
    float* out = op.out + head * op.out_head_stride;
    for (size_t first = 0; first < op.q_count; first += query_rows) {
      const size_t rows = op.q_count - first < query_rows ? op.q_count - first : query_rows;
      for (size_t next = first + query_rows; next < first + 2 * query_rows && next < op.q_count; ++next) {
        prefetch(q + next * op.q_stride, op.head_width);
      }
      attend_queries<Level>(op, p, first, rows, q + first * op.q_stride, out + first * op.out_stride);
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
