// The reference kernels against independent computations in double precision, and against values worked by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/pack/pack.h"
#include "kernels/ref/math_ref.h"
#include "tests/kernels/compare.h"

namespace onepass::test {
namespace {

using namespace kernels;

constexpr float kEpsilon = 0x1p-24f;  // half a unit in the last place of 1

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

TEST(Reference, MatmulI8MatchesHandComputedProduct) {
  // Two channels of five inputs. Channel 0: absmax 2.54, scale 0.02; channel 1: absmax 1.27, scale 0.01.
  const float w[] = {2.54f, -0.02f, 0.0f, 0.04f, -2.54f, 0.0f, 1.27f, -0.01f, 0.5f, 0.02f};
  auto packed = aligned_bytes(packed_bytes(Layout::i8_n32k4, 2, 5));
  ASSERT_TRUE(pack_matmul(Layout::i8_n32k4, w, 2, 5, packed.data()).ok());
  const int8_t a[] = {1, 2, 3, 4, 5, 0, 0, 0, -127, 127, 0, 0, 1, 0, 0, 0};
  const float a_scale[] = {0.5f, 2.0f}, bias[] = {10.0f, -1.0f};
  float c[4] = {};
  matmul_i8_scalar({.a = a,
                    .a_stride = 8,
                    .a_scale = a_scale,
                    .w = packed.data(),
                    .bias = bias,
                    .c = c,
                    .c_stride = 2,
                    .m = 2,
                    .n = 2,
                    .k = 5,
                    .n_begin = 0,
                    .n_end = 2});
  // Codes: channel 0 127 -1 0 2 -127; channel 1 0 127 -1 50 2.
  EXPECT_NEAR(c[0], (127 - 2 + 8 - 635) * 0.02 * 0.5 + 10, 1e-5);
  EXPECT_NEAR(c[1], (254 - 3 + 200 + 10) * 0.01 * 0.5 - 1, 1e-5);
  EXPECT_NEAR(c[2], (-127 * 127 - 127 - 127) * 0.02 * 2 + 10, 1e-3);
  EXPECT_NEAR(c[3], (127 * 127 + 2) * 0.01 * 2 - 1, 1e-4);
}

TEST(Reference, MatmulI4MatchesDouble) {
  for (const Layout layout : {Layout::i4g32_n32k4, Layout::i4g64_n32k4, Layout::i4mg32_n32k4, Layout::i4mg64_n32k4}) {
    const size_t m = 5, n = 37, k = 203, stride = 204;
    const auto w = random_floats(n * k, 2), bias = random_floats(n, 3), a_scale = random_floats(m, 4, 0.01f, 0.1f);
    std::vector<int8_t> a(m * stride);
    Random random(1);
    for (size_t i = 0; i < m * k; ++i) a[i / k * stride + i % k] = random.code();
    auto packed = aligned_bytes(packed_bytes(layout, n, k));
    ASSERT_TRUE(pack_matmul(layout, w.data(), n, k, packed.data()).ok());
    std::vector<float> used(n * k), c(m * n);
    ASSERT_TRUE(unpack(layout, packed.data(), n, k, used.data()));
    matmul_i4_scalar({.a = a.data(),
                      .a_stride = stride,
                      .a_scale = a_scale.data(),
                      .w = packed.data(),
                      .layout = layout,
                      .bias = bias.data(),
                      .c = c.data(),
                      .c_stride = n,
                      .m = m,
                      .n = n,
                      .k = k,
                      .n_begin = 0,
                      .n_end = n});
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (size_t l = 0; l < k; ++l) {
          const double product = static_cast<double>(a[i * stride + l]) * used[j * k + l];
          sum += product;
          magnitude += std::fabs(product);
        }
        // The values of layouts with a minimum are rounded by unpack, so their products are too.
        const double bound = magnitude * a_scale[i] * kEpsilon * 12 + std::fabs(bias[j]) * kEpsilon;
        ASSERT_TRUE(within(c[i * n + j], sum * a_scale[i] + bias[j], bound))
            << layout_name(layout) << " " << i << "," << j;
      }
    }
  }
}

TEST(Reference, MatmulF32MatchesDouble) {
  for (const Layout layout : {Layout::f32_n16, Layout::f16_n16, Layout::bf16_n16}) {
    const size_t m = 5, n = 37, k = 67;
    const auto a = random_floats(m * k, 1), w = random_floats(n * k, 2), bias = random_floats(n, 3);
    auto packed = aligned_bytes(packed_bytes(layout, n, k));
    ASSERT_TRUE(pack_matmul(layout, w.data(), n, k, packed.data()).ok());
    std::vector<float> used(n * k), c(m * n);
    ASSERT_TRUE(unpack(layout, packed.data(), n, k, used.data()));
    matmul_f32_scalar({.a = a.data(),
                       .a_stride = k,
                       .w = packed.data(),
                       .layout = layout,
                       .bias = bias.data(),
                       .c = c.data(),
                       .c_stride = n,
                       .m = m,
                       .n = n,
                       .k = k,
                       .n_begin = 0,
                       .n_end = n});
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = bias[j], magnitude = std::fabs(bias[j]);
        for (size_t l = 0; l < k; ++l) {
          const double product = static_cast<double>(a[i * k + l]) * used[j * k + l];
          sum += product;
          magnitude += std::fabs(product);
        }
        ASSERT_TRUE(within(c[i * n + j], sum, magnitude * kEpsilon * static_cast<double>(k))) << i << "," << j;
      }
    }
  }
}

TEST(Reference, AttentionMatchesDouble) {
  const size_t q_count = 7, kv_count = 33, width = 24, stride = 30;
  const auto q = random_floats(q_count * stride, 4), k = random_floats(kv_count * stride, 5),
             v = random_floats(kv_count * stride, 6);
  std::vector<float> out(q_count * stride), scratch(attention_scratch_floats(kv_count, width));
  const float scale = 0.37f;
  attention_f32_scalar({.q = q.data(),
                        .q_stride = stride,
                        .k = k.data(),
                        .k_stride = stride,
                        .v = v.data(),
                        .v_stride = stride,
                        .out = out.data(),
                        .out_stride = stride,
                        .q_count = q_count,
                        .kv_count = kv_count,
                        .head_width = width,
                        .scale = scale,
                        .scratch = scratch.data()});
  for (size_t i = 0; i < q_count; ++i) {
    std::vector<double> p(kv_count);
    for (size_t t = 0; t < kv_count; ++t) {
      for (size_t e = 0; e < width; ++e) p[t] += static_cast<double>(q[i * stride + e]) * k[t * stride + e];
      p[t] *= static_cast<double>(scale);
    }
    const double max = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& x : p) sum += x = std::exp(x - max);
    for (size_t e = 0; e < width; ++e) {
      double mixed = 0;
      for (size_t t = 0; t < kv_count; ++t) mixed += p[t] / sum * v[t * stride + e];
      ASSERT_TRUE(within(out[i * stride + e], mixed, 5e-6)) << i << "," << e;
    }
  }
}

// One text of one head, values in [-2, 2], through attention_i8_scalar and through softmax in double precision.
struct Int8Attention {
  size_t q_count, kv_count, width;
  KeyWindow window = {};
  float range = 2.0f;
  double largest = 0, mean_square = 0;

  void run(uint64_t seed) {
    const auto q = random_floats(q_count * width, seed, -range, range),
               k = random_floats(kv_count * width, seed + 1, -range, range),
               v = random_floats(kv_count * width, seed + 2);
    std::vector<float> out(q_count * width);
    auto scratch = aligned_bytes(attention_i8_scratch_bytes(kv_count, width));
    const float scale = 1.0f / std::sqrt(static_cast<float>(width));
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
                         .window = window});
    for (size_t i = 0; i < q_count; ++i) {
      const auto position = static_cast<double>(window.first + i);
      std::vector<double> p(kv_count, -INFINITY);
      for (size_t t = 0; t < kv_count; ++t) {
        const double distance = position - static_cast<double>(t);
        if (distance > static_cast<double>(window.left) || -distance > static_cast<double>(window.right)) continue;
        p[t] = 0;
        for (size_t e = 0; e < width; ++e) p[t] += static_cast<double>(q[i * width + e]) * k[t * width + e];
        p[t] *= static_cast<double>(scale);
      }
      const double max = *std::max_element(p.begin(), p.end());
      double sum = 0;
      for (double& x : p) sum += x = std::exp(x - max);
      for (size_t e = 0; e < width; ++e) {
        double mixed = 0;
        for (size_t t = 0; t < kv_count; ++t) mixed += p[t] / sum * v[t * width + e];
        const double error = std::fabs(out[i * width + e] - mixed);
        largest = std::isfinite(error) ? std::max(largest, error) : INFINITY;
        mean_square += error * error / static_cast<double>(q_count * width);
      }
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
    Int8Attention a{q_count, kv_count, width, window};
    a.run(11);
    EXPECT_LT(a.largest, 0.06) << kv_count << " " << width;
    EXPECT_LT(std::sqrt(a.mean_square), 0.012) << kv_count << " " << width;
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

TEST(Reference, AddNormMatchesDouble) {
  const size_t rows = 3, width = 83;
  const auto x = random_floats(rows * width, 7), residual = random_floats(rows * width, 8),
             weight = random_floats(width, 9), bias = random_floats(width, 10);
  std::vector<float> y(rows * width);
  add_norm_scalar({.x = x.data(),
                   .residual = residual.data(),
                   .weight = weight.data(),
                   .bias = bias.data(),
                   .y = y.data(),
                   .rows = rows,
                   .width = width,
                   .x_stride = width,
                   .residual_stride = width,
                   .y_stride = width,
                   .eps = 1e-3f});
  for (size_t row = 0; row < rows; ++row) {
    std::vector<double> z(width);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < width; ++i) {
      z[i] = static_cast<double>(x[row * width + i]) + residual[row * width + i];
      mean += z[i] / static_cast<double>(width);
    }
    for (const double value : z) variance += (value - mean) * (value - mean) / static_cast<double>(width);
    for (size_t i = 0; i < width; ++i) {
      const double expected = (z[i] - mean) / std::sqrt(variance + 1e-3) * weight[i] + bias[i];
      ASSERT_TRUE(within(y[row * width + i], expected, 4e-6)) << row << "," << i;
    }
  }
}

TEST(Reference, SumUsesSixteenLanesAndOneTree) {
  // 2^24 absorbs a 1 that is added to it; which ones survive shows the order.
  std::vector<float> x(40, 0.0f);
  x[3] = 0x1p24f;
  x[19] = 1.0f;  // the same lane as 3: absorbed
  EXPECT_EQ(ref::lanes16_sum(x.data(), x.size()), 0x1p24f);
  x[19] = 0.0f;
  x[11] = 1.0f;  // lane 11 joins lane 3 first: absorbed
  EXPECT_EQ(ref::lanes16_sum(x.data(), x.size()), 0x1p24f);
  x[1] = 1.0f;  // lane 1 meets lane 3 in the third step, with lane 5: 1 + 1 survive
  x[5] = 1.0f;
  EXPECT_EQ(ref::lanes16_sum(x.data(), x.size()), 0x1p24f + 2.0f);
  EXPECT_EQ(ref::lanes16_sum(x.data(), 0), 0.0f);
}

TEST(Reference, QuantizeRows) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float x[][5] = {{127.0f, -0.5f, 0.5f, 1.5f, -2.5f}, {0.0f, -0.0f, 0.0f, 0.0f, 0.0f},
                        {1.0f, nan, 0.0f, 0.0f, 0.0f},      {1.0f, -inf, 0.0f, 0.0f, 0.0f},
                        {9e-31f, 0.0f, 0.0f, 0.0f, 0.0f},   {-2.0f, 1.0f, 2.0f, -1.0f, 0.0f}};
  constexpr size_t rows = std::size(x);
  int8_t codes[rows * 8];
  float scale[rows];
  std::fill(std::begin(codes), std::end(codes), int8_t{99});
  quantize_rows_scalar(
      {.x = x[0], .x_stride = 5, .codes = codes, .codes_stride = 8, .scale = scale, .rows = rows, .width = 5});
  const int expected[rows][8] = {{127, 0, 0, 2, -2, 0, 0, 0}, {}, {}, {}, {}, {-127, 64, 127, -64, 0, 0, 0, 0}};
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(codes[row * 8 + i], expected[row][i]) << row << "," << i;
  }
  EXPECT_EQ(scale[0], 1.0f);
  EXPECT_EQ(scale[1], 0.0f);
  EXPECT_TRUE(std::isnan(scale[2]));
  EXPECT_TRUE(std::isnan(scale[3]));
  EXPECT_EQ(scale[4], 0.0f);
  EXPECT_EQ(scale[5], 2.0f / 127.0f);
}

TEST(Reference, EmbedRows) {
  const float w[] = {1.0f, -0.5f, 0.25f, 12.7f, -6.35f, 0.1f};
  for (const Layout layout :
       {Layout::f32_rows, Layout::f16_rows, Layout::bf16_rows, Layout::i8_rows, Layout::i4g32_rows}) {
    auto table = aligned_bytes(packed_bytes(layout, 2, 3));
    ASSERT_TRUE(pack_rows(layout, w, 2, 3, table.data()).ok());
    const uint32_t ids[] = {1, 0, 1};
    float out[9] = {};
    embed_rows_scalar({.table = table.data(),
                       .layout = layout,
                       .n = 2,
                       .width = 3,
                       .ids = ids,
                       .out = out,
                       .out_stride = 3,
                       .rows = 3,
                       .add = false});
    const double error = layout == Layout::f32_rows    ? 0
                         : layout == Layout::f16_rows  ? 0.005
                         : layout == Layout::bf16_rows ? 0.03
                         : layout == Layout::i8_rows   ? 0.0501
                                                       : 0.9;
    const float first[] = {out[0], out[1], out[2]};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(within(out[i], w[3 + i], error)) << i;
      EXPECT_TRUE(within(out[3 + i], w[i], error)) << i;
      EXPECT_EQ(out[6 + i], out[i]);
    }
    const uint32_t again[] = {1, 1, 1};
    embed_rows_scalar({.table = table.data(),
                       .layout = layout,
                       .n = 2,
                       .width = 3,
                       .ids = again,
                       .out = out,
                       .out_stride = 3,
                       .rows = 3,
                       .add = true});
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], first[i] + first[i]);
  }
}

}  // namespace
}  // namespace onepass::test
