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
  // The largest distance from c, as the subtractions below round it.
  float distance(float c) const {
    const float above = greatest - c, below = c - least;
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
int32_t steps_below(float top, float s, float unit) {
  const float y = (top - s) * unit;
  return y >= attention_unseen ? 65535 : static_cast<int32_t>((y + round_magic) - round_magic);
}

float bounded(float x, float bound) {
  const float upper = x < bound ? x : bound;
  return upper > -bound ? upper : -bound;
}
float bounded_factor(float x) { return bounded(x, attention_largest_factor); }

struct Keys {
  const int8_t* codes;  // [kv_count, E]
  float scale;
  // With a query table or a cap: the centers, as codes and their scale.
  int8_t center_codes[max_head_width];
  float center_scale;
};

int32_t product(const int8_t* a, const int8_t* b, size_t count) {
  int32_t sum = 0;
  for (size_t e = 0; e < count; ++e) sum += a[e] * b[e];
  return sum;
}

// The score of a query's codes and key t of `distance` to it, in units of y.
float related_score(const AttentionI8& op, const int8_t* q, float q_scale, const Keys& keys, size_t t,
                    ptrdiff_t distance) {
  const RelativeCodes& r = *op.relative;
  const size_t width = op.head_width, row = r.index[distance];
  const float factor = op.scale * attention_unit;
  const int8_t* k = keys.codes + t * width;
  float bias = (r.bias != nullptr ? r.bias[row] : 0.0f) * attention_unit;
  float query_term = 0.0f, query_unit = 0.0f, key_term = 0.0f, key_unit = 0.0f;
  if (r.query_table != nullptr) {
    const int8_t* codes = r.query_table + row * r.query_stride;
    const auto center = static_cast<float>(product(keys.center_codes, codes, width));
    bias = ref::fused(center, r.query_scale[row] * (keys.center_scale * factor), bias);
    query_term = static_cast<float>(product(k, codes, width));
    query_unit = bounded_factor(r.query_scale[row] * (keys.scale * factor));
  }
  if (r.key_table != nullptr) {
    const auto sum = static_cast<float>(product(q, r.key_table + row * r.key_stride, width));
    key_term = sum * bounded_factor(q_scale);
    key_unit = bounded_factor(r.key_scale[row] * factor);
  }
  const float terms = ref::fused(key_term, key_unit, ref::fused(query_term, query_unit, bounded_factor(bias)));
  const float unit = bounded_factor(q_scale * (keys.scale * factor));
  return bounded(ref::fused(static_cast<float>(product(q, k, width)), unit, terms), attention_largest_score);
}

float capped_score(const AttentionI8& op, const int8_t* q, float q_scale, const Keys& keys, size_t t) {
  const float cap = op.softcap * attention_unit, factor = op.scale * attention_unit;
  const auto sum = static_cast<float>(product(q, keys.codes + t * op.head_width, op.head_width));
  const auto center = static_cast<float>(product(q, keys.center_codes, op.head_width));
  const float s = ref::fused(sum, bounded_factor(q_scale * (keys.scale * factor)),
                             center * bounded_factor(q_scale * (keys.center_scale * factor)));
  return bounded(cap * ref::tanh_f32(s * (1.0f / cap)), attention_largest_score);
}

void attend(const AttentionI8& op, const float* q_rows, float* out_rows, const Keys& keys, const int8_t* v_codes,
            const Range* v_range) {
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
    const Steps steps(magnitude, finite && std::isfinite(keys.scale));
    int8_t q_codes[max_head_width];
    for (size_t e = 0; e < width; ++e) q_codes[e] = steps.code(q[e]);
    float unit = steps.scale * (keys.scale * (op.scale * attention_unit));
    unit = unit < attention_largest_unit ? unit : attention_largest_unit;
    if (std::isnan(steps.scale)) unit = 0.0f;
    if (op.relative != nullptr || op.softcap > 0) unit = 1.0f;
    const float weight_unit = unit * attention_unit_in_e;

    float mix[max_head_width] = {};
    float sum = 0.0f, top_before = 0.0f;
    bool first = true;
    const size_t begin = op.window.begin(i), end = op.window.end(i, op.kv_count);
    for (size_t block = begin / block_keys * block_keys; block < end; block += block_keys) {
      const size_t from = begin > block ? begin : block, to = end < block + block_keys ? end : block + block_keys;
      float scores[block_keys], top = -INFINITY;
      for (size_t t = from; t < to; ++t) {
        const ptrdiff_t distance = static_cast<ptrdiff_t>(op.window.first + i) - static_cast<ptrdiff_t>(t);
        const float s = op.relative != nullptr ? related_score(op, q_codes, steps.scale, keys, t, distance)
                        : op.softcap > 0       ? capped_score(op, q_codes, steps.scale, keys, t)
                                               : static_cast<float>(product(q_codes, keys.codes + t * width, width));
        scores[t - from] = s;
        top = s > top ? s : top;
      }
      int32_t codes[block_keys], code_sum = 0;
      for (size_t t = from; t < to; ++t) {
        codes[t - from] = attention_code(steps_below(top, scores[t - from], unit));
        code_sum += codes[t - from];
      }
      const float new_top = first || top > top_before ? top : top_before;
      const float a = first ? 0.0f : ref::exp_f32((top_before - new_top) * weight_unit);
      const float b = ref::exp_f32((top - new_top) * weight_unit);
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
      const float center = v_range[e].center();
      const Steps v(v_range[e].distance(center), v_range[e].finite);
      out[e] = ref::fused(mix[e] * inverse, v.scale, center);
    }
  }
}

}  // namespace

void attention_i8_scalar(const AttentionI8& op) noexcept {
  const size_t width = op.head_width;
  const bool coded = op.softcap > 0 || (op.relative != nullptr && op.relative->query_table != nullptr);
  Range k_range[max_head_width], v_range[max_head_width];
  float farthest = 0.0f;
  for (size_t e = 0; e < width; ++e) {
    for (size_t t = 0; t < op.kv_count; ++t) {
      k_range[e].add(op.k[t * op.k_stride + e]);
      v_range[e].add(op.v[t * op.v_stride + e]);
    }
    const float away = std::fabs(k_range[e].center());
    farthest = away > farthest ? away : farthest;
  }
  Keys keys = {};
  const Steps centers(coded ? farthest : 0.0f, true);
  keys.center_scale = centers.scale;
  float k_center[max_head_width], distance = 0.0f;
  bool finite = true;
  for (size_t e = 0; e < width; ++e) {
    keys.center_codes[e] = centers.code(k_range[e].center());
    k_center[e] = coded ? static_cast<float>(keys.center_codes[e]) * centers.scale : k_range[e].center();
    finite = finite && k_range[e].finite;
    distance = k_range[e].distance(k_center[e]) > distance ? k_range[e].distance(k_center[e]) : distance;
  }
  const Steps k_steps(distance, finite);
  keys.scale = k_steps.scale;
  auto* k_codes = static_cast<int8_t*>(op.scratch);
  int8_t* v_codes = k_codes + op.kv_count * width;
  keys.codes = k_codes;
  for (size_t t = 0; t < op.kv_count; ++t) {
    for (size_t e = 0; e < width; ++e) {
      k_codes[t * width + e] = k_steps.code(op.k[t * op.k_stride + e] - k_center[e]);
      const float v_center = v_range[e].center();
      const Steps v_steps(v_range[e].distance(v_center), v_range[e].finite);
      v_codes[t * width + e] = v_steps.code(op.v[t * op.v_stride + e] - v_center);
    }
  }
  for (size_t h = 0; h < op.q_heads; ++h) {
    attend(op, op.q + h * op.q_head_stride, op.out + h * op.out_head_stride, keys, v_codes, v_range);
  }
}

}  // namespace onepass::kernels
