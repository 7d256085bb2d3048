// The scalar arithmetic that every level reproduces bit for bit: one fixed order of IEEE operations and no
// function of the C library except fma and sqrt, which are exact by definition. Error bounds: docs/numerics.md.
// Not for instruction-set sources: an inline function compiled there could be linked everywhere.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <bit>
#include <cmath>

#include "kernels/math_constants.h"

namespace onepass::kernels::ref {

// Horner's rule, highest coefficient first.
template <size_t n>
float polynomial(const float (&coefficients)[n], float x) {
  float sum = coefficients[n - 1];
  for (size_t i = n - 1; i-- > 0;) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

// 2^(n-1) from the low bits of exponent_magic + n, -125 <= n <= 128. Other n give some float.
inline float half_power_of_two(float magic_plus_n) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magic_plus_n) << 23);
}

// exp(x); 0 below exp_lowest, NaN for NaN.
inline float exp_f32(float x) {
  const float y = exp_highest < x ? exp_highest : x;
  const float shifted = std::fma(y, log2_e, exponent_magic);
  const float n = shifted - exponent_magic;
  const float r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, y));
  const float result = polynomial(exp_poly, r) * half_power_of_two(shifted);
  return y < exp_lowest ? 0.0f : result;
}

// erfc(t / sqrt 2) / 2 for 0 <= t <= normal_tail_end: the share of a normal distribution above t.
inline float normal_tail_f32(float t) {
  const float y = polynomial(normal_tail_poly, t);
  const float shifted = y + exponent_magic;
  const float n = shifted - exponent_magic;
  return polynomial(exp2_poly, y - n) * half_power_of_two(shifted);
}

// 0.5 x (1 + erf(x / sqrt 2)) = max(x, 0) - |x| tail(|x|), which cancels nowhere.
inline float gelu_erf_f32(float x) {
  const float magnitude = std::fabs(x);
  const float t = normal_tail_end < magnitude ? normal_tail_end : magnitude;
  const float positive = x < 0.0f ? 0.0f : x;
  return std::fma(-t, normal_tail_f32(t), positive);
}

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2 u)).
inline float gelu_tanh_f32(float x) {
  const float u = x * std::fma(x * x, gelu_tanh_b, gelu_tanh_a);
  return x / (1.0f + exp_f32(u));
}

inline float tanh_f32(float x) {
  const float magnitude = std::fabs(x);
  const float t = tanh_end < magnitude ? tanh_end : magnitude;
  const float s = t * t;
  const float small = std::fma(s * polynomial(tanh_poly, s), t, t);
  const float large = 1.0f - 2.0f / (exp_f32(t + t) + 1.0f);
  return std::copysign(t < tanh_split ? small : large, x);
}

inline float relu_f32(float x) { return x < 0.0f ? 0.0f : x; }

// Sixteen partial sums, lane i % 16 taking x[i] in ascending order, then one fixed tree.
struct Lanes16 {
  float lane[16] = {};

  float sum() const {
    float a[16];
    for (size_t j = 0; j < 16; ++j) a[j] = lane[j];
    for (size_t width = 8; width > 0; width /= 2) {
      for (size_t j = 0; j < width; ++j) a[j] = a[j] + a[j + width];
    }
    return a[0];
  }
};

inline float lanes16_sum(const float* x, size_t count) {
  Lanes16 lanes;
  for (size_t i = 0; i < count; ++i) lanes.lane[i % 16] = lanes.lane[i % 16] + x[i];
  return lanes.sum();
}

// IEEE binary16 to binary32, exact; a signalling NaN becomes quiet, as the instructions do.
inline float f32_from_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, which binary32 holds exactly
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) {
    const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | (fraction << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

}  // namespace onepass::kernels::ref
