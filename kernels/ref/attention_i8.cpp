#include "kernels/attention_i8_math.h"
#include "kernels/kernels.h"
#include "kernels/ref/math_ref.h"

namespace onepass::kernels {
namespace {

constexpr size_t block_keys = 64;

struct Range {
  float least = INFINITY, greatest = -INFINITY;
  bool finite = true;

  void add(float x) {
    finite = finite && std::isfinite(x);
    least = x < least ? x : least;
    greatest = x > greatest ? x : greatest;
  }
  float center() const { return finite ? 0.5f * greatest + 0.5f * least : 0.0f; }
  // The largest distance from the center, as the subtractions below round it.
  float distance() const {
    const float c = center(), above = greatest - c, below = c - least;
    return above > below ? above : below;
  }
};

struct Steps {
  float scale = 0.0f, inverse = 0.0f;
  Steps(float distance, bool finite) {
    if (!finite) {
      scale = NAN;
    } else if (!(distance < quantize_smallest)) {
      scale = distance / 127.0f;
      inverse = 127.0f / distance;
    }
  }
  int8_t code(float x) const {
    if (inverse == 0.0f) return 0;
    const float rounded = x * inverse + round_magic;
    return static_cast<int8_t>(static_cast<int32_t>(rounded - round_magic));
  }
};

int32_t attention_code(int32_t y) {
  const int32_t whole = y >> 12, f = (y & 0xfff) << 4;
  const auto times_f = [f](int32_t x) { return (x * f) >> 16; };
  const int32_t power =
      exp_code_poly[0] - times_f(exp_code_poly[1] - times_f(exp_code_poly[2] - times_f(exp_code_poly[3])));
  return (power * (256 >> whole) + (1 << 14)) >> 15;
}

// (top - s) * unit, rounded and saturated.
int32_t steps_below(int32_t top, int32_t s, float unit) {
  const float y = (static_cast<float>(top) - static_cast<float>(s)) * unit;
  return y >= attention_unseen ? 65535 : static_cast<int32_t>((y + round_magic) - round_magic);
}

void attend(const AttentionI8& op, const float* q_rows, float* out_rows, float k_scale, const int8_t* k_codes,
            const int8_t* v_codes, const Range* v_range) {
  const size_t width = op.head_width;
  for (size_t i = 0; i < op.q_count; ++i) {
    const float* q = q_rows + i * op.q_stride;
    float* out = out_rows + i * op.out_stride;
    float magnitude = 0.0f;
    bool finite = true;
    for (size_t e = 0; e < width; ++e) {
      finite = finite && std::isfinite(q[e]);
      magnitude = std::fabs(q[e]) > magnitude ? std::fabs(q[e]) : magnitude;
    }
    const Steps steps(magnitude, finite && std::isfinite(k_scale));
    float unit = steps.scale * (k_scale * (op.scale * attention_unit));
    unit = unit < attention_largest_unit ? unit : attention_largest_unit;
    if (std::isnan(steps.scale)) unit = 0.0f;
    const float weight_unit = unit * attention_unit_in_e;

    float mix[max_head_width] = {};
    float sum = 0.0f, top_before = 0.0f;
    bool first = true;
    const size_t begin = op.window.begin(i), end = op.window.end(i, op.kv_count);
    for (size_t block = begin / block_keys * block_keys; block < end; block += block_keys) {
      const size_t from = begin > block ? begin : block, to = end < block + block_keys ? end : block + block_keys;
      int32_t scores[block_keys], top = INT32_MIN;
      for (size_t t = from; t < to; ++t) {
        int32_t s = 0;
        for (size_t e = 0; e < width; ++e) s += steps.code(q[e]) * k_codes[t * width + e];
        scores[t - from] = s;
        top = s > top ? s : top;
      }
      int32_t codes[block_keys], code_sum = 0;
      for (size_t t = from; t < to; ++t) {
        codes[t - from] = attention_code(steps_below(top, scores[t - from], unit));
        code_sum += codes[t - from];
      }
      const auto block_top = static_cast<float>(top);
      const float new_top = first || block_top > top_before ? block_top : top_before;
      const float a = first ? 0.0f : ref::exp_f32((top_before - new_top) * weight_unit);
      const float b = ref::exp_f32((block_top - new_top) * weight_unit);
      sum = ref::fused(static_cast<float>(code_sum), b, sum * a);
      for (size_t e = 0; e < width; ++e) {
        int32_t mixed = 0;
        for (size_t t = from; t < to; ++t) mixed += codes[t - from] * v_codes[t * width + e];
        mix[e] = ref::fused(static_cast<float>(mixed), b, mix[e] * a);
      }
      top_before = new_top;
      first = false;
    }
    const float inverse = std::isnan(steps.scale) ? NAN : 1.0f / sum;
    for (size_t e = 0; e < width; ++e) {
      const Steps v(v_range[e].distance(), v_range[e].finite);
      out[e] = ref::fused(mix[e] * inverse, v.scale, v_range[e].center());
    }
  }
}

}  // namespace

void attention_i8_scalar(const AttentionI8& op) noexcept {
  const size_t width = op.head_width;
  Range k_range[max_head_width], v_range[max_head_width];
  float distance = 0.0f;
  bool finite = true;
  for (size_t e = 0; e < width; ++e) {
    for (size_t t = 0; t < op.kv_count; ++t) {
      k_range[e].add(op.k[t * op.k_stride + e]);
      v_range[e].add(op.v[t * op.v_stride + e]);
    }
    finite = finite && k_range[e].finite;
    distance = k_range[e].distance() > distance ? k_range[e].distance() : distance;
  }
  const Steps k_steps(distance, finite);
  auto* k_codes = static_cast<int8_t*>(op.scratch);
  int8_t* v_codes = k_codes + op.kv_count * width;
  for (size_t t = 0; t < op.kv_count; ++t) {
    for (size_t e = 0; e < width; ++e) {
      k_codes[t * width + e] = k_steps.code(op.k[t * op.k_stride + e] - k_range[e].center());
      const Steps v_steps(v_range[e].distance(), v_range[e].finite);
      v_codes[t * width + e] = v_steps.code(op.v[t * op.v_stride + e] - v_range[e].center());
    }
  }
  for (size_t h = 0; h < op.q_heads; ++h) {
    attend(op, op.q + h * op.q_head_stride, op.out + h * op.out_head_stride, k_steps.scale, k_codes, v_codes, v_range);
  }
}

}  // namespace onepass::kernels
