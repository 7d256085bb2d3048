// The functions of kernels/ref/math_ref.h on sixteen lanes: the same operations in the same order, so the same bits.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/math_constants.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// Horner's rule, highest coefficient first.
template <size_t n, size_t... i>
ONEPASS_INLINE F16 polynomial_steps(const float (&coefficients)[n], F16 x, std::index_sequence<i...>) {
  F16 sum = splat(coefficients[n - 1]);
  ((sum = fma(sum, x, splat(coefficients[n - 2 - i]))), ...);
  return sum;
}
template <size_t n>
ONEPASS_INLINE F16 polynomial(const float (&coefficients)[n], F16 x) {
  return polynomial_steps(coefficients, x, std::make_index_sequence<n - 1>{});
}

// exp for x <= exp_highest, or NaN: what remains of exp_f32 where the caller knows its range.
ONEPASS_INLINE F16 exp_bounded(F16 x) {
  const F16 shifted = fma(x, splat(log2_e), splat(exponent_magic));
  const F16 n = shifted - splat(exponent_magic);
  const F16 r = fma(n, splat(-ln2_low), fma(n, splat(-ln2_high), x));
  const F16 result = polynomial(exp_poly, r) * exponent_from_low_bits(shifted);
  return where_less(x, splat(exp_lowest), splat(0.0f), result);
}

ONEPASS_INLINE F16 exp_f32(F16 x) { return exp_bounded(lesser(splat(exp_highest), x)); }

ONEPASS_INLINE F16 normal_tail_f32(F16 t) {
  const F16 y = polynomial(normal_tail_poly, t);
  const F16 shifted = y + splat(exponent_magic);
  const F16 n = shifted - splat(exponent_magic);
  return polynomial(exp2_poly, y - n) * exponent_from_low_bits(shifted);
}

ONEPASS_INLINE F16 relu_f32(F16 x) { return greater(splat(0.0f), x); }

ONEPASS_INLINE F16 gelu_erf_f32(F16 x) {
  const F16 t = lesser(splat(normal_tail_end), absolute(x));
  return fma(-t, normal_tail_f32(t), relu_f32(x));
}

ONEPASS_INLINE F16 gelu_tanh_f32(F16 x) {
  const F16 u = x * fma(x * x, splat(gelu_tanh_b), splat(gelu_tanh_a));
  return x / (splat(1.0f) + exp_f32(u));
}

ONEPASS_INLINE F16 tanh_f32(F16 x) {
  const F16 t = lesser(splat(tanh_end), absolute(x));
  const F16 s = t * t;
  const F16 small = fma(s * polynomial(tanh_poly, s), t, t);
  const F16 large = splat(1.0f) - splat(2.0f) / (exp_f32(t + t) + splat(1.0f));
  return with_sign(where_less(t, splat(tanh_split), small, large), x);
}

// use(f) with the function that `act` names; not called where that is the identity.
template <class Use>
ONEPASS_INLINE void with_act(Act act, Use use) {
  switch (act) {
    case Act::none:
      break;
    case Act::gelu_erf:
      use([](F16 x) { return gelu_erf_f32(x); });
      break;
    case Act::gelu_tanh:
      use([](F16 x) { return gelu_tanh_f32(x); });
      break;
    case Act::relu:
      use([](F16 x) { return relu_f32(x); });
      break;
    case Act::tanh:
      use([](F16 x) { return tanh_f32(x); });
      break;
  }
}

}  // namespace
}  // namespace onepass::kernels
