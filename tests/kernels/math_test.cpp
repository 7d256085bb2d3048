// The error bounds that docs/numerics.md states, over floats of every exponent, against long double. The vector
// kernels have the bits of these functions (bit_identity_test.cpp), so the bounds are theirs too.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <random>

#include "kernels/ref/math_ref.h"
#include "tests/kernels/compare.h"

namespace onepass::test {
namespace {

using namespace kernels;

// Calls visit with every `step`-th float of both signs; the step is odd, so that all fractions occur.
template <class Visit>
void sweep(float low, float high, uint32_t step, Visit visit) {
  for (uint64_t bits = 0; bits < 0x7f800000u; bits += step) {
    const auto magnitude = std::bit_cast<float>(static_cast<uint32_t>(bits));
    for (const float x : {magnitude, -magnitude}) {
      if (x >= low && x < high) visit(x);
    }
  }
}

struct Worst {
  double ulp = 0.0;
  long double absolute = 0.0L;
  float at = 0.0f;
};

template <class Function, class Exact>
Worst worst_error(float low, float high, uint32_t step, Function function, Exact exact) {
  Worst worst;
  sweep(low, high, step, [&](float x) {
    const float value = function(x);
    const long double expected = exact(static_cast<long double>(x));
    const double error = ulp_error(value, expected);
    if (error > worst.ulp) worst.ulp = error, worst.at = x;
    worst.absolute = std::fmax(worst.absolute, std::fabs(static_cast<long double>(value) - expected));
  });
  return worst;
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// ONEPASS_MATH_STEP=1 looks at every float there is; that takes hours.
uint32_t step_from_environment() {
  const char* text = std::getenv("ONEPASS_MATH_STEP");
  return text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10)) | 1u : 4093u;
}
const uint32_t kStep = step_from_environment();

long double gelu_exact(long double x) { return 0.5L * x * std::erfc(-x * std::sqrt(0.5L)); }
long double gelu_tanh_exact(long double x) {
  const long double u = std::sqrt(2.0L / std::acos(-1.0L)) * (x + 0.044715L * x * x * x);
  return x / (1.0L + std::exp(-2.0L * u));
}

TEST(Math, Exp) {
  const auto exact = [](long double x) { return std::exp(x); };
  const Worst worst = worst_error(exp_lowest, 88.7228f, kStep, ref::exp_f32, exact);
  EXPECT_LE(worst.ulp, 1.0) << worst.at;
  EXPECT_GT(worst.ulp, 0.5) << "nothing was measured";
  sweep(-kInf, exp_lowest, kStep, [](float x) { ASSERT_EQ(std::bit_cast<uint32_t>(ref::exp_f32(x)), 0u) << x; });
  sweep(88.7229f, kInf, kStep, [](float x) { ASSERT_EQ(ref::exp_f32(x), kInf) << x; });
  EXPECT_EQ(ref::exp_f32(0.0f), 1.0f);
  EXPECT_EQ(ref::exp_f32(kInf), kInf);
  EXPECT_EQ(ref::exp_f32(-kInf), 0.0f);
  EXPECT_TRUE(std::isnan(ref::exp_f32(kNan)));
}

TEST(Math, Tanh) {
  const auto exact = [](long double x) { return std::tanh(x); };
  const Worst worst = worst_error(-kInf, kInf, kStep, ref::tanh_f32, exact);
  EXPECT_LE(worst.ulp, 2.0) << worst.at;
  EXPECT_EQ(ref::tanh_f32(kInf), 1.0f);
  EXPECT_EQ(ref::tanh_f32(-kInf), -1.0f);
  EXPECT_TRUE(std::signbit(ref::tanh_f32(-0.0f)));
  EXPECT_TRUE(std::isnan(ref::tanh_f32(kNan)));
}

// Both GELUs: within 1e-7, or within two units in the last place where that is more. What remains of a large negative
// x is below 1e-7 and constant.
template <class Function, class Exact>
void expect_gelu(Function function, Exact exact, long double absolute, double tail) {
  EXPECT_LE(worst_error(-kInf, 0.0f, kStep, function, exact).absolute, absolute);
  EXPECT_LE(worst_error(0.0f, 1.0f, kStep, function, exact).ulp, 6.0);
  EXPECT_LE(worst_error(0.0f, 1.0f, kStep, function, exact).absolute, 1e-7L);
  EXPECT_LE(worst_error(1.0f, kInf, kStep, function, exact).ulp, 2.0);
  EXPECT_GT(worst_error(1.0f, kInf, kStep, function, exact).ulp, 0.5) << "nothing was measured";
  sweep(-kInf, 0.0f, kStep, [&](float x) { ASSERT_LE(function(x), 0.0f) << x; });
  EXPECT_EQ(function(-kInf), function(-10.0f));
  EXPECT_LE(-function(-kInf), tail);
  EXPECT_EQ(function(kInf), kInf);
  EXPECT_EQ(function(0.0f), 0.0f);
  EXPECT_TRUE(std::signbit(function(-0.0f)));
  EXPECT_TRUE(std::isnan(function(kNan)));
}
TEST(Math, GeluErf) { expect_gelu(ref::gelu_erf_f32, gelu_exact, 7.1e-8L, 5e-8); }
TEST(Math, GeluTanh) { expect_gelu(ref::gelu_tanh_f32, gelu_tanh_exact, 7.1e-8L, 7e-9); }

TEST(Math, Sigmoid) {
  const auto exact = [](long double x) { return 1.0L / (1.0L + std::exp(-x)); };
  const Worst worst = worst_error(-88.7f, kInf, kStep, ref::sigmoid_f32, exact);
  EXPECT_LE(worst.ulp, 2.5) << worst.at;
  EXPECT_GT(worst.ulp, 0.5) << "nothing was measured";
  EXPECT_LE(worst_error(-kInf, -88.7f, kStep, ref::sigmoid_f32, exact).absolute, 3e-39L);
  EXPECT_EQ(ref::sigmoid_f32(kInf), 1.0f);
  EXPECT_EQ(ref::sigmoid_f32(-kInf), 0.0f);
  EXPECT_EQ(ref::sigmoid_f32(0.0f), 0.5f);
  EXPECT_TRUE(std::isnan(ref::sigmoid_f32(kNan)));
}

TEST(Math, Silu) {
  const auto exact = [](long double x) { return x / (1.0L + std::exp(-x)); };
  const Worst worst = worst_error(-88.0f, kInf, kStep, ref::silu_f32, exact);
  EXPECT_LE(worst.ulp, 2.5) << worst.at;
  EXPECT_LE(worst_error(-1e30f, -88.0f, kStep, ref::silu_f32, exact).absolute, 6e-37L);
  EXPECT_EQ(ref::silu_f32(kInf), kInf);
  EXPECT_TRUE(std::signbit(ref::silu_f32(-0.0f)));
  EXPECT_TRUE(std::isnan(ref::silu_f32(kNan)));
}

// The sweep finds an error of a few units in the last place, so the bounds above mean something.
// What Windows computes, against the processor's or the C library's fused operation.
TEST(Math, FusedInDouble) {
  std::mt19937 random(27);
  size_t twice_rounded_differs = 0;
  const auto compare = [&](float x, float y, float z) {
    const float expected = std::fma(x, y, z), value = ref::fused_in_double(x, y, z);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << x << ' ' << y << ' ' << z;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << x << ' ' << y << ' ' << z;
    }
    twice_rounded_differs += static_cast<float>(static_cast<double>(x) * y + z) != expected && !std::isnan(expected);
  };
  for (int i = 0; i < 1'000'000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    const float y = std::bit_cast<float>(static_cast<uint32_t>(random()));
    // The sum is near the product or its last bit, or anything.
    float z = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (i % 3 != 0 && std::isnormal(x) && std::isnormal(y)) {
      const int exponent = std::ilogb(x) + std::ilogb(y) - static_cast<int>(random() % 60);
      z = std::ldexp(static_cast<float>(random() % 16777216) - 8388608.0f, exponent);
    }
    compare(x, y, z);
    // Halfway between two floats but for a sum far below.
    compare(1.0f + static_cast<float>(random() % 4096) * 0x1p-12f, 1.0f + 0x1p-12f, i % 2 == 0 ? 0x1p-60f : -0x1p-60f);
  }
  for (const float x : {0.0f, -0.0f, 1.0f, kInf, -kInf, kNan, 0x1p-149f, 0x1.fffffep127f}) {
    for (const float y : {0.0f, -1.0f, kInf, 0x1p-149f, 0x1.fffffep127f}) {
      for (const float z : {0.0f, -0.0f, 1.0f, -kInf, 0x1p-149f, -0x1p-149f}) compare(x, y, z);
    }
  }
  EXPECT_GT(twice_rounded_differs, 0u) << "the test has no case in which rounding twice is wrong";
}

TEST(Math, SweepFindsASmallScaleError) {
  const auto wrong = [](float x) { return ref::tanh_f32(x) * 1.0000005f; };
  const auto exact = [](long double x) { return std::tanh(x); };
  EXPECT_GT(worst_error(-kInf, kInf, kStep, wrong, exact).ulp, 3.0);
}

}  // namespace
}  // namespace onepass::test
