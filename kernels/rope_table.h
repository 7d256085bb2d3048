// fill_rope_table: the cosines and sines that the rope kernel (elementwise.h) turns by.
//
// Shapes    inv_freq [half]; cos, sin [positions][half], rows `stride` apart.
// Numerics  angle = float(first_position + p) * inv_freq[i], rounded to f32 as the reference implementations do;
//           cos = float(cos(angle)) * factor, likewise sin. cos and sin are ours, evaluated in double and then rounded:
//           at most 0.5001 ulp before the factor, the same bits on every platform. An angle above 2^20 in magnitude,
//           or a NaN, gives NaN.
// Threads   None.
// Source    fdlibm's polynomials on [-pi/4, pi/4] and its three-part pi/2.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onepass::kernels {

struct RopeTable {
  const float* inv_freq;
  size_t half;
  uint32_t first_position;
  size_t positions;
  float factor;  // attention factor of longrope and yarn; else 1
  float* cos;
  float* sin;
  size_t stride;
};

void fill_rope_table(const RopeTable&) noexcept;

}  // namespace onepass::kernels
