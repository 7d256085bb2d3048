#include <limits>

#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

constexpr size_t block_keys = 128;

float score(const AttentionF32& op, const float* q, size_t i, size_t j) {
  const float* k = op.k + j * op.k_stride;
  float dot = 0.0f;
  for (size_t e = 0; e < op.head_width; ++e) dot = ref::fused(q[e], k[e], dot);
  size_t row = 0;
  if (op.relative != nullptr) {
    const RelativeTerms& r = *op.relative;
    row = r.index[static_cast<ptrdiff_t>(op.window.first + i) - static_cast<ptrdiff_t>(j)];
    for (size_t e = 0; e < op.head_width && r.key_table != nullptr; ++e) {
      dot = ref::fused(q[e], r.key_table[row * r.key_stride + e], dot);
    }
    for (size_t e = 0; e < op.head_width && r.query_table != nullptr; ++e) {
      dot = ref::fused(k[e], r.query_table[row * r.query_stride + e], dot);
    }
  }
  float s = op.scale * dot;
  if (op.softcap > 0) s = op.softcap * ref::tanh_f32(s * (1.0f / op.softcap));
  if (op.relative != nullptr && op.relative->bias != nullptr) s = s + op.relative->bias[row];
  return s;
}

void attend(const AttentionF32& op, const float* q, size_t i, float* out) {
  float mix[max_head_width] = {};
  float sum = 0.0f, top = -std::numeric_limits<float>::max();
  const size_t begin = op.window.begin(i), end = op.window.end(i, op.kv_count);
  for (size_t block = begin / block_keys * block_keys; block < end; block += block_keys) {
    const size_t from = begin > block ? begin : block, to = end < block + block_keys ? end : block + block_keys;
    float p[block_keys] = {};
    float new_top = top;
    for (size_t t = from; t < to; ++t) {
      p[t - block] = score(op, q, i, t);
      new_top = p[t - block] > new_top ? p[t - block] : new_top;
    }
    for (size_t t = from; t < to; ++t) p[t - block] = ref::exp_f32(p[t - block] - new_top);
    const float a = ref::exp_f32(top - new_top);
    sum = ref::fused(sum, a, ref::lanes16_sum(p, block_keys));
    for (size_t e = 0; e < op.head_width; ++e) {
      float mixed = mix[e] * a;
      for (size_t t = from; t < to; ++t) mixed = ref::fused(p[t - block], op.v[t * op.v_stride + e], mixed);
      mix[e] = mixed;
    }
    top = new_top;
  }
  for (size_t e = 0; e < op.head_width; ++e) out[e] = mix[e] / sum;
}

}  // namespace

void attention_f32_scalar(const AttentionF32& op) noexcept {
  for (size_t h = 0; h < op.q_heads; ++h) {
    for (size_t i = 0; i < op.q_count; ++i) {
      attend(op, op.q + h * op.q_head_stride + i * op.q_stride, i, op.out + h * op.out_head_stride + i * op.out_stride);
    }
  }
}

}  // namespace onepass::kernels
