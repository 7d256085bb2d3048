// The reference kernels of attention against softmax in double precision, and against transformers' DeBERTa.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/layouts.h"
#include "tests/kernels/compare.h"

namespace onepass::test {
namespace {

using namespace kernels;

std::vector<float> random_floats(size_t count, uint64_t seed, float low = -2.0f, float high = 2.0f) {
  Random random(seed);
  std::vector<float> x(count);
  for (float& v : x) v = random.uniform(low, high);
  return x;
}

// Storage that starts at a multiple of 64 bytes.
struct alignas(64) Line {
  uint8_t bytes[64];
};
std::vector<Line> aligned_bytes(size_t count) { return std::vector<Line>((count + 63) / 64); }

// One head in double precision, straight from the formula.
struct Exact {
  const std::vector<float>&q, &k, &v;
  size_t width;
  double scale;
  KeyWindow window{};
  double softcap = 0;
  const RelativeTerms* relative = nullptr;
};

std::vector<double> exact_attention(const Exact& x) {
  const size_t q_count = x.q.size() / x.width, kv_count = x.k.size() / x.width;
  std::vector<double> out(q_count * x.width);
  for (size_t i = 0; i < q_count; ++i) {
    const auto position = static_cast<double>(x.window.first + i);
    std::vector<double> p(kv_count, -INFINITY);
    for (size_t t = 0; t < kv_count; ++t) {
      const double distance = position - static_cast<double>(t);
      if (distance > static_cast<double>(x.window.left) || -distance > static_cast<double>(x.window.right)) continue;
      double dot = 0, bias = 0;
      for (size_t e = 0; e < x.width; ++e) dot += static_cast<double>(x.q[i * x.width + e]) * x.k[t * x.width + e];
      if (x.relative != nullptr) {
        const RelativeTerms& r = *x.relative;
        const size_t row = r.index[static_cast<ptrdiff_t>(distance)];
        for (size_t e = 0; e < x.width; ++e) {
          if (r.key_table != nullptr) {
            dot += static_cast<double>(x.q[i * x.width + e]) * r.key_table[row * r.key_stride + e];
          }
          if (r.query_table != nullptr) {
            dot += static_cast<double>(x.k[t * x.width + e]) * r.query_table[row * r.query_stride + e];
          }
        }
        if (r.bias != nullptr) bias = r.bias[row];
      }
      p[t] = x.scale * dot;
      if (x.softcap > 0) p[t] = x.softcap * std::tanh(p[t] / x.softcap);
      p[t] += bias;
    }
    const double max = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - max);
    for (size_t e = 0; e < x.width; ++e) {
      for (size_t t = 0; t < kv_count; ++t) out[i * x.width + e] += p[t] / sum * x.v[t * x.width + e];
    }
  }
  return out;
}

TEST(Reference, AttentionMatchesDouble) {
  constexpr size_t width = 24;
  const auto key_table = random_floats(7 * width, 21), query_table = random_floats(7 * width, 22),
             bias = random_floats(7, 23);
  std::vector<uint16_t> index(2 * 300);
  for (size_t d = 0; d < index.size(); ++d) index[d] = static_cast<uint16_t>(d * d % 7);
  const RelativeTerms all = {.index = index.data() + 300,
                             .key_table = key_table.data(),
                             .key_stride = width,
                             .query_table = query_table.data(),
                             .query_stride = width,
                             .bias = bias.data()};
  RelativeTerms key_only = all, query_only = all, bias_only = all;
  key_only.query_table = query_only.key_table = bias_only.key_table = bias_only.query_table = nullptr;
  key_only.bias = query_only.bias = nullptr;
  for (const auto& [q_count, kv_count, window, softcap, relative] :
       std::vector<std::tuple<size_t, size_t, KeyWindow, float, const RelativeTerms*>>{
           {7, 33, {}, 0.0f, nullptr},
           {5, 290, {}, 0.0f, nullptr},
           {70, 150, {.first = 80, .right = 0}, 0.0f, nullptr},
           {150, 150, {.left = 10, .right = 3}, 0.0f, nullptr},
           {40, 290, {.first = 250, .left = 140, .right = 0}, 0.0f, nullptr},
           {7, 33, {}, 1.5f, nullptr},
           {20, 133, {}, 0.0f, &all},
           {20, 133, {}, 0.0f, &key_only},
           {20, 133, {}, 0.0f, &query_only},
           {20, 133, {.first = 50, .left = 30, .right = 30}, 2.0f, &bias_only}}) {
    const auto q = random_floats(q_count * width, 4), k = random_floats(kv_count * width, 5),
               v = random_floats(kv_count * width, 6);
    const size_t stride = width + 6;
    std::vector<float> wide_q(q_count * stride), out(q_count * stride);
    for (size_t i = 0; i < q.size(); ++i) wide_q[i / width * stride + i % width] = q[i];
    std::vector<float> scratch(attention_scratch_floats(kv_count, width, relative != nullptr));
    const float scale = 0.37f;
    attention_f32_scalar({.q = wide_q.data(),
                          .q_stride = stride,
                          .k = k.data(),
                          .k_stride = width,
                          .v = v.data(),
                          .v_stride = width,
                          .out = out.data(),
                          .out_stride = stride,
                          .q_count = q_count,
                          .kv_count = kv_count,
                          .head_width = width,
                          .scale = scale,
                          .scratch = scratch.data(),
                          .window = window,
                          .softcap = softcap,
                          .relative = relative});
    const auto expected = exact_attention({.q = q,
                                           .k = k,
                                           .v = v,
                                           .width = width,
                                           .scale = static_cast<double>(scale),
                                           .window = window,
                                           .softcap = static_cast<double>(softcap),
                                           .relative = relative});
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(within(out[i / width * stride + i % width], expected[i], 1e-5)) << kv_count << ": " << i;
    }
  }
}

namespace deberta {
#include "tests/kernels/deberta_attention.inc"
}  // namespace deberta

// c2p and p2c as transformers computes them: the same rows of the tables, the same scale.
TEST(Reference, AttentionMatchesDeberta) {
  using namespace deberta;
  const auto floats = [](const auto& x) { return std::vector<float>(std::begin(x), std::end(x)); };
  const auto q = floats(kQ), k = floats(kK), v = floats(kV), key_table = floats(kKeyTerms),
             query_table = floats(kQueryTerms);
  constexpr size_t stride = kHeads * kWidth;
  std::vector<float> out(kTokens * stride), scratch(attention_scratch_floats(kTokens, kWidth, true));
  for (size_t head = 0; head < kHeads; ++head) {
    const RelativeTerms terms = {.index = kIndex + (kTokens - 1),
                                 .key_table = key_table.data() + head * kWidth,
                                 .key_stride = stride,
                                 .query_table = query_table.data() + head * kWidth,
                                 .query_stride = stride,
                                 .bias = nullptr};
    attention_f32_scalar({.q = q.data() + head * kWidth,
                          .q_stride = stride,
                          .k = k.data() + head * kWidth,
                          .k_stride = stride,
                          .v = v.data() + head * kWidth,
                          .v_stride = stride,
                          .out = out.data() + head * kWidth,
                          .out_stride = stride,
                          .q_count = kTokens,
                          .kv_count = kTokens,
                          .head_width = kWidth,
                          .scale = 1.0f / std::sqrt(3.0f * kWidth),
                          .scratch = scratch.data(),
                          .relative = &terms});
  }
  ASSERT_EQ(out.size(), std::size(kOut));
  for (size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(within(out[i], kOut[i], 1e-5)) << i;
}

// One text of one head, values in [-2, 2], through attention_i8_scalar and through softmax in double precision.
struct Int8Attention {
  size_t q_count, kv_count, width;
  KeyWindow window = {};
  // Of the terms that are present; the tables' values are their codes'.
  bool key_terms = false, query_terms = false, bias = false;
  float k_offset = 0.0f;  // of every key
  float softcap = 0.0f;
  float range = 2.0f;
  double largest = 0, mean_square = 0;

  void run(uint64_t seed) {
    const auto q = random_floats(q_count * width, seed, -range, range),
               k = random_floats(kv_count * width, seed + 1, k_offset - range, k_offset + range),
               v = random_floats(kv_count * width, seed + 2);
    std::vector<float> out(q_count * width);
    auto scratch = aligned_bytes(attention_i8_scratch_bytes(kv_count, width, true));
    const bool related = key_terms || query_terms || bias;
    const float scale = 1.0f / std::sqrt(static_cast<float>(width) *
                                         (1.0f + static_cast<float>(key_terms) + static_cast<float>(query_terms)));
    constexpr size_t kRows = 11;
    Random random(seed + 3);
    std::vector<int8_t> codes[2];
    std::vector<float> scales[2], tables[2];
    for (size_t t = 0; t < 2; ++t) {
      for (size_t i = 0; i < kRows * width; ++i) codes[t].push_back(random.code());
      for (size_t r = 0; r < kRows; ++r) scales[t].push_back(random.uniform(0.2f, 1.0f) * range / 127);
      for (size_t i = 0; i < kRows * width; ++i) {
        tables[t].push_back(static_cast<float>(codes[t][i]) * scales[t][i / width]);
      }
    }
    const auto biases = random_floats(kRows, seed + 4);
    std::vector<uint16_t> index(2 * kv_count - 1);
    for (uint16_t& row : index) row = static_cast<uint16_t>(random.below(kRows));
    const uint16_t* here = index.data() + (kv_count - 1);
    const RelativeCodes coded = {.index = here,
                                 .key_table = key_terms ? codes[0].data() : nullptr,
                                 .key_stride = width,
                                 .key_scale = scales[0].data(),
                                 .query_table = query_terms ? codes[1].data() : nullptr,
                                 .query_stride = width,
                                 .query_scale = scales[1].data(),
                                 .bias = bias ? biases.data() : nullptr};
    const RelativeTerms terms = {.index = here,
                                 .key_table = key_terms ? tables[0].data() : nullptr,
                                 .key_stride = width,
                                 .query_table = query_terms ? tables[1].data() : nullptr,
                                 .query_stride = width,
                                 .bias = bias ? biases.data() : nullptr};
    attention_i8_scalar({.q = q.data(),
                         .q_stride = width,
                         .k = k.data(),
                         .k_stride = width,
                         .v = v.data(),
                         .v_stride = width,
                         .out = out.data(),
                         .out_stride = width,
                         .q_count = q_count,
                         .kv_count = kv_count,
                         .head_width = width,
                         .scale = scale,
                         .scratch = scratch.data(),
                         .window = window,
                         .softcap = softcap,
                         .relative = related ? &coded : nullptr});
    const auto expected = exact_attention({.q = q,
                                           .k = k,
                                           .v = v,
                                           .width = width,
                                           .scale = static_cast<double>(scale),
                                           .window = window,
                                           .softcap = static_cast<double>(softcap),
                                           .relative = related ? &terms : nullptr});
    for (size_t i = 0; i < out.size(); ++i) {
      const double error = std::fabs(static_cast<double>(out[i]) - expected[i]);
      largest = std::isfinite(error) ? std::max(largest, error) : INFINITY;
      mean_square += error * error / static_cast<double>(out.size());
    }
  }
};

// A code of K or Q is off by half a step of 2 / 127, a score of 32 channels by 0.02 (root mean square), a code of p by
// half of 1/255, a value by half a step of 2 / 127.
TEST(Reference, AttentionI8MatchesDouble) {
  for (const auto& [q_count, kv_count, width, window] :
       {std::tuple{size_t{9}, size_t{33}, size_t{32}, KeyWindow{}},
        {size_t{5}, size_t{200}, size_t{24}, KeyWindow{}},
        {size_t{7}, size_t{130}, size_t{64}, KeyWindow{.first = 123, .right = 0}},
        {size_t{130}, size_t{130}, size_t{32}, KeyWindow{.left = 10, .right = 3}},
        {size_t{70}, size_t{150}, size_t{32}, KeyWindow{.first = 80, .left = 64, .right = 0}}}) {
    for (const float softcap : {0.0f, 1.5f, 50.0f}) {
      for (const float offset : {0.0f, 6.0f}) {  // a cap sees it
        Int8Attention a{q_count, kv_count, width, window};
        a.softcap = softcap;
        a.k_offset = offset;
        a.run(11);
        EXPECT_LT(a.largest, 0.06) << kv_count << " " << width << " " << softcap << " " << offset;
        EXPECT_LT(std::sqrt(a.mean_square), 0.012) << kv_count << " " << width << " " << softcap << " " << offset;
      }
    }
  }
}

// Keys with a large offset in common, too: a query table sees it.
TEST(Reference, AttentionI8WithTermsMatchesDouble) {
  for (const auto& [key_terms, query_terms, bias] : {std::tuple{true, true, false},
                                                     {true, false, false},
                                                     {false, true, false},
                                                     {false, false, true},
                                                     {true, true, true}}) {
    for (const auto& [q_count, kv_count, width, window] :
         {std::tuple{size_t{9}, size_t{33}, size_t{32}, KeyWindow{}},
          {size_t{150}, size_t{150}, size_t{24}, KeyWindow{}},
          {size_t{7}, size_t{130}, size_t{64}, KeyWindow{.first = 123, .right = 0}},
          {size_t{130}, size_t{130}, size_t{32}, KeyWindow{.left = 10, .right = 3}}}) {
      for (const float offset : {0.0f, 6.0f}) {
        Int8Attention a{q_count, kv_count, width, window, key_terms, query_terms, bias, offset};
        a.run(31);
        EXPECT_LT(a.largest, 0.06) << kv_count << " " << width << " " << offset;
        EXPECT_LT(std::sqrt(a.mean_square), 0.012) << kv_count << " " << width << " " << offset;
      }
    }
  }
}

TEST(Reference, AttentionI8Extremes) {
  constexpr size_t count = 70, width = 8;
  std::vector<float> k(count * width, 0.0f), v(count * width), q(width, 0.0f), out(width);
  auto scratch = aligned_bytes(attention_i8_scratch_bytes(count, width));
  for (size_t t = 0; t < count; ++t) {
    for (size_t e = 0; e < width; ++e) v[t * width + e] = t % 2 == 0 ? 1000.0f : 1001.0f;
  }
  const auto run = [&] {
    attention_i8_scalar({.q = q.data(),
                         .q_stride = width,
                         .k = k.data(),
                         .k_stride = width,
                         .v = v.data(),
                         .v_stride = width,
                         .out = out.data(),
                         .out_stride = width,
                         .q_count = 1,
                         .kv_count = count,
                         .head_width = width,
                         .scale = 1.0f,
                         .scratch = scratch.data()});
  };
  run();  // equal scores: the mean
  for (const float x : out) EXPECT_NEAR(x, 1000.5, 1e-3);
  // One key far above all others, in a text whose keys share a large offset: its value alone.
  for (size_t i = 0; i < k.size(); ++i) k[i] = 5000.0f + (i / width == 67 ? 1.0f : 0.0f);
  for (float& x : q) x = 30.0f;
  run();
  for (const float x : out) EXPECT_NEAR(x, 1001.0, 1e-3);
  // Products beyond every float.
  for (size_t i = 0; i < k.size(); ++i) k[i] = i / width == 3 ? 3e38f : -3e38f;
  for (float& x : q) x = 3e38f;
  run();
  for (const float x : out) EXPECT_NEAR(x, 1001.0, 1e-3);
  // What is not a number is seen, and where.
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, inf, -inf}) {
    q[2] = bad;
    run();
    for (const float x : out) EXPECT_TRUE(std::isnan(x));
    q[2] = 1.0f;
    const float good = k[4 * width + 1];
    k[4 * width + 1] = bad;
    run();
    for (const float x : out) EXPECT_TRUE(std::isnan(x));
    k[4 * width + 1] = good;
    v[5 * width + 3] = bad;
    run();
    for (size_t e = 0; e < width; ++e) EXPECT_EQ(std::isnan(out[e]), e == 3) << e;
    v[5 * width + 3] = 1000.0f;
  }
}

}  // namespace
}  // namespace onepass::test
