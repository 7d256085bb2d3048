#include "kernels/kernels.h"
#include "kernels/wide/norm.h"

namespace onepass::kernels {
namespace {

// `count` rows together: a row's sums are one long chain of dependent additions, so several rows hide its latency.
template <size_t count, bool has_residual>
ONEPASS_INLINE void normalise(const AddNorm& args, size_t first_row) {
  const AddNorm op = args;  // a copy: as far as the compiler knows, what is stored to y could change args
  const auto width = static_cast<float>(op.width);
  const size_t whole = op.width / 16 * 16, rest = op.width % 16;
  const float* x = op.x + first_row * op.x_stride;
  const float* residual = has_residual ? op.residual + first_row * op.residual_stride : nullptr;
  float* y = op.y + first_row * op.y_stride;
  const size_t z_stride = op.sum != nullptr ? op.sum_stride : op.y_stride;
  float* z = op.sum != nullptr ? op.sum + first_row * op.sum_stride : y;

  F16 sum[count];
#pragma GCC unroll 8
  for (size_t row = 0; row < count; ++row) sum[row] = splat(0.0f);
  for (size_t i = 0; i < whole; i += 16) {
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      F16 value = load(x + row * op.x_stride + i);
      if constexpr (has_residual) value = value + load(residual + row * op.residual_stride + i);
      store(z + row * z_stride + i, value);
      sum[row] = sum[row] + value;
    }
  }
  if (rest != 0) {
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      F16 value = load_first(x + row * op.x_stride + whole, rest);
      if constexpr (has_residual) value = value + load_first(residual + row * op.residual_stride + whole, rest);
      store_first(z + row * z_stride + whole, value, rest);
      sum[row] = sum[row] + value;
    }
  }

  F16 mean[count], squares[count];
#pragma GCC unroll 8
  for (size_t row = 0; row < count; ++row) {
    mean[row] = splat(sum_lanes(sum[row]) / width);
    squares[row] = splat(0.0f);
  }
  for (size_t i = 0; i < whole; i += 16) {
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      const F16 d = mean[row] - load(z + row * z_stride + i);  // squared, so its sign is free
      squares[row] = fma(d, d, squares[row]);
    }
  }
  if (rest != 0) {
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      // Lanes beyond the row must add nothing, so their difference is 0 and not -mean.
      alignas(64) float d[16];
      store(d, load_first(z + row * z_stride + whole, rest) - mean[row]);
      for (size_t j = rest; j < 16; ++j) d[j] = 0.0f;
      const F16 partial = load(d);
      squares[row] = fma(partial, partial, squares[row]);
    }
  }

  F16 factor[count], shift[count];
#pragma GCC unroll 8
  for (size_t row = 0; row < count; ++row) {
    factor[row] = splat(reciprocal_root(sum_lanes(squares[row]) / width + op.eps));
    shift[row] = -(mean[row] * factor[row]);
  }
  for (size_t i = 0; i < whole; i += 16) {
    const F16 weight = load(op.weight + i);
    const F16 bias = op.bias != nullptr ? load(op.bias + i) : splat(0.0f);
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      const F16 normal = fma(load(z + row * z_stride + i), factor[row], shift[row]);
      store(y + row * op.y_stride + i, fma(normal, weight, bias));
    }
  }
  if (rest != 0) {
    const F16 weight = load_first(op.weight + whole, rest);
    const F16 bias = op.bias != nullptr ? load_first(op.bias + whole, rest) : splat(0.0f);
#pragma GCC unroll 8
    for (size_t row = 0; row < count; ++row) {
      const F16 normal = fma(load_first(z + row * z_stride + whole, rest), factor[row], shift[row]);
      store_first(y + row * op.y_stride + whole, fma(normal, weight, bias), rest);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(add_norm)(const AddNorm& op) noexcept {
  if (op.residual != nullptr) {
    for_norm_blocks(op.rows, op.width, [&](size_t row, auto count) { normalise<count, true>(op, row); });
  } else {
    for_norm_blocks(op.rows, op.width, [&](size_t row, auto count) { normalise<count, false>(op, row); });
  }
}

}  // namespace onepass::kernels
