// matmul_i4z: C = act(dequant(A) * dequant(W)^T + bias), int8 activations by int4 weights whose groups have whole
// steps.
//
// Shapes    A [M,K] s8 row-major; W [N,K] packed i4zg32_n32k4 or i4zg64_n32k4 (layouts.h); C [M,N] f32.
// Units     M, N, K and strides count elements.
// Requires  As matmul_i8. C may hold integers in between.
// Numerics  w = (nibble - zero) * step, an int8 code for any bytes; the rest as matmul_i8: sum = exact s32 sum of a * w
//           over K; c = fma(float(sum) * w_scale[n], a_scale[m], bias[n]), bias 0 where null; then act(c) and peak.
//           Every ISA is bit-identical to the reference.
// Threads   None. The caller splits N at multiples of 32, or M anywhere: C does not depend on it.
// Source    Two levels of scales, the inner one whole: Dai et al. 2021, arXiv:2102.04503. So that int4 expands to int8:
//           Lin et al. 2024, arXiv:2405.04532.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/layouts.h"

namespace onepass::kernels {

struct MatmulI4Z {
  const int8_t* a;  // [M,K]
  size_t a_stride;
  const float* a_scale;  // [M], value = code * scale
  const void* w;         // packed_bytes(layout, N, K)
  Layout layout;
  const float* bias;  // [N] or null
  float* c;           // [M,N]
  size_t c_stride;
  size_t m, n, k;
  // The channels that this call computes: [n_begin, n_end), n_begin % 32 == 0, n_end <= n.
  size_t n_begin, n_end;
  Act act = Act::none;
  int32_t* peak = nullptr;  // [M,16] or null
};

using MatmulI4ZFn = void (*)(const MatmulI4Z&) noexcept;

}  // namespace onepass::kernels
