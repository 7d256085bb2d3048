// attention_f32: softmax(scale * Q K^T) V for some queries of one head of one text, bidirectional.
//
// Shapes    Q [q_count,E], K and V [kv_count,E], out [q_count,E]; rows are strided, since heads lie side
//           by side in a row.
// Units     Counts and strides in elements.
// Requires  E <= max_head_width; kv_count >= 1; scratch holds attention_scratch_floats(kv_count, E) floats,
//           64-byte aligned; out overlaps nothing.
// Numerics  s[t] = scale * (fma chain over E ascending, from 0); p[t] = exp_f32(s[t] - max);
//           sum = lanes16_sum(p); out[e] = (fma chain of p[t] * v[t][e] over t ascending, from 0) / sum.
//           exp_f32 and lanes16_sum as in kernels/ref/math_ref.h. Every ISA is bit-identical.
// Threads   None. The caller splits texts, heads and queries.
// Source    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onepass::kernels {

constexpr size_t max_head_width = 256;

// Which keys a query sees: query i of a call stands at position p = first + i of its text, and sees the keys j with
// p - left <= j <= p + right. Unlimited on both sides: bidirectional; right = 0: causal; left = w - 1 and right = 0: a
// causal window of w keys.
constexpr size_t unlimited = SIZE_MAX;
struct KeyWindow {
  size_t first = 0;
  size_t left = unlimited, right = unlimited;

  constexpr size_t begin(size_t i) const { return first + i > left ? first + i - left : 0; }
  constexpr size_t end(size_t i, size_t kv_count) const {
    return right < kv_count && first + i + right + 1 < kv_count ? first + i + right + 1 : kv_count;
  }
};

struct AttentionF32 {
  const float* q;
  size_t q_stride;
  const float* k;
  size_t k_stride;
  const float* v;
  size_t v_stride;
  float* out;
  size_t out_stride;
  size_t q_count, kv_count, head_width;
  float scale;
  float* scratch;
  KeyWindow window = {};
};

// Room for a transposed copy of the keys and the scores of a few queries.
constexpr size_t attention_scratch_floats(size_t kv_count, size_t head_width) {
  const size_t padded = (kv_count + 15) / 16 * 16;
  return padded * head_width + 8 * padded;
}

using AttentionF32Fn = void (*)(const AttentionF32&) noexcept;

}  // namespace onepass::kernels
