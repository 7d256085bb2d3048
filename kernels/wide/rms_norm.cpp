#include "kernels/kernels.h"
#include "kernels/wide/norm.h"

namespace onepass::kernels {
namespace {

// Vectors of `width` that lie a stride apart: the rows of a matrix, or the heads of one row.
struct Vectors {
  const float *x, *residual;
  float *z, *y;
  size_t x_stride, residual_stride, z_stride, y_stride;
};

// `count` vectors together: the sum of one is a long chain of dependent additions, so several hide its latency.
template <size_t count, bool has_residual>
ONEPASS_INLINE void normalise(const RmsNorm& args, const Vectors& vectors, size_t first) {
  const RmsNorm op = args;  // copies: as far as the compiler knows, what is stored to y could change the originals
  const Vectors all = vectors;
  const size_t whole = op.width / 16 * 16, rest = op.width % 16;
  const float* x = all.x + first * all.x_stride;
  const float* residual = has_residual ? all.residual + first * all.residual_stride : nullptr;
  float* z = all.z + first * all.z_stride;
  float* y = all.y + first * all.y_stride;

  F16 squares[count];
#pragma GCC unroll 8
  for (size_t j = 0; j < count; ++j) squares[j] = splat(0.0f);
  for (size_t i = 0; i < whole; i += 16) {
#pragma GCC unroll 8
    for (size_t j = 0; j < count; ++j) {
      F16 value = load(x + j * all.x_stride + i);
      if constexpr (has_residual) {
        value = value + load(residual + j * all.residual_stride + i);
        store(z + j * all.z_stride + i, value);
      }
      squares[j] = fma(value, value, squares[j]);
    }
  }
  if (rest != 0) {
#pragma GCC unroll 8
    for (size_t j = 0; j < count; ++j) {
      F16 value = load_first(x + j * all.x_stride + whole, rest);
      if constexpr (has_residual) {
        value = value + load_first(residual + j * all.residual_stride + whole, rest);
        store_first(z + j * all.z_stride + whole, value, rest);
      }
      squares[j] = fma(value, value, squares[j]);
    }
  }

  F16 factor[count];
#pragma GCC unroll 8
  for (size_t j = 0; j < count; ++j) {
    factor[j] = splat(reciprocal_root(sum_lanes(squares[j]) / static_cast<float>(op.width) + op.eps));
  }
  const F16 offset = splat(op.weight_offset);
  const float* from = has_residual ? z : x;
  const size_t from_stride = has_residual ? all.z_stride : all.x_stride;
  const bool copies = !has_residual && all.z != all.y;
  for (size_t i = 0; i < whole; i += 16) {
    const F16 weight = offset + load(op.weight + i);
#pragma GCC unroll 8
    for (size_t j = 0; j < count; ++j) {
      const F16 value = load(from + j * from_stride + i);
      if (copies) store(z + j * all.z_stride + i, value);
      store(y + j * all.y_stride + i, (value * factor[j]) * weight);
    }
  }
  if (rest != 0) {
    const F16 weight = offset + load_first(op.weight + whole, rest);
#pragma GCC unroll 8
    for (size_t j = 0; j < count; ++j) {
      const F16 value = load_first(from + j * from_stride + whole, rest);
      if (copies) store_first(z + j * all.z_stride + whole, value, rest);
      store_first(y + j * all.y_stride + whole, (value * factor[j]) * weight, rest);
    }
  }
}

ONEPASS_INLINE void normalise_all(const RmsNorm& op, const Vectors& all, size_t count) {
  if (all.residual != nullptr) {
    for_norm_blocks(count, op.width, [&](size_t i, auto block) { normalise<block, true>(op, all, i); });
  } else {
    for_norm_blocks(count, op.width, [&](size_t i, auto block) { normalise<block, false>(op, all, i); });
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(rms_norm)(const RmsNorm& op) noexcept {
  const bool has_sum = op.sum != nullptr;
  const size_t z_stride = has_sum ? op.sum_stride : op.y_stride;
  Vectors vectors = {op.x,     op.residual, has_sum ? op.sum : op.y, op.y, op.x_stride, op.residual_stride,
                     z_stride, op.y_stride};
  // One call of normalise_all, since everything is inlined into it.
  const bool by_row = op.groups == 1;
  const size_t outer = by_row ? 1 : op.rows, inner = by_row ? op.rows : op.groups;
  if (!by_row) {
    vectors.x_stride = vectors.residual_stride = vectors.z_stride = vectors.y_stride = op.group_stride;
  }
  for (size_t row = 0; row < outer; ++row) {
    normalise_all(op, vectors, inner);
    vectors.x += op.x_stride;
    if (vectors.residual != nullptr) vectors.residual += op.residual_stride;
    vectors.z += z_stride;
    vectors.y += op.y_stride;
  }
}

}  // namespace onepass::kernels
