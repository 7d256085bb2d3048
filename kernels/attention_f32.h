// attention_f32: softmax(s) V for some queries of one text, within a window of keys; s = scale * Q K^T, capped, with
// relative terms where the architecture has them.
//
// Shapes    Q [q_count,E] for each of q_heads heads that read the same keys; K and V [kv_count,E]; out as Q. Rows are
//           strided, since heads lie side by side in a row.
// Units     Counts and strides in elements.
// Requires  1 <= E <= max_head_width; kv_count >= 1; every query sees a key; scratch holds
//           attention_scratch_floats(kv_count, E, relative != null) floats, 64-byte aligned; out overlaps nothing.
//           With relative terms q_heads == 1 and window.first + q_count <= kv_count.
// Numerics  dot = fma chain over E ascending of q[e] * k[e], from 0; then, where present, of q[e] * key_table[r][e],
//           then of k[e] * query_table[r][e], r = index[i - j]. s = scale * dot; with softcap c > 0
//           s = c * tanh_f32(s * (1 / c)); then s + bias[r].
//           Keys are taken in blocks of 128, ascending from key 0, and in a block those that the query sees:
//             top' = max(top, s), from -FLT_MAX; a = exp_f32(top - top'); p[t] = exp_f32(s[t] - top');
//             sum = fma(sum, a, lanes16_sum(p)), lane t % 16;
//             mix[e] = fma chain of p[t] * v[t][e] over t ascending, from mix[e] * a (from 0 in the first block).
//           out = mix / sum. exp_f32, tanh_f32 and lanes16_sum as in kernels/ref/math_ref.h. Every ISA is
//           bit-identical. A value of V that is no finite number may make outputs NaN of queries that do not see it.
// Threads   None. The caller splits texts, heads and queries; a query's output does not depend on the others.
// Source    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. Blocks with a running maximum: Milakov and
//           Gimelshein 2018, arXiv:1805.02867. Relative terms: He et al. 2021 (DeBERTa), arXiv:2006.03654, section 3.1;
//           the bias: Raffel et al. 2020 (T5), arXiv:1910.10683, section 2.1.
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

// Terms of a score that depend on the distance i - j between the positions of query and key.
struct RelativeTerms {
  // index[d] for every distance d of the call, so from -(kv_count - 1) to window.first + q_count - 1: a row of the
  // tables. It points into the middle of a table.
  const uint16_t* index;
  const float* key_table;  // [R,E], of this head: Q_i . key_table[r]; or null
  size_t key_stride;
  const float* query_table;  // [R,E], of this head: K_j . query_table[r]; or null
  size_t query_stride;
  const float* bias;  // [R], of this head; or null
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
  // Query heads of one group of shared keys and values; head h reads q + h * q_head_stride.
  size_t q_heads = 1;
  size_t q_head_stride = 0, out_head_stride = 0;
  float softcap = 0;
  const RelativeTerms* relative = nullptr;
};

// Room for the keys and values in blocks, for the scores and sums of a few queries, and for the relative tables spread
// out by distance.
constexpr size_t attention_scratch_floats(size_t kv_count, size_t head_width, bool relative = false) {
  const size_t keys = (kv_count + 15) / 16 * 16, width = (head_width + 15) / 16 * 16;
  return 2 * keys * width + 24 * (128 + width) + (relative ? (2 * head_width + 1) * (2 * keys + 160) : 0);
}

using AttentionF32Fn = void (*)(const AttentionF32&) noexcept;

}  // namespace onepass::kernels
