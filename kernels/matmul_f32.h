// matmul_f32: C = A * W^T + bias in f32, weights f32, f16 or bf16.
//
// Shapes    A [M,K] f32 row-major; W [N,K] packed f32_n16, f16_n16 or bf16_n16 (layouts.h); C [M,N] f32.
// Units     M, N, K and strides count elements.
// Requires  w 64-byte aligned; C overlaps nothing. M, N, K >= 1 are free: C is never written past N.
// Numerics  sum = 0; for k ascending: sum = fma(a[k], w[n][k], sum); c = sum + bias[n] (0 where null).
//           f16 and bf16 weights are widened exactly. Every ISA is bit-identical to the reference.
// Threads   None. The caller splits N at multiples of 16, or M anywhere: C does not depend on it.
// Source    Outer-product form: Goto and van de Geijn, TOMS 2008.
#pragma once

#include "kernels/layouts.h"

namespace onepass::kernels {

struct MatmulF32 {
  const float* a;  // [M,K]
  size_t a_stride;
  const void* w;      // packed_bytes(layout, N, K)
  Layout layout;      // f32_n16, f16_n16 or bf16_n16
  const float* bias;  // [N] or null
  float* c;           // [M,N]
  size_t c_stride;
  size_t m, n, k;
  // The channels that this call computes: [n_begin, n_end), n_begin % 16 == 0, n_end <= n.
  size_t n_begin, n_end;
};

using MatmulF32Fn = void (*)(const MatmulF32&) noexcept;

}  // namespace onepass::kernels
