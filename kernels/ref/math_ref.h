// The scalar arithmetic that every level reproduces bit for bit: one fixed order of IEEE operations and no
// function of the C library except fma and sqrt, which are exact by definition. Error bounds: docs/numerics.md.
// Not for instruction-set sources: an inline function compiled there could be linked everywhere.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/elementwise.h"
#include "kernels/math_constants.h"

namespace onepass::kernels::ref {

// x y + z, rounded once, in operations of double: the product is exact, and a sum rounded to odd rounds again to the
// float that is nearest to the exact one.
inline float fused_in_double(float x, float y, float z) {
  const double product = static_cast<double>(x) * y, sum = product + z;
  const double part = sum - product, rest = (product - (sum - part)) + (z - part);
  auto bits = std::bit_cast<uint64_t>(sum);
  if ((rest > 0 || rest < 0) && bits % 2 == 0) bits = (rest > 0) == (sum > 0) ? bits + 1 : bits - 1;
  return static_cast<float>(std::bit_cast<double>(bits));
}

inline float fused(float x, float y, float z) {
#if defined(__MINGW32__)
  return fused_in_double(x, y, z);  // fmaf of its C library is not exact: every fifth result of random floats was wrong
#else
  return std::fma(x, y, z);
#endif
}

// Horner's rule, highest coefficient first.
template <size_t n>
float polynomial(const float (&coefficients)[n], float x) {
  float sum = coefficients[n - 1];
  for (size_t i = n - 1; i-- > 0;) sum = fused(sum, x, coefficients[i]);
  return sum;
}

// 2^(n-1) from the low bits of exponent_magic + n, -125 <= n <= 128. Other n give some float.
inline float half_power_of_two(float magic_plus_n) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magic_plus_n) << 23);
}

// exp(x); 0 below exp_lowest, NaN for NaN.
inline float exp_f32(float x) {
  const float y = exp_highest < x ? exp_highest : x;
  const float shifted = fused(y, log2_e, exponent_magic);
  const float n = shifted - exponent_magic;
  const float r = fused(n, -ln2_low, fused(n, -ln2_high, y));
  const float result = polynomial(exp_poly, r) * half_power_of_two(shifted);
  return y < exp_lowest ? 0.0f : result;
}

// max(x, 0) - t r(t)^4, which cancels nowhere: see math_constants.h.
template <size_t n>
float gelu_f32(const float (&root_poly)[n], float end, float x) {
  const float magnitude = std::fabs(x);
  const float t = end < magnitude ? end : magnitude;
  const float root = polynomial(root_poly, t);
  const float square = root * root;
  const float positive = x < 0.0f ? 0.0f : x;
  return fused(-(t * square), square, positive);
}

// 0.5 x (1 + erf(x / sqrt 2)).
inline float gelu_erf_f32(float x) { return gelu_f32(gelu_erf_poly, gelu_erf_end, x); }

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
inline float gelu_tanh_f32(float x) { return gelu_f32(gelu_tanh_poly, gelu_tanh_end, x); }

inline float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

// x sigmoid(x).
inline float silu_f32(float x) { return x / (1.0f + exp_f32(-x)); }

inline float tanh_f32(float x) {
  const float magnitude = std::fabs(x);
  const float t = tanh_end < magnitude ? tanh_end : magnitude;
  const float s = t * t;
  const float small = fused(s * polynomial(tanh_poly, s), t, t);
  const float large = 1.0f - 2.0f / (exp_f32(t + t) + 1.0f);
  return std::copysign(t < tanh_split ? small : large, x);
}

inline float relu_f32(float x) { return x < 0.0f ? 0.0f : x; }

inline float activated(Act act, float x) {
  switch (act) {
    case Act::none:
      break;
    case Act::gelu_erf:
      return gelu_erf_f32(x);
    case Act::gelu_tanh:
      return gelu_tanh_f32(x);
    case Act::relu:
      return relu_f32(x);
    case Act::tanh:
      return tanh_f32(x);
    case Act::silu:
      return silu_f32(x);
    case Act::sigmoid:
      return sigmoid_f32(x);
  }
  return x;
}

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

// The codes of a row and their scale from its greatest magnitude, as quantize_rows (elementwise.h) says. x(i) is
// element i; codes are written up to a multiple of four.
template <class Element>
void encode_row(float max, bool finite, size_t width, Element x, int8_t* codes, float* scale) {
  for (size_t i = 0; i < (width + 3) / 4 * 4; ++i) codes[i] = 0;
  if (!finite || max < quantize_smallest) {
    *scale = finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
    return;
  }
  *scale = max / 127.0f;
  const float inverse = 127.0f / max;
  for (size_t i = 0; i < width; ++i) {
    const float rounded = x(i) * inverse + round_magic;  // half to even; |x * inverse| <= 127.0001
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(rounded - round_magic));
  }
}

// The greatest magnitude of x(0), ... x(count - 1); `finite`: none is a NaN or an infinity.
template <class Element>
float greatest_magnitude(size_t count, Element x, bool* finite) {
  float max = 0.0f;
  *finite = true;
  for (size_t i = 0; i < count; ++i) {
    const float value = x(i);
    *finite = *finite && std::isfinite(value);
    max = std::fabs(value) > max ? std::fabs(value) : max;
  }
  return max;
}

template <class Element>
void quantize_row(size_t width, Element x, int8_t* codes, float* scale) {
  bool finite;
  const float max = greatest_magnitude(width, x, &finite);
  encode_row(max, finite, width, x, codes, scale);
}

// bfloat16 to binary32, exact.
inline float f32_from_bf16(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

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
