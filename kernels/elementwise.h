// Row and element operations: normalisation, activations, gates, rotary positions, softmax, per-token quantisation.
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
  silu = 5,     // x / (1 + exp(-x))
  sigmoid = 6,  // 1 / (1 + exp(-x))
};
constexpr uint32_t act_count = 7;

// y = layer_norm(x + residual) * weight + bias, per row.
// Shapes    x, residual (or null), y [rows, width]; weight [width]; bias [width] or null. y may be x or residual.
//           sum (or null) [rows, width] also gets x + residual; it may be x or residual, where y is neither.
// Numerics  z = x + residual; mean = lanes16_sum(z) / width; var = lanes16_sum of d*d, as lane = fma(d, d, lane),
//           d = z - mean, / width; r = 1 / sqrt(var + eps); y = fma(fma(z, r, -(mean * r)), weight, bias) (bias 0 where
//           null).
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
  float* sum = nullptr;
  size_t sum_stride = 0;
};
using AddNormFn = void (*)(const AddNorm&) noexcept;

// y = rms_norm(x + residual) * (weight_offset + weight), per row or, with several groups, per group of a row: the
// heads of q_norm and k_norm.
// Shapes    Group g of row t of x begins at x + t * x_stride + g * group_stride and is `width` long; likewise residual
//           (or null), y, and sum (or null), which gets x + residual. weight [width], the same for every group.
//           y may be x or residual; sum may be x or residual, where y is neither.
// Requires  groups >= 1; groups do not overlap.
// Numerics  z = x + residual; m = lanes16_sum of z*z, as lane = fma(z, z, lane), / width; r = 1 / sqrt(m + eps);
//           y = (z * r) * (weight_offset + weight). weight_offset is 0, or 1 where the checkpoint stores w - 1.
// Source    Zhang and Sennrich 2019, arXiv:1910.07467.
struct RmsNorm {
  const float* x;
  const float* residual;
  const float* weight;
  float* sum;
  float* y;
  size_t rows, groups, width;
  size_t x_stride, residual_stride, sum_stride, y_stride;
  size_t group_stride;
  float eps;
  float weight_offset;
};
using RmsNormFn = void (*)(const RmsNorm&) noexcept;

// x = act(x) in place, per element.
struct Activate {
  float* x;
  size_t rows, width, stride;
  Act act;
};
using ActivateFn = void (*)(const Activate&) noexcept;

// out = act(gate) * up: the gated feed-forward. The halves of one product's row are two pointers with its stride.
// Shapes    gate, up, out [rows, width]; out may be gate or up.
// Source    Shazeer 2020, arXiv:2002.05202.
struct Gate {
  const float* gate;
  const float* up;
  float* out;
  size_t rows, width;
  size_t gate_stride, up_stride, out_stride;
  Act act;
};
using GateFn = void (*)(const Gate&) noexcept;

// y = x + scale * r, or y = scale * r where x is null: residuals, scaled residuals, scaled embeddings.
// Shapes    x, r, y [rows, width]; y may be x or r.
// Numerics  y = fma(scale, r, x), which is x + r for scale 1; scale * r where x is null.
struct AddScaled {
  const float* x;
  const float* r;
  float* y;
  size_t rows, width;
  size_t x_stride, r_stride, y_stride;
  float scale;
};
using AddScaledFn = void (*)(const AddScaled&) noexcept;

// x = cap * tanh(x * (1 / cap)) in place, per element.
// Source    Gemma 2, arXiv:2408.00118.
struct Softcap {
  float* x;
  size_t rows, width, stride;
  float cap;
};
using SoftcapFn = void (*)(const Softcap&) noexcept;

// x = softmax(x) in place, per row. -infinity gives 0, where another element of the row is finite.
// Numerics  p = exp(x - max); x = p / lanes16_sum(p). A row with a NaN, with +infinity, or of -infinity alone becomes
//           all NaN.
struct SoftmaxRows {
  float* x;
  size_t rows, width, stride;
};
using SoftmaxRowsFn = void (*)(const SoftmaxRows&) noexcept;

// Rotary position embedding in place: element i of a head turns with element i + rotated / 2, i < rotated / 2, by the
// angle of its row's position; elements from `rotated` on stay.
// Shapes    Head h of row t begins at x + t * stride + h * head_stride. cos, sin [position][rotated / 2], rows
//           table_stride apart (fill_rope_table in rope_table.h). positions [rows].
// Requires  rotated even; positions[t] lies within the table.
// Numerics  a, b = the pair: a' = fma(-b, sin, a * cos), b' = fma(b, cos, a * sin).
// Source    Su et al. 2021, arXiv:2104.09864, in the half-split order of GPT-NeoX and Hugging Face.
struct Rope {
  float* x;
  size_t stride;
  const float* cos;
  const float* sin;
  size_t table_stride;
  const uint32_t* positions;
  size_t rows, heads, head_stride, rotated;
};
using RopeFn = void (*)(const Rope&) noexcept;

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

// A norm and, of its result, the codes that the next product reads: add_norm, or rms_norm of whole rows, followed by
// quantize_rows, while a few rows lie in the first-level cache.
// Shapes    x, residual (or null), y (or null), sum (or null) [rows, width] as in AddNorm and RmsNorm; codes and scale
// as
//           in QuantizeRows. y may be x or residual; sum may be x or residual, where y is neither.
// Requires  With a residual, y or sum; sum is null without one. bias is null where rms.
// Numerics  Every bit is that of the separate operations.
struct NormQuantize {
  const float* x;
  const float* residual;
  const float* weight;
  const float* bias;
  float* sum;
  float* y;
  int8_t* codes;
  float* scale;
  size_t rows, width;
  size_t x_stride, residual_stride, sum_stride, y_stride, codes_stride;
  float eps;
  bool rms;             // y = rms_norm(x + residual) * (weight_offset + weight), else layer_norm
  float weight_offset;  // of rms
};
using NormQuantizeFn = void (*)(const NormQuantize&) noexcept;

}  // namespace onepass::kernels
