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

TEST(Reference, MatmulI4ZMatchesDouble) {
  for (const Layout layout : {Layout::i4zg32_n32k4, Layout::i4zg64_n32k4}) {
    const size_t m = 5, n = 37, k = 203, stride = 204;
    const auto w = random_floats(n * k, 2), bias = random_floats(n, 3), a_scale = random_floats(m, 4, 0.01f, 0.1f);
    std::vector<int8_t> a(m * stride);
    Random random(1);
    for (size_t i = 0; i < m * k; ++i) a[i / k * stride + i % k] = random.code();
    auto packed = aligned_bytes(packed_bytes(layout, n, k));
    ASSERT_TRUE(pack_matmul(layout, w.data(), n, k, packed.data()).ok());
    std::vector<float> used(n * k), c(m * n);
    ASSERT_TRUE(unpack(layout, packed.data(), n, k, used.data()));
    matmul_i4z_scalar({.a = a.data(),
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
        // The values are rounded by unpack; the product rounds its sum and its scale once each.
        const double bound = magnitude * a_scale[i] * kEpsilon * 4 + std::fabs(bias[j]) * kEpsilon;
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
