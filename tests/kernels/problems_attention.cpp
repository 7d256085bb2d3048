// The problems of attention_f32 and attention_i8.
#include <cmath>
#include <limits>

#include "tests/kernels/problem_parts.h"
#include "tests/kernels/problems.h"

namespace onepass::test {
namespace {

// A window in which every query of the case sees a key.
kernels::KeyWindow test_window(const Case& c, bool causal, bool one_sided, bool local) {
  kernels::KeyWindow window;
  if (causal) {
    window.first = c.b > c.a ? c.b - c.a : 0;
    window.right = 0;
    if (one_sided) window.left = 69;
  }
  if (local) {
    window.first = c.b > c.a ? (c.b - c.a) / 2 : 0;
    window.left = window.right = 5;
  }
  // More queries than keys: the last ones stand beyond the text, and see its end only with a wide limit to the left.
  if (window.first + c.a > c.b && window.left != kernels::unlimited) window.left = c.a + 70;
  return window;
}

}  // namespace

// attention_f32

std::vector<Case> Problem<kernels::AttentionF32>::cases() {
  auto cases = combine({1, 2, 3, 5, 7, 8, 9, 13, 17, 19, 31}, {1, 2, 3, 15, 16, 17, 31, 33, 48, 67, 127, 128, 129, 150},
                       {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 47, 64, 67, 96},
                       {0, sharp, wide_strides, hostile, capped, causal, heads | wide_strides, local, key_terms,
                        query_terms | key_terms, causal | one_sided, biased, sharp | causal, local | query_terms,
                        capped | biased | causal, hostile | key_terms | query_terms, heads | causal});
  for (const unsigned variant : {0u, 0u | wide_strides, 0u | sharp, causal | one_sided, 0u | local, 0u | capped,
                                 key_terms | query_terms, key_terms | biased | wide_strides}) {
    cases.push_back({9, 33, 128, variant});
    cases.push_back({5, 19, 255, variant});
    cases.push_back({3, 140, 256, variant});
    cases.push_back({60, 257, 32, variant});
    cases.push_back({4, 1000, 64, variant});
  }
  return cases;
}

size_t Problem<kernels::AttentionF32>::head_count() const { return has(case_, heads) ? 3 : 1; }
bool Problem<kernels::AttentionF32>::has_terms() const {
  // The terms want every query within the text.
  return (case_.variant & (key_terms | query_terms | biased)) != 0 && case_.a <= case_.b;
}

Problem<kernels::AttentionF32>::Problem(const Case& c, Flush flush)
    : case_(c),
      stride_(3 * c.c + (has(c, wide_strides) ? 2 * c.c + 3 : 0)),
      q_(strided(c.a, head_count() * c.c, stride_), flush),
      k_(strided(c.b, c.c, stride_), flush),
      v_(strided(c.b, c.c, stride_), flush),
      out_(strided(c.a, head_count() * c.c, stride_), flush),
      scratch_(kernels::attention_scratch_floats(c.b, c.c, has_terms()), flush, 64),
      key_table_(strided(kTableRows, c.c, c.c + 5), flush),
      query_table_(strided(kTableRows, c.c, c.c + 5), flush),
      bias_(kTableRows, flush),
      index_(c.b - 1 + window().first + c.a, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  const float range = has(c, sharp) ? 40.0f : 1.0f;  // sharp: most probabilities underflow
  fill_uniform(q_, random, -range, range);
  fill_uniform(k_, random, -range, range);
  fill_uniform(v_, random);
  fill_uniform(key_table_, random, -range, range);
  fill_uniform(query_table_, random, -range, range);
  fill_uniform(bias_, random);
  for (uint16_t& row : index_) row = static_cast<uint16_t>(random.below(kTableRows));
  if (has(c, hostile)) {
    for (int i = 0; i < 3; ++i) k_[random.below(k_.size())] = random.any();
    v_[random.below(v_.size())] = std::numeric_limits<float>::infinity();
    q_[random.below(q_.size())] = std::numeric_limits<float>::quiet_NaN();
  }
  poison(out_);
  poison(scratch_);
}

kernels::KeyWindow Problem<kernels::AttentionF32>::window() const {
  return test_window(case_, has(case_, causal), has(case_, one_sided), has(case_, local));
}

kernels::AttentionF32 Problem<kernels::AttentionF32>::args() {
  if (has_terms()) {
    terms_ = {.index = index_.data() + (case_.b - 1),
              .key_table = has(case_, key_terms) ? key_table_.data() : nullptr,
              .key_stride = case_.c + 5,
              .query_table = has(case_, query_terms) ? query_table_.data() : nullptr,
              .query_stride = case_.c + 5,
              .bias = has(case_, biased) ? bias_.data() : nullptr};
  }
  return {.q = q_.data(),
          .q_stride = stride_,
          .k = k_.data(),
          .k_stride = stride_,
          .v = v_.data(),
          .v_stride = stride_,
          .out = out_.data(),
          .out_stride = stride_,
          .q_count = case_.a,
          .kv_count = case_.b,
          .head_width = case_.c,
          .scale = 1.0f / std::sqrt(static_cast<float>(case_.c)),
          .scratch = scratch_.data(),
          .window = window(),
          .q_heads = head_count(),
          .q_head_stride = case_.c,
          .out_head_stride = case_.c,
          .softcap = has(case_, capped) ? 1.5f : 0.0f,
          .relative = has_terms() ? &terms_ : nullptr};
}

std::vector<Output> Problem<kernels::AttentionF32>::outputs() const {
  return {f32_output("out", out_, case_.a, head_count() * case_.c, stride_)};
}

// attention_i8

std::vector<Case> Problem<kernels::AttentionI8>::cases() {
  const std::vector<size_t> widths = {32, 64, 16, 48, 1, 3, 4, 15, 17, 31, 33, 67, 96};
  const std::vector<unsigned> variants = {0,
                                          sharp,
                                          wide_strides,
                                          hostile,
                                          flat,
                                          huge,
                                          causal,
                                          causal | one_sided,
                                          heads,
                                          sharp | heads,
                                          local,
                                          local | sharp,
                                          causal | sharp,
                                          wide_strides | heads | causal,
                                          capped,
                                          capped | causal | heads,
                                          capped | local | hostile,
                                          capped | huge};
  std::vector<size_t> keys;
  for (size_t t = 1; t <= 35; ++t) keys.push_back(t);
  for (const size_t t : {47u, 48u, 49u, 63u, 64u, 65u, 66u, 79u, 80u, 81u, 97u, 112u, 127u, 128u, 129u, 130u, 191u})
    keys.push_back(t);
  auto cases = combine({1, 2, 7, 16, 19}, keys, widths, variants);
  const std::vector<unsigned> related = {key_terms,
                                         query_terms,
                                         biased,
                                         key_terms | query_terms,
                                         key_terms | query_terms | biased,
                                         key_terms | query_terms | causal,
                                         key_terms | query_terms | sharp,
                                         key_terms | query_terms | biased | local,
                                         key_terms | query_terms | wide_strides,
                                         key_terms | query_terms | biased | hostile,
                                         key_terms | query_terms | biased | huge,
                                         query_terms | flat,
                                         biased | sharp | causal | one_sided,
                                         query_terms | causal | sharp,
                                         key_terms | local | huge};
  const auto with_terms = combine({1, 2, 7, 15, 16, 17, 33}, keys, widths, related);
  cases.insert(cases.end(), with_terms.begin(), with_terms.end());
  cases.push_back({60, 200, 64, key_terms | query_terms | biased});
  auto all = variants;
  all.insert(all.end(), related.begin(), related.end());
  for (const unsigned variant : all) {
    cases.push_back({9, 33, 128, variant});
    cases.push_back({5, 19, 255, variant});
    cases.push_back({3, 140, 256, variant});
    cases.push_back({17, 257, 32, variant});
    cases.push_back({4, 1000, 64, variant});
  }
  return cases;
}

size_t Problem<kernels::AttentionI8>::head_count() const { return has(case_, heads) ? 3 : 1; }
bool Problem<kernels::AttentionI8>::has_terms() const {
  return (case_.variant & (key_terms | query_terms | biased)) != 0 && case_.a <= case_.b;
}
kernels::KeyWindow Problem<kernels::AttentionI8>::window() const {
  return test_window(case_, has(case_, causal), has(case_, one_sided), has(case_, local));
}

Problem<kernels::AttentionI8>::Problem(const Case& c, Flush flush)
    : case_(c),
      stride_(3 * c.c + (has(c, wide_strides) ? 2 * c.c + 3 : 0)),
      q_(strided(c.a, head_count() * c.c, stride_), flush),
      k_(strided(c.b, c.c, stride_), flush),
      v_(strided(c.b, c.c, stride_), flush),
      out_(strided(c.a, head_count() * c.c, stride_), flush),
      scratch_(kernels::attention_i8_scratch_bytes(c.b, c.c, has_terms()), flush, 64),
      key_table_(strided(kTableRows, c.c, c.c + 5), flush),
      query_table_(strided(kTableRows, c.c, c.c + 5), flush),
      key_scale_(kTableRows, flush),
      query_scale_(kTableRows, flush),
      bias_(kTableRows, flush),
      index_(c.b - 1 + window().first + c.a, flush) {
  Random random(c.a * 1000003 + c.b * 1009 + c.c * 7 + c.variant);
  const float range = has(c, huge) ? 3e38f : has(c, sharp) ? 40.0f : 1.0f;  // sharp: most codes are 0
  fill_uniform(q_, random, -range, range);
  fill_uniform(k_, random, -range, range);
  fill_uniform(v_, random);
  if (has(c, flat)) {
    for (float& x : q_) x = 0.0f;
    for (size_t i = 0; i < k_.size(); ++i) k_[i] = static_cast<float>(i % stride_);
    for (size_t i = 0; i < v_.size(); ++i) v_[i] = -static_cast<float>(i % stride_);
  }
  if (has(c, hostile)) {
    q_[random.below(q_.size())] = std::numeric_limits<float>::quiet_NaN();
    q_[random.below(q_.size())] = -std::numeric_limits<float>::infinity();
    v_[random.below(v_.size())] = std::numeric_limits<float>::infinity();
    v_[random.below(v_.size())] = random.any();
    if (c.c % 2 == 0) k_[random.below(k_.size())] = random.any();
  }
  for (int8_t& code : key_table_) code = static_cast<int8_t>(random.bits());
  for (int8_t& code : query_table_) code = static_cast<int8_t>(random.bits());
  fill_uniform(key_scale_, random, 0.0f, range / 127);
  fill_uniform(query_scale_, random, 0.0f, range / 127);
  fill_uniform(bias_, random, -range, range);
  for (uint16_t& row : index_) row = static_cast<uint16_t>(random.below(kTableRows));
  if (has(c, hostile)) {
    for (Guarded<float>* numbers : {&key_scale_, &query_scale_, &bias_}) {
      (*numbers)[random.below(kTableRows)] = random.any();
      (*numbers)[random.below(kTableRows)] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  poison(out_);
  for (uint8_t& byte : scratch_) byte = 0xa5;
}

kernels::AttentionI8 Problem<kernels::AttentionI8>::args() {
  if (has_terms()) {
    terms_ = {.index = index_.data() + (case_.b - 1),
              .key_table = has(case_, key_terms) ? key_table_.data() : nullptr,
              .key_stride = case_.c + 5,
              .key_scale = key_scale_.data(),
              .query_table = has(case_, query_terms) ? query_table_.data() : nullptr,
              .query_stride = case_.c + 5,
              .query_scale = query_scale_.data(),
              .bias = has(case_, biased) ? bias_.data() : nullptr};
  }
  return {.q = q_.data(),
          .q_stride = stride_,
          .k = k_.data(),
          .k_stride = stride_,
          .v = v_.data(),
          .v_stride = stride_,
          .out = out_.data(),
          .out_stride = stride_,
          .q_count = case_.a,
          .kv_count = case_.b,
          .head_width = case_.c,
          .scale = 1.0f / std::sqrt(static_cast<float>(case_.c)),
          .scratch = scratch_.data(),
          .window = window(),
          .q_heads = head_count(),
          .q_head_stride = case_.c,
          .out_head_stride = case_.c,
          .softcap = has(case_, capped) ? 1.5f : 0.0f,
          .relative = has_terms() ? &terms_ : nullptr};
}

std::vector<Output> Problem<kernels::AttentionI8>::outputs() const {
  return {f32_output("out", out_, case_.a, head_count() * case_.c, stride_)};
}

}  // namespace onepass::test
