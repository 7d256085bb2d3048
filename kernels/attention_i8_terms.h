// What attention_i8 makes of scores beyond their products with the keys: the terms by distance (RelativeCodes), and a
// cap. Only for sources of one level; internal linkage.
//
// Columns: the distance i - j of query and key is a column `last` - (i - j) of the tables, so that the keys of a query
// lie one after another, and those of the next query begin a column earlier. The first query of a block of 16 and the
// first key of a block of 64 are 16 columns further than a multiple of 16 less one: the block's columns are whole
// panels.
//
// The key table is multiplied like keys, all columns of a block with all its queries, in panels [column/16][E/group]
// [16][group]; the scores pick theirs from these products. A key meets one column of the query table for each query:
// that product is of a register of keys by a register of columns, [E/group][columns][group].
#pragma once

#include "kernels/attention_i8.h"
#include "kernels/attention_i8_math.h"
#include "kernels/layouts.h"
#include "kernels/wide/codes.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

constexpr size_t query_rows = 16, block_keys = 64;
// Columns of a block.
constexpr size_t block_columns = block_keys + query_rows;
// The bits of 1.5 * 2^23: sums that start at it are the bits of floats, 1.5 * 2^23 + sum, while |sum| < 2^22.
constexpr int32_t score_start = 0x4b400000;
constexpr float score_zero = 12582912.0f;

ONEPASS_INLINE F16 sums_of(const int32_t* sums) { return as_floats(load_bits(sums)) - splat(score_zero); }

// x within +-bound; a NaN becomes bound.
ONEPASS_INLINE F16 bounded(F16 x, float bound) { return greater(lesser(x, splat(bound)), splat(-bound)); }
ONEPASS_INLINE F16 bounded_factor(F16 x) { return bounded(x, attention_largest_factor); }

// Where channel e (a multiple of 16) of key t (a multiple of 4) lies in panels of 16 keys.
template <class Level>
ONEPASS_INLINE size_t panel_offset(size_t t, size_t e, size_t width) {
  return t / 16 * 16 * width + e * 16 + t % 16 * Level::group;
}

template <class Level>
struct Terms {
  size_t columns, last;                   // last: the distance of column 0
  typename Level::Key* keys;              // the key table, or null
  typename Level::Query* query;           // the query table, or null
  int32_t* query_starts;                  // [columns]
  float *key_units, *query_units, *bias;  // [columns]
  int32_t* key_sums;                      // [16, block_columns]
  int32_t* query_sums;                    // [16, block_keys]
  typename Level::Key* centers;           // of the keys, codes of a key beside a key of zeros
  float center_scale;
};

template <class Level, class Take>
ONEPASS_INLINE Terms<Level> take_terms(const AttentionI8& op, size_t width, Take take) {
  Terms<Level> t{};
  const size_t queries = round_up(op.q_count, query_rows);
  t.columns = round_up(op.kv_count, 16) + queries;
  t.last = op.window.first + queries - 1;
  const auto floats = [&](size_t count) { return reinterpret_cast<float*>(take(count * sizeof(float))); };
  t.key_units = floats(t.columns);
  t.query_units = floats(t.columns);
  t.bias = floats(t.columns);
  t.query_starts = reinterpret_cast<int32_t*>(floats(t.columns));
  t.key_sums = reinterpret_cast<int32_t*>(floats(query_rows * block_columns));
  t.query_sums = reinterpret_cast<int32_t*>(floats(query_rows * block_keys));
  t.centers = reinterpret_cast<typename Level::Key*>(take(4 * width * sizeof(typename Level::Key)));
  const auto table = [&](const int8_t* rows, size_t element) {
    return rows == nullptr ? nullptr : take(t.columns * width * element);
  };
  t.keys = reinterpret_cast<typename Level::Key*>(table(op.relative->key_table, sizeof(typename Level::Key)));
  t.query = reinterpret_cast<typename Level::Query*>(table(op.relative->query_table, sizeof(typename Level::Query)));
  return t;
}

// sums [rows, 16] at `to`, block_keys apart, of a panel of keys by columns of the query table: `column` is that of the
// block's last query, and `first` the first row.
template <class Level, size_t rows>
ONEPASS_INLINE void query_term_tile(const Terms<Level>& t, size_t groups, const typename Level::Key* keys,
                                    size_t column, size_t first, int32_t* to) {
  constexpr size_t vectors = 16 / Level::lanes;
  const auto own = [&](size_t i) { return query_rows - 1 - first - i; };
  typename Level::Sums sum[rows][vectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      sum[i][j] = Level::load_sum(t.query_starts + (column + own(i) + j * Level::lanes));
    }
  }
  [[maybe_unused]] typename Level::Operand lanes[rows];
  if constexpr (Level::joins_columns) {
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) lanes[i] = Level::lanes_from(own(i));
  }
  for (size_t g = 0; g < groups; ++g) {
    const typename Level::Query* terms = t.query + (g * t.columns + column) * Level::group;
    typename Level::Operand k[vectors];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) k[j] = Level::load(keys + (g * 16 + j * Level::lanes) * Level::group);
    if constexpr (Level::joins_columns) {
      // Loads of 64 bytes that are not aligned take the time of four.
      const typename Level::Operand low = Level::load(terms), high = Level::load(terms + 16 * Level::group);
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) sum[i][0] = Level::pair_step(sum[i][0], k[0], Level::join(low, high, lanes[i]));
    } else {
#pragma GCC unroll 16
      for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
        for (size_t j = 0; j < vectors; ++j) {
          sum[i][j] =
              Level::pair_step(sum[i][j], k[j], Level::load_terms(terms + (own(i) + j * Level::lanes) * Level::group));
        }
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) Level::store_sum(to + i * block_keys + j * Level::lanes, sum[i][j]);
  }
}

// Where the sums of each column start, so that they are exact whatever the keys' codes have in excess; and the bias
// with what the centers of the keys add to it.
template <class Level>
ONEPASS_INLINE void finish_query_table(const Terms<Level>& t, size_t groups, float factor) {
  constexpr size_t vectors = 16 / Level::lanes;
  const F16 center_unit = splat(t.center_scale * factor);
  for (size_t column = 0; column < t.columns; column += 16) {
    typename Level::Sums center[vectors], excess[vectors];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) center[j] = excess[j] = Level::splat_sum(0);
    for (size_t g = 0; g < groups; ++g) {
      const typename Level::Query* terms = t.query + (g * t.columns + column) * Level::group;
      const typename Level::Key* codes = t.centers + g * 4 * Level::group;
      const typename Level::Operand c = Level::splat_key(codes), zero = Level::splat_key(codes + Level::group);
#pragma GCC unroll 16
      for (size_t j = 0; j < vectors; ++j) {
        const typename Level::Operand columns = Level::load_terms(terms + j * Level::lanes * Level::group);
        center[j] = Level::pair_step(center[j], c, columns);
        excess[j] = Level::pair_step(excess[j], zero, columns);
      }
    }
    alignas(64) int32_t sums[16], in_excess[16];
#pragma GCC unroll 16
    for (size_t j = 0; j < vectors; ++j) {
      Level::store_sum(sums + j * Level::lanes, center[j]);
      Level::store_sum(in_excess + j * Level::lanes, excess[j]);
    }
    for (size_t i = 0; i < 16; ++i) {
      t.query_starts[column + i] = score_start - in_excess[i];
      sums[i] -= in_excess[i];
    }
    const F16 by_center = load(t.query_units + column) * center_unit;
    store(t.bias + column, fma(to_floats(load_bits(sums)), by_center, load(t.bias + column)));
  }
}

// The tables by column. factor: f of the contract.
template <class Level>
ONEPASS_INLINE void spread_terms(const AttentionI8& op, const Terms<Level>& t, size_t width, float k_scale,
                                 float factor) {
  const RelativeCodes& r = *op.relative;
  const size_t groups = (op.head_width + Level::group - 1) / Level::group;
  const size_t end = op.window.first + op.q_count;  // distances go up to end - 1, and down to -(kv_count - 1)
  const I16 none = bits_of(splat(0.0f));
  for (size_t column = 0; column < t.columns; column += 4) {
    ptrdiff_t row[4];
    for (size_t i = 0; i < 4; ++i) {
      const ptrdiff_t distance = static_cast<ptrdiff_t>(t.last) - static_cast<ptrdiff_t>(column + i);
      const bool exists = distance < static_cast<ptrdiff_t>(end) && distance > -static_cast<ptrdiff_t>(op.kv_count);
      row[i] = exists ? r.index[distance] : -1;
      const size_t at = column + i;
      t.key_units[at] = exists && r.key_table != nullptr ? r.key_scale[row[i]] : 0.0f;
      t.query_units[at] = exists && r.query_table != nullptr ? r.query_scale[row[i]] : 0.0f;
      t.bias[at] = exists && r.bias != nullptr ? r.bias[row[i]] : 0.0f;
    }
    for (size_t e = 0; e < op.head_width; e += 16) {
      const size_t n = op.head_width - e < 16 ? op.head_width - e : 16;
#pragma GCC unroll 1
      for (const bool of_keys : {true, false}) {
        const int8_t* table = of_keys ? r.key_table : r.query_table;
        if (table == nullptr) continue;
        const size_t stride = of_keys ? r.key_stride : r.query_stride;
        I16 rows[4];
#pragma GCC unroll 1
        for (size_t i = 0; i < 4; ++i) {
          rows[i] = row[i] < 0 ? none : rounded(load_upto(table + static_cast<size_t>(row[i]) * stride + e, n));
        }
        if (of_keys) {
          Level::store_keys(rows, t.keys + panel_offset<Level>(column, e, width), 16 * Level::group);
        } else {
          Level::store_terms(rows, t.query + e * t.columns + column * Level::group, t.columns * Level::group);
        }
      }
    }
  }
  for (size_t column = 0; column < t.columns; column += 16) {
    store(t.bias + column, load(t.bias + column) * splat(attention_unit));
  }
  if (r.query_table != nullptr) finish_query_table<Level>(t, groups, factor);
  for (size_t column = 0; column < t.columns; column += 16) {
    store(t.bias + column, bounded_factor(load(t.bias + column)));
    store(t.key_units + column, bounded_factor(load(t.key_units + column) * splat(factor)));
    store(t.query_units + column, bounded_factor(load(t.query_units + column) * splat(k_scale * factor)));
  }
}

// scores: sums of products become scores in units of y, for `panels` x 16 keys of each query; column: of the block's
// last query and first key.
template <class Level>
ONEPASS_INLINE void add_terms(const Terms<Level>& t, size_t rows, size_t panels, size_t column, const float* units,
                              const float* q_scales, int32_t* scores) {
  for (size_t i = 0; i < rows; ++i) {
    const size_t own = query_rows - 1 - i, first = column + own;
    const F16 unit = splat(units[i]), q_scale = splat(q_scales[i]);
    for (size_t key = 0; key < 16 * panels; key += 16) {
      F16 s = load(t.bias + first + key);
      if (t.query != nullptr) {
        s = fma(sums_of(t.query_sums + i * block_keys + key), load(t.query_units + first + key), s);
      }
      if (t.keys != nullptr) {
        const F16 sum = sums_of(t.key_sums + i * block_columns + own + key) * q_scale;
        s = fma(sum, load(t.key_units + first + key), s);
      }
      int32_t* to = scores + i * block_keys + key;
      store_bits(to, bits_of(bounded(fma(sums_of(to), unit, s), attention_largest_score)));
    }
  }
}

// scores: sums of products become capped scores in units of y. cap: C of the contract; offsets: of the centers.
ONEPASS_INLINE void cap_scores(size_t rows, size_t panels, float cap, const float* units, const float* offsets,
                               int32_t* scores) {
  const F16 inverse = splat(1.0f / cap);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t key = 0; key < 16 * panels; key += 16) {
      int32_t* to = scores + i * block_keys + key;
      const F16 s = splat(cap) * tanh_f32(fma(sums_of(to), splat(units[i]), splat(offsets[i])) * inverse);
      store_bits(to, bits_of(bounded(s, attention_largest_score)));
    }
  }
}

}  // namespace
}  // namespace onepass::kernels
