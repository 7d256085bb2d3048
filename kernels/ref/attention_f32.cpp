#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {

void attention_f32_scalar(const AttentionF32& op) noexcept {
  float* p = op.scratch;
  for (size_t i = 0; i < op.q_count; ++i) {
    const float* q = op.q + i * op.q_stride;
    float max = -INFINITY;
    for (size_t t = 0; t < op.kv_count; ++t) {
      float dot = 0.0f;
      for (size_t e = 0; e < op.head_width; ++e) dot = std::fma(q[e], op.k[t * op.k_stride + e], dot);
      p[t] = op.scale * dot;
      max = p[t] > max ? p[t] : max;
    }
    for (size_t t = 0; t < op.kv_count; ++t) p[t] = ref::exp_f32(p[t] - max);
    const float sum = ref::lanes16_sum(p, op.kv_count);
    for (size_t e = 0; e < op.head_width; ++e) {
      float mixed = 0.0f;
      for (size_t t = 0; t < op.kv_count; ++t) mixed = std::fma(p[t], op.v[t * op.v_stride + e], mixed);
      op.out[i * op.out_stride + e] = mixed / sum;
    }
  }
}

}  // namespace onepass::kernels
