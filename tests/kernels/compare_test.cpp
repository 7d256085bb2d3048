// The comparers reject what a broken kernel produces, and the guards see what a stray access does.
#include "tests/kernels/compare.h"

#include <gtest/gtest.h>

#include "tests/kernels/problems.h"

namespace onepass::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Compare, SameBits) {
  EXPECT_TRUE(same_bits(1.5f, 1.5f));
  EXPECT_TRUE(same_bits(kNan, -kNan));
  EXPECT_FALSE(same_bits(kNan, 1.0f));
  EXPECT_FALSE(same_bits(1.0f, kNan));
  EXPECT_FALSE(same_bits(0.0f, -0.0f));
  EXPECT_FALSE(same_bits(1.0f, std::nextafter(1.0f, 2.0f)));
  EXPECT_FALSE(same_bits(5.0f, -5.0f));
}

TEST(Compare, UlpError) {
  EXPECT_EQ(ulp_error(1.0f, 1.0L), 0.0);
  EXPECT_EQ(ulp_error(std::nextafter(1.0f, 2.0f), 1.0L), 1.0);
  EXPECT_NEAR(ulp_error(1.0f, 1.0L + 0x1p-25L), 0.25, 1e-9);
  EXPECT_GT(ulp_error(1.0f, 1.001L), 4.0);
  EXPECT_GT(ulp_error(-5.0f, -50.0L), 4.0);
  EXPECT_EQ(ulp_error(-1.0f, 1.0L), kInf);
  EXPECT_EQ(ulp_error(kNan, 1.0L), kInf);
  EXPECT_EQ(ulp_error(1.0f, static_cast<long double>(kNan)), kInf);
  EXPECT_EQ(ulp_error(kInf, 1.0L), kInf);
  EXPECT_EQ(ulp_error(0x1p-149f, 0.0L), 1.0);
}

TEST(Compare, Within) {
  EXPECT_TRUE(within(1.0, 1.0, 0.0));
  EXPECT_FALSE(within(std::nan(""), 1.0, 1e30));
  EXPECT_FALSE(within(1.0, std::nan(""), 1e30));
  EXPECT_FALSE(within(-1.0, 1.0, 1e-3));
  EXPECT_FALSE(within(1.001, 1.0, 1e-4));
}

// A right result of a product, then each thing that a broken kernel could do to it.
class Mutation : public testing::Test {
 protected:
  Mutation() : expected_(case_, Flush::front), actual_(case_, Flush::front) {
    kernels::matmul_f32_scalar(expected_.args());
    kernels::matmul_f32_scalar(actual_.args());
  }
  bool rejected() { return !difference(actual_.outputs()[0], expected_.outputs()[0]).empty(); }
  float& at(size_t m, size_t n) {
    const auto args = actual_.args();
    return args.c[m * args.c_stride + n];
  }

 private:
  Case case_ = {3, 20, 7, Problem<kernels::MatmulF32>::wide_strides};
  Problem<kernels::MatmulF32> expected_, actual_;
};

TEST_F(Mutation, RightResultIsAccepted) { EXPECT_FALSE(rejected()); }
TEST_F(Mutation, Nan) {
  at(1, 3) = kNan;
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, SignFlip) {
  at(2, 19) = -at(2, 19);
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, SmallScaleError) {
  at(0, 0) = at(0, 0) * 1.0000002f;
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, SwappedElements) {
  std::swap(at(0, 1), at(0, 2));
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, NotWritten) {
  at(1, 0) = std::bit_cast<float>(kPoisonBits);
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, WrittenBetweenRows) {
  at(0, 20) = 1.0f;
  EXPECT_TRUE(rejected());
}
TEST_F(Mutation, WrittenBehindTheEnd) {
  at(2, 20) = 1.0f;
  EXPECT_TRUE(rejected());
}

#if defined(__SANITIZE_ADDRESS__)
#define ONEPASS_DEATH_REGEX ".*"
#else
#define ONEPASS_DEATH_REGEX ""
#endif

TEST(GuardedDeathTest, FaultsBeyondBothEnds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Guarded<float> front(5, Flush::front), back(5, Flush::back);
  volatile float sink = 0.0f;
  EXPECT_DEATH(sink = *(static_cast<volatile float*>(front.data()) - 1), ONEPASS_DEATH_REGEX);
  EXPECT_DEATH(sink = *(static_cast<volatile float*>(back.data()) + 5), ONEPASS_DEATH_REGEX);
  EXPECT_TRUE(front.intact() && back.intact());
  (void)sink;
}

}  // namespace
}  // namespace onepass::test
