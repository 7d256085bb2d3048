// matmul_i4: C = act(dequant(A) * dequant(W)^T + bias), int8 activations by int4 weights in groups along K.
//
// Shapes    A [M,K] s8 row-major; W [N,K] packed i4g32_n32k4, i4g64_n32k4, i4mg32_n32k4 or i4mg64_n32k4 (layouts.h);
//           C [M,N] f32.
// Units     M, N, K and strides count elements.
// Requires  w 64-byte aligned; A codes in [-127,127]; K <= max_int8_k; the 4-byte groups of A are read
//           whole, so a_stride >= round_up(K,4) and codes K..round_up(K,4)-1 of each row are 0;
//           C overlaps nothing. M, N >= 1 are free: C is never written past N.
// Numerics  acc = 0; for each group of K, ascending, with exact s32 sums over the inputs of the group:
//             symmetric     acc = fma(float(sum of a * (nibble - 8)), scale, acc)
//             with minimum  acc = fma(float(sum of a * nibble), scale, acc); acc = fma(float(sum of a), minimum, acc)
//           c = fma(acc, a_scale[m], bias[n]), bias 0 where null; then act(c) and peak, as matmul_i8. scale and minimum
//           are f16, widened exactly. Every ISA is bit-identical to the reference.
// Threads   None. The caller splits N at multiples of 32, or M anywhere: C does not depend on it.
// Source    Groups along K: Frantar et al. 2022, arXiv:2210.17323. Blocking: Goto and van de Geijn, TOMS 2008.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/layouts.h"

namespace onepass::kernels {

struct MatmulI4 {
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

using MatmulI4Fn = void (*)(const MatmulI4&) noexcept;

}  // namespace onepass::kernels
