// Mean, variance and maximum of a row each need the whole row before, so there are four passes: sums, squares, the norm
// with its greatest magnitude, codes. Each goes over a block of up to 16 rows that stays in the first-level cache, in
// groups of rows: a group hides the latency of one row's chain of additions, and the next group that of the divisions
// and the sums across lanes at the end of the one before. 11 operations for 16 elements.
#include "kernels/kernels.h"
#include "kernels/wide/norm.h"
#include "kernels/wide/quantize.h"

namespace onepass::kernels {
namespace {

constexpr size_t block_rows = 16;
constexpr size_t group_rows = 4;

// Rows [first, first + rows) of the operands, and what each of them needs once.
struct Block {
  const float *x, *residual;
  float *z, *y;       // z: x + residual, where there is one
  const float* from;  // z, or x
  int8_t* codes;
  float* scale;
  size_t x_stride, residual_stride, z_stride, y_stride, from_stride, codes_stride;
  const float *weight, *bias;
  size_t width;
  float eps, weight_offset;
  float mean[block_rows], factor[block_rows], shift[block_rows], inverse[block_rows];
};

// visit(i, load) over the row in steps of 16 elements, where load(p) are those at p + i, and 0 beyond the row.
template <class Visit>
ONEPASS_INLINE void for_each_16(size_t width, Visit visit) {
  const size_t whole = width / 16 * 16, rest = width % 16;
  for (size_t i = 0; i < whole; i += 16) {
    visit([i](const float* p) { return load(p + i); }, [i](float* p, F16 v) { store(p + i, v); }, size_t{16});
  }
  if (rest == 0) return;
  visit([whole, rest](const float* p) { return load_first(p + whole, rest); },
        [whole, rest](float* p, F16 v) { store_first(p + whole, v, rest); }, rest);
}

ONEPASS_INLINE void set_factor(Block& b, size_t r, F16 squares) {
  b.factor[r] = reciprocal_root(sum_lanes(squares) / static_cast<float>(b.width) + b.eps);
  b.shift[r] = -(b.mean[r] * b.factor[r]);
}

// z = x + residual and the sum of its elements, or of their squares, which is all that an RMS norm needs.
template <size_t group, bool rms, bool has_residual>
ONEPASS_INLINE void sum_pass(Block& block, size_t first) {
  const Block b = block;  // a copy: as far as the compiler knows, what is stored could change it
  F16 sum[group];
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) sum[r] = splat(0.0f);
  const float* x = b.x + first * b.x_stride;
  const float* residual = has_residual ? b.residual + first * b.residual_stride : nullptr;
  float* z = has_residual ? b.z + first * b.z_stride : nullptr;
  for_each_16(b.width, [&](auto load_at, auto store_at, size_t) {
#pragma GCC unroll 8
    for (size_t r = 0; r < group; ++r) {
      F16 value = load_at(x + r * b.x_stride);
      if constexpr (has_residual) {
        value = value + load_at(residual + r * b.residual_stride);
        store_at(z + r * b.z_stride, value);
      }
      sum[r] = rms ? fma(value, value, sum[r]) : sum[r] + value;
    }
  });
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) {
    block.mean[first + r] = rms ? 0.0f : sum_lanes(sum[r]) / static_cast<float>(b.width);
    if constexpr (rms) set_factor(block, first + r, sum[r]);
  }
}

template <size_t group>
ONEPASS_INLINE void square_pass(Block& block, size_t first) {
  const Block& b = block;
  F16 mean[group], squares[group];
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) {
    mean[r] = splat(b.mean[first + r]);
    squares[r] = splat(0.0f);
  }
  const float* z = b.from + first * b.from_stride;
  for_each_16(b.width, [&](auto load_at, auto, size_t n) {
#pragma GCC unroll 8
    for (size_t r = 0; r < group; ++r) {
      F16 d = mean[r] - load_at(z + r * b.from_stride);  // squared, so its sign is free
      // Lanes beyond the row must add nothing, so their difference is 0 and not the mean.
      if (n != 16) d = first_lanes(d, n);
      squares[r] = fma(d, d, squares[r]);
    }
  });
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) set_factor(block, first + r, squares[r]);
}

template <bool rms>
ONEPASS_INLINE F16 normal(F16 z, F16 factor, F16 shift, F16 weight, F16 bias) {
  if constexpr (rms) return (z * factor) * weight;
  return fma(fma(z, factor, shift), weight, bias);
}

// What the norm multiplies by, and adds.
template <bool rms, class Load>
ONEPASS_INLINE F16 weight_of(const Block& b, Load load_at) {
  return rms ? splat(b.weight_offset) + load_at(b.weight) : load_at(b.weight);
}
template <bool rms, class Load>
ONEPASS_INLINE F16 bias_of(const Block& b, Load load_at) {
  return !rms && b.bias != nullptr ? load_at(b.bias) : splat(0.0f);
}

// y, where it is wanted, and what the codes of each row need.
template <size_t group, bool rms>
ONEPASS_INLINE void normal_pass(Block& block, size_t first) {
  const Block b = block;
  F16 factor[group], shift[group];
  I16 greatest[group];
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) {
    factor[r] = splat(b.factor[first + r]);
    shift[r] = splat(b.shift[first + r]);
    greatest[r] = no_magnitude();
  }
  const float* z = b.from + first * b.from_stride;
  float* y = b.y != nullptr ? b.y + first * b.y_stride : nullptr;
  for_each_16(b.width, [&](auto load_at, auto store_at, size_t n) {
    const F16 weight = weight_of<rms>(b, load_at), bias = bias_of<rms>(b, load_at);
#pragma GCC unroll 8
    for (size_t r = 0; r < group; ++r) {
      F16 value = normal<rms>(load_at(z + r * b.from_stride), factor[r], shift[r], weight, bias);
      if (y != nullptr) store_at(y + r * b.y_stride, value);
      if (n != 16) value = first_lanes(value, n);
      greatest[r] = track_magnitude(greatest[r], value);
    }
  });
#pragma GCC unroll 8
  for (size_t r = 0; r < group; ++r) {
    const RowScale scale = row_scale(greatest[r]);
    block.scale[first + r] = scale.scale;
    // A row of which every code is 0 may hold infinities, whose product with 0 is no code.
    block.inverse[first + r] = scale.codes_are_0 ? -1.0f : scale.inverse;
  }
}

// The codes of y, or of the norm of z once more where y is not stored.
template <bool rms, bool has_y>
ONEPASS_INLINE void code_pass(const Block& b, size_t row) {
  const float* from = has_y ? b.y + row * b.y_stride : b.from + row * b.from_stride;
  int8_t* codes = b.codes + row * b.codes_stride;
  if (b.inverse[row] < 0.0f) {
    memset(codes, 0, round_up(b.width, 4));
    return;
  }
  const F16 inverse = splat(b.inverse[row]), factor = splat(b.factor[row]), shift = splat(b.shift[row]);
  const auto value_at = [&](auto load_at) {
    const F16 x = load_at(from);
    if constexpr (has_y) return x;
    return normal<rms>(x, factor, shift, weight_of<rms>(b, load_at), bias_of<rms>(b, load_at));
  };
  size_t i = 0;
  for (; i + 64 <= b.width; i += 64) {
    store_codes(codes + i,
                each<4>([&](size_t j) { return value_at([at = i + 16 * j](const float* p) { return load(p + at); }); }),
                inverse);
  }
  for (; i + 16 <= b.width; i += 16) {
    store_codes(codes + i, value_at([i](const float* p) { return load(p + i); }), inverse);
  }
  const size_t rest = b.width - i;
  if (rest == 0) return;
  const F16 value = value_at([i, rest](const float* p) { return load_first(p + i, rest); });
  store_last_codes(codes + i, value, inverse, rest);
}

template <class Pass>
ONEPASS_INLINE void for_groups(size_t rows, Pass pass) {
  size_t r = 0;
  for (; r + group_rows <= rows; r += group_rows) pass(r, std::integral_constant<size_t, group_rows>{});
  for (; r < rows; ++r) pass(r, std::integral_constant<size_t, 1>{});
}

template <bool rms>
ONEPASS_INLINE void norm_quantize_block(Block& b, size_t rows) {
  if (b.residual != nullptr) {
    for_groups(rows, [&](size_t r, auto group) { sum_pass<group, rms, true>(b, r); });
  } else {
    for_groups(rows, [&](size_t r, auto group) { sum_pass<group, rms, false>(b, r); });
  }
  if constexpr (!rms) for_groups(rows, [&](size_t r, auto group) { square_pass<group>(b, r); });
  for_groups(rows, [&](size_t r, auto group) { normal_pass<group, rms>(b, r); });
  if (b.y != nullptr) {
    for (size_t r = 0; r < rows; ++r) code_pass<rms, true>(b, r);
  } else {
    for (size_t r = 0; r < rows; ++r) code_pass<rms, false>(b, r);
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(norm_quantize)(const NormQuantize& op) noexcept {
  // 24 KiB of rows, in whole groups.
  const size_t fitting = 6144 / op.width / group_rows * group_rows;
  const size_t step = fitting > block_rows ? block_rows : fitting < group_rows ? group_rows : fitting;
  for (size_t row = 0; row < op.rows; row += step) {
    Block b;
    b.x = op.x + row * op.x_stride, b.x_stride = op.x_stride;
    b.residual = op.residual != nullptr ? op.residual + row * op.residual_stride : nullptr;
    b.residual_stride = op.residual_stride;
    b.y = op.y != nullptr ? op.y + row * op.y_stride : nullptr, b.y_stride = op.y_stride;
    b.z = op.sum != nullptr ? op.sum + row * op.sum_stride : b.y;
    b.z_stride = op.sum != nullptr ? op.sum_stride : op.y_stride;
    b.from = op.residual != nullptr ? b.z : b.x, b.from_stride = op.residual != nullptr ? b.z_stride : b.x_stride;
    b.codes = op.codes + row * op.codes_stride, b.codes_stride = op.codes_stride;
    b.scale = op.scale + row;
    b.weight = op.weight, b.bias = op.bias;
    b.width = op.width, b.eps = op.eps, b.weight_offset = op.weight_offset;
    const size_t rows = op.rows - row < step ? op.rows - row : step;
    if (op.rms) {
#ifndef ONEPASS_WITHOUT_DECODERS
      norm_quantize_block<true>(b, rows);
#endif
    } else {
#ifndef ONEPASS_WITHOUT_ENCODERS
      norm_quantize_block<false>(b, rows);
#endif
    }
  }
}

}  // namespace onepass::kernels
