// Row and element operations: normalisation, activations, per-token quantisation.
//
// One arithmetic, written once over 16 virtual lanes (kernels/wide) and once in plain scalar code
// (kernels/ref). lanes16_sum(x): lane j sums x[j], x[j+16], ... in ascending order from 0; then
// lane j += lane j+8, j+4, j+2, j+1. Absent elements of the last 16 add nothing (their lane keeps
// its sum), so a row's result depends on the row alone.
//
// Units     Counts and strides in elements.
// Threads   None. The caller splits rows (or, for activate, elements).
// Numerics  Bit-identical on every ISA; error bounds in docs/numerics.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onepass::kernels {

// Stable numbers: they are stored in model files.
enum class Act : uint32_t {
  none = 0,
  gelu_erf = 1,   // 0.5 x (1 + erf(x / sqrt 2)); Hugging Face "gelu"
  gelu_tanh = 2,  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); "gelu_new", "gelu_pytorch_tanh"
  relu = 3,
  tanh = 4,
};
constexpr uint32_t act_count = 5;

// y = layer_norm(x + residual) * weight + bias, per row.
// Shapes    x, residual (or null), y [rows, width]; weight [width]; bias [width] or null. y may be x or residual.
// Numerics  z = x + residual; mean = lanes16_sum(z) / width; var = lanes16_sum of d*d, as lane = fma(d, d, lane),
//           d = z - mean, / width; r = 1 / sqrt(var + eps); y = fma(d * r, weight, bias) (bias 0 where null).
// Source    Ba et al. 2016, arXiv:1607.06450.
struct AddNorm {
  const float* x;
  const float* residual;
  const float* weight;
  const float* bias;
  float* y;
  size_t rows, width;
  size_t x_stride, residual_stride, y_stride;
  float eps;
};
using AddNormFn = void (*)(const AddNorm&) noexcept;

// x = act(x) in place, per element.
struct Activate {
  float* x;
  size_t rows, width, stride;
  Act act;
};
using ActivateFn = void (*)(const Activate&) noexcept;

// Per-row symmetric int8 codes: the activations of matmul_i8.
// Shapes    x [rows, width] f32; codes [rows, codes_stride] s8; scale [rows].
// Requires  codes_stride >= round_up(width, 4); codes width..round_up(width,4)-1 are written as 0.
// Numerics  m = max |x|. A row with a NaN or an infinity gets scale NaN and codes 0, so that the result is seen
//           as non-finite and nothing is undefined. m < 1e-30: scale 0, codes 0. Else scale = m / 127 and
//           code = round-half-even(x * (127 / m)), which lies in [-127,127]. m is the greatest of peak[row][16],
//           bits of magnitudes, where a product has gathered them.
struct QuantizeRows {
  const float* x;
  size_t x_stride;
  int8_t* codes;
  size_t codes_stride;
  float* scale;
  size_t rows, width;
  const int32_t* peak = nullptr;  // [rows,16] or null
};
using QuantizeRowsFn = void (*)(const QuantizeRows&) noexcept;

}  // namespace onepass::kernels
