#include "kernels/kernels.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {
namespace {

ONEPASS_INLINE float row_maximum(const float* x, size_t width) {
  F16 greatest = splat(-__builtin_inff());
  size_t i = 0;
  for (; i + 16 <= width; i += 16) greatest = greater(load(x + i), greatest);
  alignas(64) float lanes[16];
  store(lanes, greatest);
  float max = lanes[0];
  for (size_t j = 1; j < 16; ++j) max = lanes[j] > max ? lanes[j] : max;
  for (; i < width; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

}  // namespace

[[gnu::flatten]] void ONEPASS_NAME(softmax_rows)(const SoftmaxRows& op) noexcept {
  for (size_t row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;
    // A NaN does not get through the comparisons, but its exponential is one, then the sum is, and so is every result.
    const float max = row_maximum(x, op.width);
    const F16 top = splat(max);
    F16 sums = splat(0.0f);
    size_t i = 0;
    for (; i + 16 * interleaved <= op.width; i += 16 * interleaved) {
      const F16s<interleaved> p = exp_bounded(load_each<interleaved>(x + i) - spread<F16s<interleaved>>(max));
      store(x + i, p);
#pragma GCC unroll 4
      for (size_t j = 0; j < interleaved; ++j) sums = sums + p.v[j];
    }
    for (; i + 16 <= op.width; i += 16) {
      const F16 p = exp_bounded(load(x + i) - top);
      store(x + i, p);
      sums = sums + p;
    }
    if (const size_t rest = op.width - i; rest != 0) {
      store_first(x + i, exp_bounded(load_first(x + i, rest) - top), rest);
      sums = sums + load_first(x + i, rest);
    }
    const F16 sum = splat(sum_lanes(sums));
    for (i = 0; i + 16 <= op.width; i += 16) store(x + i, load(x + i) / sum);
    if (const size_t rest = op.width - i; rest != 0) store_first(x + i, load_first(x + i, rest) / sum, rest);
  }
}

}  // namespace onepass::kernels
