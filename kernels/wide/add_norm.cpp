#include "kernels/kernels.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// 1 / sqrt(x), as two IEEE operations.
ONEPASS_INLINE float reciprocal_root(float x) { return 1.0f / __builtin_sqrtf(x); }

// `count` rows together: a row's sums are one long chain of dependent additions, so several rows hide its latency.
template <size_t count>
ONEPASS_INLINE void normalise(const AddNorm& op, size_t first_row) {
  const auto width = static_cast<float>(op.width);
  const size_t whole = op.width / 16 * 16, rest = op.width % 16;
  const float* x = op.x + first_row * op.x_stride;
  const float* residual = op.residual != nullptr ? op.residual + first_row * op.residual_stride : nullptr;
  float* y = op.y + first_row * op.y_stride;

  F16 sum[count];
  for (size_t row = 0; row < count; ++row) sum[row] = splat(0.0f);
  for (size_t i = 0; i < whole; i += 16) {
#pragma GCC unroll 4
    for (size_t row = 0; row < count; ++row) {
      F16 z = load(x + row * op.x_stride + i);
      if (residual != nullptr) z = z + load(residual + row * op.residual_stride + i);
      store(y + row * op.y_stride + i, z);
      sum[row] = sum[row] + z;
    }
  }
  if (rest != 0) {
    for (size_t row = 0; row < count; ++row) {
      F16 z = load_first(x + row * op.x_stride + whole, rest);
      if (residual != nullptr) z = z + load_first(residual + row * op.residual_stride + whole, rest);
      store_first(y + row * op.y_stride + whole, z, rest);
      sum[row] = sum[row] + z;
    }
  }

  F16 mean[count], squares[count];
#pragma GCC unroll 4
  for (size_t row = 0; row < count; ++row) {
    mean[row] = splat(sum_lanes(sum[row]) / width);
    squares[row] = splat(0.0f);
  }
  for (size_t i = 0; i < whole; i += 16) {
#pragma GCC unroll 4
    for (size_t row = 0; row < count; ++row) {
      const F16 d = load(y + row * op.y_stride + i) - mean[row];
      squares[row] = fma(d, d, squares[row]);
    }
  }
  if (rest != 0) {
    for (size_t row = 0; row < count; ++row) {
      // Lanes beyond the row must add nothing, so their difference is 0 and not -mean.
      alignas(64) float d[16];
      store(d, load_first(y + row * op.y_stride + whole, rest) - mean[row]);
      for (size_t j = rest; j < 16; ++j) d[j] = 0.0f;
      const F16 partial = load(d);
      squares[row] = fma(partial, partial, squares[row]);
    }
  }

  F16 factor[count];
#pragma GCC unroll 4
  for (size_t row = 0; row < count; ++row) {
    factor[row] = splat(reciprocal_root(sum_lanes(squares[row]) / width + op.eps));
  }
  for (size_t i = 0; i < whole; i += 16) {
    const F16 weight = load(op.weight + i);
    const F16 bias = op.bias != nullptr ? load(op.bias + i) : splat(0.0f);
#pragma GCC unroll 4
    for (size_t row = 0; row < count; ++row) {
      float* at = y + row * op.y_stride + i;
      store(at, fma((load(at) - mean[row]) * factor[row], weight, bias));
    }
  }
  if (rest != 0) {
    const F16 weight = load_first(op.weight + whole, rest);
    const F16 bias = op.bias != nullptr ? load_first(op.bias + whole, rest) : splat(0.0f);
    for (size_t row = 0; row < count; ++row) {
      float* at = y + row * op.y_stride + whole;
      store_first(at, fma((load_first(at, rest) - mean[row]) * factor[row], weight, bias), rest);
    }
  }
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(add_norm)(const AddNorm& op) noexcept {
  size_t row = 0;
  for (; row + 4 <= op.rows; row += 4) normalise<4>(op, row);
  for (; row < op.rows; ++row) normalise<1>(op, row);
}

}  // namespace onepass::kernels
