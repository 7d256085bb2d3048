// The references of the row and element operations against double precision and against values worked by hand, and the
// tables of the rotary embedding.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/rope_table.h"
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

TEST(Elementwise, RmsNormMatchesDouble) {
  const size_t rows = 3, groups = 2, width = 45, row_width = groups * width;
  const auto x = random_floats(rows * row_width, 1), residual = random_floats(rows * row_width, 2),
             weight = random_floats(width, 3);
  for (const float offset : {0.0f, 1.0f}) {
    std::vector<float> y(x.size()), sum(x.size());
    rms_norm_scalar({.x = x.data(),
                     .residual = residual.data(),
                     .weight = weight.data(),
                     .sum = sum.data(),
                     .y = y.data(),
                     .rows = rows,
                     .groups = groups,
                     .width = width,
                     .x_stride = row_width,
                     .residual_stride = row_width,
                     .sum_stride = row_width,
                     .y_stride = row_width,
                     .group_stride = width,
                     .eps = 1e-3f,
                     .weight_offset = offset});
    for (size_t first = 0; first < x.size(); first += width) {
      double squares = 0;
      for (size_t i = 0; i < width; ++i) {
        const double z = static_cast<double>(x[first + i]) + residual[first + i];
        squares += z * z;
        ASSERT_EQ(sum[first + i], x[first + i] + residual[first + i]);
      }
      const double factor = 1.0 / std::sqrt(squares / static_cast<double>(width) + 1e-3);
      for (size_t i = 0; i < width; ++i) {
        const double z = static_cast<double>(x[first + i]) + residual[first + i];
        ASSERT_TRUE(within(y[first + i], z * factor * (weight[i] + offset), 3e-6)) << first << "," << i;
      }
    }
  }
}

// The bits of a norm followed by a quantisation, each by its own kernel, on every level.
TEST(Elementwise, NormQuantizeIsTheTwoOperations) {
  const size_t rows = 11, width = 83, codes_width = 84;
  const auto x = random_floats(rows * width, 8), residual = random_floats(rows * width, 9),
             weight = random_floats(width, 10), bias = random_floats(width, 11);
  for (unsigned level = 0; level < isa_count; ++level) {
    const KernelTable* table = kernel_table(static_cast<Isa>(level));
    if (table == nullptr) continue;
    for (const bool rms : {false, true}) {
      for (const bool with_y : {false, true}) {
        std::vector<float> y(x.size()), z(x.size()), expected_y(x.size()), expected_z(x.size());
        std::vector<float> scale(rows), expected_scale(rows);
        std::vector<int8_t> codes(rows * codes_width, 99), expected_codes(rows * codes_width, 98);
        table->norm_quantize({.x = x.data(),
                              .residual = residual.data(),
                              .weight = weight.data(),
                              .bias = rms ? nullptr : bias.data(),
                              .sum = z.data(),
                              .y = with_y ? y.data() : nullptr,
                              .codes = codes.data(),
                              .scale = scale.data(),
                              .rows = rows,
                              .width = width,
                              .x_stride = width,
                              .residual_stride = width,
                              .sum_stride = width,
                              .y_stride = width,
                              .codes_stride = codes_width,
                              .eps = 1e-6f,
                              .rms = rms,
                              .weight_offset = 1.0f});
        if (rms) {
          table->rms_norm({.x = x.data(),
                           .residual = residual.data(),
                           .weight = weight.data(),
                           .sum = expected_z.data(),
                           .y = expected_y.data(),
                           .rows = rows,
                           .groups = 1,
                           .width = width,
                           .x_stride = width,
                           .residual_stride = width,
                           .sum_stride = width,
                           .y_stride = width,
                           .group_stride = width,
                           .eps = 1e-6f,
                           .weight_offset = 1.0f});
        } else {
          table->add_norm({.x = x.data(),
                           .residual = residual.data(),
                           .weight = weight.data(),
                           .bias = bias.data(),
                           .y = expected_y.data(),
                           .rows = rows,
                           .width = width,
                           .x_stride = width,
                           .residual_stride = width,
                           .y_stride = width,
                           .eps = 1e-6f,
                           .sum = expected_z.data(),
                           .sum_stride = width});
        }
        table->quantize_rows({.x = expected_y.data(),
                              .x_stride = width,
                              .codes = expected_codes.data(),
                              .codes_stride = codes_width,
                              .scale = expected_scale.data(),
                              .rows = rows,
                              .width = width});
        EXPECT_EQ(codes, expected_codes) << isa_name(table->isa) << rms << with_y;
        EXPECT_EQ(scale, expected_scale) << isa_name(table->isa) << rms << with_y;
        EXPECT_EQ(z, expected_z) << isa_name(table->isa) << rms << with_y;
        if (with_y) {
          EXPECT_EQ(y, expected_y) << isa_name(table->isa) << rms;
        }
      }
    }
  }
}

TEST(Elementwise, GateMatchesDouble) {
  const size_t width = 200;
  const auto gate = random_floats(width, 4, -8, 8), up = random_floats(width, 5);
  std::vector<float> out(width);
  const auto run = [&](Act act) {
    gate_scalar({.gate = gate.data(),
                 .up = up.data(),
                 .out = out.data(),
                 .rows = 1,
                 .width = width,
                 .gate_stride = width,
                 .up_stride = width,
                 .out_stride = width,
                 .act = act});
  };
  const auto expect = [&](auto exact) {
    for (size_t i = 0; i < width; ++i) {
      ASSERT_TRUE(within(out[i], exact(static_cast<double>(gate[i])) * up[i], 2e-6)) << gate[i];
    }
  };
  run(Act::silu);
  expect([](double x) { return x / (1 + std::exp(-x)); });
  run(Act::gelu_erf);
  expect([](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); });
  run(Act::gelu_tanh);
  expect(
      [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))); });
  run(Act::none);
  expect([](double x) { return x; });
}

TEST(Elementwise, AddScaled) {
  const float x[] = {1.0f, 2.0f, -3.0f}, r[] = {10.0f, 0.1f, 1.0f};
  float y[3];
  AddScaled op = {
      .x = x, .r = r, .y = y, .rows = 1, .width = 3, .x_stride = 3, .r_stride = 3, .y_stride = 3, .scale = 1.0f};
  add_scaled_scalar(op);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(y[i], x[i] + r[i]);
  op.scale = 0.5f;
  add_scaled_scalar(op);
  EXPECT_EQ(y[0], 6.0f);
  EXPECT_EQ(y[2], -2.5f);
  op.x = nullptr;
  add_scaled_scalar(op);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(y[i], r[i] * 0.5f);
}

TEST(Elementwise, SoftcapMatchesDouble) {
  auto x = random_floats(200, 6, -150, 150);
  const auto before = x;
  softcap_scalar({.x = x.data(), .rows = 1, .width = 200, .stride = 200, .cap = 30.0f});
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_TRUE(within(x[i], 30.0 * std::tanh(before[i] / 30.0), 5e-6)) << before[i];
}

TEST(Elementwise, SoftmaxRowsMatchesDouble) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const size_t width = 77;
  auto x = random_floats(2 * width, 7, -5, 5);
  x[3] = -inf;
  const auto before = x;
  softmax_rows_scalar({.x = x.data(), .rows = 2, .width = width, .stride = width});
  for (size_t row = 0; row < 2; ++row) {
    double sum = 0;
    for (size_t i = 0; i < width; ++i) sum += std::exp(static_cast<double>(before[row * width + i]));
    for (size_t i = 0; i < width; ++i) {
      const double p = std::exp(static_cast<double>(before[row * width + i])) / sum;
      ASSERT_TRUE(within(x[row * width + i], p, p * 1e-6)) << row << "," << i;
    }
  }
  EXPECT_EQ(x[3], 0.0f);
  float hostile[][2] = {{1.0f, nan}, {inf, 1.0f}, {-inf, -inf}};
  softmax_rows_scalar({.x = hostile[0], .rows = 3, .width = 2, .stride = 2});
  for (const auto& row : hostile) EXPECT_TRUE(std::isnan(row[0]) && std::isnan(row[1]));
}

// Two heads of five elements, four of which turn.
TEST(Elementwise, RopeTurnsPairsByHand) {
  float x[] = {1, 2, 3, 4, 5, -1, -2, -3, -4, -5};
  const float cos[] = {9, 9, 0, 0.6f}, sin[] = {9, 9, 1, 0.8f};
  const uint32_t position = 1;
  rope_scalar({.x = x,
               .stride = 10,
               .cos = cos,
               .sin = sin,
               .table_stride = 2,
               .positions = &position,
               .rows = 1,
               .heads = 2,
               .head_stride = 5,
               .rotated = 4});
  // Pairs (0, 2) and (1, 3): a quarter turn, and the one of the triangle 3-4-5.
  const float expected[] = {-3, 2 * 0.6f - 4 * 0.8f, 1, 4 * 0.6f + 2 * 0.8f, 5};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(x[i], expected[i], 1e-6) << i;
    EXPECT_EQ(x[5 + i], -x[i]) << i;
  }
}

std::vector<float> inverse_frequencies(size_t half, double theta) {
  std::vector<float> inv_freq(half);
  for (size_t i = 0; i < half; ++i) {
    inv_freq[i] = static_cast<float>(std::pow(theta, -static_cast<double>(i) / static_cast<double>(half)));
  }
  return inv_freq;
}

// Every 7th position up to 131072, so that angles near every multiple of pi/2 occur.
TEST(RopeTable, ErrorOfCosAndSin) {
  const auto inv_freq = inverse_frequencies(32, 10000.0);
  std::vector<float> cos(32), sin(32);
  double worst = 0;
  for (uint32_t position = 0; position < 131072; position += 7) {
    fill_rope_table({.inv_freq = inv_freq.data(),
                     .half = 32,
                     .first_position = position,
                     .positions = 1,
                     .factor = 1.0f,
                     .cos = cos.data(),
                     .sin = sin.data(),
                     .stride = 32});
    for (size_t i = 0; i < 32; ++i) {
      const float angle = static_cast<float>(position) * inv_freq[i];
      worst = std::fmax(worst, ulp_error(cos[i], std::cos(static_cast<long double>(angle))));
      worst = std::fmax(worst, ulp_error(sin[i], std::sin(static_cast<long double>(angle))));
    }
  }
  EXPECT_LE(worst, 0.5001);
  EXPECT_GT(worst, 0.49) << "nothing was measured";
}

// The bits of a table, so that another compiler, library or processor is seen to give the same.
TEST(RopeTable, BitsAreFixed) {
  const auto hash_of = [](float factor) {
    float inv_freq[16];
    for (int i = 0; i < 16; ++i) inv_freq[i] = 1.0f / static_cast<float>(1 << i);
    std::vector<float> cos(1000 * 16), sin(1000 * 16);
    fill_rope_table({.inv_freq = inv_freq,
                     .half = 16,
                     .first_position = 130000,
                     .positions = 1000,
                     .factor = factor,
                     .cos = cos.data(),
                     .sin = sin.data(),
                     .stride = 16});
    uint64_t hash = 14695981039346656037u;  // FNV-1a over the words
    for (const auto* table : {&cos, &sin}) {
      for (const float v : *table) hash = (hash ^ std::bit_cast<uint32_t>(v)) * 1099511628211u;
    }
    return hash;
  };
  EXPECT_EQ(hash_of(1.0f), 14460334352152719660u);
  EXPECT_NE(hash_of(1.0f), hash_of(1.1902381f));
}

TEST(RopeTable, HostileFrequenciesGiveNan) {
  const float inv_freq[] = {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), -1e30f,
                            1.0f, 0.0f};
  float cos[5], sin[5];
  fill_rope_table({.inv_freq = inv_freq,
                   .half = 5,
                   .first_position = 1048575,
                   .positions = 1,
                   .factor = 1.0f,
                   .cos = cos,
                   .sin = sin,
                   .stride = 5});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(cos[i]) && std::isnan(sin[i])) << i;
  EXPECT_LE(ulp_error(cos[3], std::cos(1048575.0L)), 0.5001);
  EXPECT_EQ(cos[4], 1.0f);
  EXPECT_EQ(sin[4], 0.0f);
}

}  // namespace
}  // namespace onepass::test
