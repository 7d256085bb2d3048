// attention_i8: softmax(s) V for some queries of one text, in int8 products, within a window of keys. s = scale * Q
// K^T, capped, or with terms by distance, where the architecture has them.
//
// Shapes    Q [q_count,E] for each of q_heads heads that read the same keys; K and V [kv_count,E]; out as Q. Rows are
//           strided, since heads lie side by side in a row.
// Units     Counts and strides in elements.
// Requires  1 <= E <= max_head_width; 1 <= kv_count <= max_attention_i8_keys; scale finite and not negative; every
//           query sees a key (window as in attention_f32.h); scratch holds attention_i8_scratch_bytes(kv_count, E,
//           relative != null) bytes, 64-byte aligned; out overlaps nothing. softcap is 0, or finite and above 0. With
//           relative terms q_heads == 1, softcap == 0 and window.first + q_count <= kv_count.
// Numerics  Codes, all round-half-even:
//             K    k = round((K - center[e]) * 127 / h): center[e] the middle between the least and the greatest of
//                  channel e over all keys, h the largest distance from it over all channels. Softmax does not see
//                  the centers, so they are not added back.
//             V    v = round((V - center[e]) * 127 / h[e]), h[e] the largest distance in channel e.
//             Q    q = round(Q * 127 / m), m the row's largest magnitude.
//           s = exact s32 sum of q * k. Keys are taken in blocks of 64, ascending from key 0; in a block, of the
//           visible keys: top = max s; y = min(round((top - s) * u), 65535), u = min(q_scale * k_scale * scale *
//           log2(e) * 4096, 255); code p = attention_code(y), 255 * 2^(-y / 4096) to within 0.54 (an integer
//           polynomial, attention_i8_math.h). Over the blocks, with w = ln(2) / 4096 * u:
//             top' = max(tops); a = exp_f32((top' of before - top') * w); b = exp_f32((top - top') * w);
//             sum = fma(sum of p, b, sum * a); mix[e] = fma(exact s32 sum of p * v, b, mix[e] * a).
//           out = fma(mix[e] * (1 / sum), v_scale[e], v_center[e]). Every ISA is bit-identical.
//           With relative terms, r = index[i - j], a score has the unit of y; terms that are absent are 0:
//             s = fma(sum of q * k, u, fma((sum of q * key_table[r]) * q', key_u, fma(sum of k * query_table[r],
//                 query_u, bias_u))), within +-2^29; y = min(round(top - s), 65535); w = ln(2) / 4096,
//           with f = scale * log2(e) * 4096; u = q_scale * (k_scale * f); q' = q_scale; key_u = key_scale[r] * f;
//           query_u = query_scale[r] * (k_scale * f); bias_u = fma(sum of c * query_table[r], query_scale[r] * (g * f),
//           bias[r] * (log2(e) * 4096)); each brought within +-2^50, a NaN to 2^50. Where there is a query table, which
//           does see the centers, they are c[e] * g: g the largest |middle| / 127, c[e] = round(middle * 127 /
//           largest).
//           With softcap > 0, which sees the centers too, they are as for a query table, and a score has the unit of y:
//             s = C * tanh_f32(fma(sum of q * k, u, (sum of q * c) * c_u) * (1 / C)), within +-2^29,
//           with C = softcap * (log2(e) * 4096); c_u = q_scale * (g * f), bounded as u; u, y and w as above.
//           Ranges below 1e-30 have scale and codes 0. A NaN or an infinity in a query's row makes its output NaN; in
//           K, every output of the call; in V, its channel.
// Threads   None. The caller splits texts, heads and queries; a query's output does not depend on the others.
// Source    Codes for queries and keys: Zhang et al. 2024 (SageAttention), arXiv:2410.02367. Blocks with a running
//           maximum: Milakov and Gimelshein 2018, arXiv:1805.02867. Terms by distance: as in attention_f32.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/attention_f32.h"

namespace onepass::kernels {

// 255 * 127 * 65536 < 2^31.
constexpr size_t max_attention_i8_keys = 65536;

// RelativeTerms whose tables are codes: value = code * scale[row].
struct RelativeCodes {
  const uint16_t* index;    // as in RelativeTerms
  const int8_t* key_table;  // [R,E], of this head: Q_i . key_table[r]; or null
  size_t key_stride;
  const float* key_scale;     // [R]
  const int8_t* query_table;  // [R,E], of this head: K_j . query_table[r]; or null
  size_t query_stride;
  const float* query_scale;  // [R]
  const float* bias;         // [R], of this head; or null
};

struct AttentionI8 {
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
  void* scratch;
  KeyWindow window = {};
  // Query heads of one group of shared keys and values; head h reads q + h * q_head_stride.
  size_t q_heads = 1;
  size_t q_head_stride = 0, out_head_stride = 0;
  float softcap = 0;
  const RelativeCodes* relative = nullptr;
};

// Room for two bytes a code, for the keys and values of the text, and for a block of 16 queries; with relative terms
// for two tables of as many distances, at most twice the keys, for what goes with a distance, and for the products of a
// block.
constexpr size_t attention_i8_scratch_bytes(size_t kv_count, size_t head_width, bool relative = false) {
  const size_t width = (head_width + 15) / 16 * 16, keys = (kv_count + 63) / 64 * 64;
  const size_t plain = 4 * keys * width + 16 * 64 * 6 + 16 * width * 6 + 5 * width * sizeof(float);
  return plain + (relative ? 2 * keys * (4 * width + 4 * 4) + 16 * (80 + 64) * 4 + 8 * width : 0);
}

using AttentionI8Fn = void (*)(const AttentionI8&) noexcept;

}  // namespace onepass::kernels
