// matmul_i8: C = act(dequant(A) * dequant(W)^T + bias), int8 activations by int8 weights.
//
// Shapes    A [M,K] s8 row-major; W [N,K] packed i8_n32k4 (layouts.h); C [M,N] f32.
// Units     M, N, K and strides count elements.
// Requires  w 64-byte aligned; A codes in [-127,127]; K <= max_int8_k; the 4-byte groups of A are read
//           whole, so a_stride >= round_up(K,4) and codes K..round_up(K,4)-1 of each row are 0;
//           C overlaps nothing. M, N >= 1 are free: C is never written past N. A call reads W beyond its
//           channels only by prefetch, which cannot fault.
// Numerics  sum = exact s32 sum of a * w over K; c = fma(float(sum) * w_scale[n], a_scale[m], bias[n]),
//           bias 0 where null; then act(c), as activate does. peak[m][n % 16] = max(itself, bits of |c|), where
//           given: what quantize_rows needs of a row, without another pass over it.
//           Every ISA is bit-identical to the reference.
// Threads   None. The caller splits N at multiples of 32, or M anywhere: C does not depend on it.
// Source    Row scales: Dettmers et al. 2022, arXiv:2208.07339. Blocking: Goto and van de Geijn, TOMS 2008.
#pragma once

#include "kernels/elementwise.h"
#include "kernels/layouts.h"

namespace onepass::kernels {

struct MatmulI8 {
  const int8_t* a;  // [M,K]
  size_t a_stride;
  const float* a_scale;  // [M], value = code * scale
  const void* w;         // packed_bytes(Layout::i8_n32k4, N, K)
  const float* bias;     // [N] or null
  float* c;              // [M,N]
  size_t c_stride;
  size_t m, n, k;
  // The channels that this call computes: [n_begin, n_end), n_begin % 32 == 0, n_end <= n.
  size_t n_begin, n_end;
  Act act = Act::none;
  int32_t* peak = nullptr;  // [M,16] or null
};

using MatmulI8Fn = void (*)(const MatmulI8&) noexcept;

}  // namespace onepass::kernels
