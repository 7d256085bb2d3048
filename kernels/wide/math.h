// The functions of kernels/ref/math_ref.h on sixteen lanes: the same operations in the same order, so the same bits.
// V is F16, or F16s<n> where a caller has n independent vectors: their chains of dependent operations then alternate,
// and none waits for its own latency.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/math_constants.h"
#include "kernels/wide/lanes.h"

namespace onepass::kernels {
namespace {

// Vectors that fill the pipelines without running out of registers: 32 zmm, 16 ymm, 32 NEON.
#if defined(__AVX512BW__)
constexpr size_t interleaved = 4;
#elif defined(__AVX2__)
constexpr size_t interleaved = 2;
#else
constexpr size_t interleaved = 1;
#endif

// Horner's rule, highest coefficient first.
template <class V, size_t n, size_t... i>
ONEPASS_INLINE V polynomial_steps(const float (&coefficients)[n], V x, std::index_sequence<i...>) {
  V sum = spread<V>(coefficients[n - 1]);
  ((sum = fma(sum, x, spread<V>(coefficients[n - 2 - i]))), ...);
  return sum;
}
template <class V, size_t n>
ONEPASS_INLINE V polynomial(const float (&coefficients)[n], V x) {
  return polynomial_steps(coefficients, x, std::make_index_sequence<n - 1>{});
}

// exp for x <= exp_highest, or NaN: what remains of exp_f32 where the caller knows its range.
template <class V>
ONEPASS_INLINE V exp_bounded(V x) {
  const V shifted = fma(x, spread<V>(log2_e), spread<V>(exponent_magic));
  const V n = shifted - spread<V>(exponent_magic);
  const V r = fma(n, spread<V>(-ln2_low), fma(n, spread<V>(-ln2_high), x));
  const V result = polynomial(exp_poly, r) * exponent_from_low_bits(shifted);
  return where_less(x, spread<V>(exp_lowest), spread<V>(0.0f), result);
}

template <class V>
ONEPASS_INLINE V exp_f32(V x) {
  return exp_bounded(lesser(spread<V>(exp_highest), x));
}

template <class V>
ONEPASS_INLINE V relu_f32(V x) {
  return greater(spread<V>(0.0f), x);
}

template <class V, size_t n>
ONEPASS_INLINE V gelu_f32(const float (&root_poly)[n], float end, V x) {
  const V t = lesser(spread<V>(end), absolute(x));
  const V root = polynomial(root_poly, t);
  const V square = root * root;
  return fnma(t * square, square, relu_f32(x));
}
template <class V>
ONEPASS_INLINE V gelu_erf_f32(V x) {
  return gelu_f32(gelu_erf_poly, gelu_erf_end, x);
}
template <class V>
ONEPASS_INLINE V gelu_tanh_f32(V x) {
  return gelu_f32(gelu_tanh_poly, gelu_tanh_end, x);
}

template <class V>
ONEPASS_INLINE V sigmoid_f32(V x) {
  return spread<V>(1.0f) / (spread<V>(1.0f) + exp_f32(-x));
}
template <class V>
ONEPASS_INLINE V silu_f32(V x) {
  return x / (spread<V>(1.0f) + exp_f32(-x));
}

template <class V>
ONEPASS_INLINE V tanh_f32(V x) {
  const V t = lesser(spread<V>(tanh_end), absolute(x));
  const V s = t * t;
  const V small = fma(s * polynomial(tanh_poly, s), t, t);
  const V large = spread<V>(1.0f) - spread<V>(2.0f) / (exp_f32(t + t) + spread<V>(1.0f));
  return with_sign(where_less(t, spread<V>(tanh_split), small, large), x);
}

// use(f) with the function that `act` names, on any V; not called where that is the identity.
template <class Use>
ONEPASS_INLINE void with_act(Act act, Use use) {
  switch (act) {
    case Act::none:
      break;
    case Act::gelu_erf:
      return use([](auto x) { return gelu_erf_f32(x); });
    case Act::gelu_tanh:
      return use([](auto x) { return gelu_tanh_f32(x); });
    case Act::relu:
      return use([](auto x) { return relu_f32(x); });
    case Act::tanh:
      return use([](auto x) { return tanh_f32(x); });
    case Act::silu:
      return use([](auto x) { return silu_f32(x); });
    case Act::sigmoid:
      return use([](auto x) { return sigmoid_f32(x); });
  }
}

}  // namespace
}  // namespace onepass::kernels
