// Statistics against NumPy's answers, and the mistakes that they must not make.
#include "bench/support/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace onepass::bench {
namespace {

// numpy.quantile(x, q) of NumPy 2.4.
TEST(Statistics, QuantilesAreNumpys) {
  const std::vector<double> odd = {5, 1, 4, 2, 3}, even = {4, 1, 3, 2}, one = {7};
  EXPECT_EQ(quantile(odd, 0.5), 3);
  EXPECT_EQ(quantile(even, 0.5), 2.5);  // the mean of the middle pair, not of another
  EXPECT_DOUBLE_EQ(quantile(odd, 0.1), 1.4);
  EXPECT_DOUBLE_EQ(quantile(odd, 0.9), 4.6);
  EXPECT_DOUBLE_EQ(quantile(even, 0.9), 3.7);
  EXPECT_EQ(quantile(odd, 0), 1);
  EXPECT_EQ(quantile(odd, 1), 5);
  EXPECT_EQ(quantile(one, 0.9), 7);
}

TEST(Statistics, NoAnswerIsNotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  EXPECT_TRUE(std::isnan(quantile(std::vector<double>{1, nan, 2}, 0.5)));
  EXPECT_TRUE(std::isnan(quantile(std::vector<double>{1, 2}, 1.5)));
  EXPECT_TRUE(std::isnan(quantile(std::vector<double>{1, 2}, nan)));
  EXPECT_TRUE(std::isnan(median_ratio(std::vector<double>{1, 2}, std::vector<double>{1})));
  EXPECT_TRUE(std::isnan(median_ratio({}, {})));
}

// A neighbour that runs for a tenth of the rounds moves neither the median nor p10, and is counted.
TEST(Statistics, DisturbedRoundsAreCountedAndDoNotMoveTheMedian) {
  std::vector<double> quiet, disturbed;
  for (int i = 0; i < 100; ++i) {
    quiet.push_back(1.0 + 0.001 * (i % 10));
    disturbed.push_back(i % 10 == 3 ? 50.0 : quiet.back());
  }
  const Summary a = summarize(quiet), b = summarize(disturbed);
  EXPECT_EQ(a.outliers, 0u);
  EXPECT_EQ(b.outliers, 10u);
  EXPECT_NEAR(b.median, a.median, 0.002);
  EXPECT_EQ(b.max, 50);
  EXPECT_EQ(a.samples, 100u);
  EXPECT_NEAR(a.spread_percent(), 100 * (1.0081 - 1.0009) / 1.0045, 1e-9);  // numpy.quantile
}

TEST(Statistics, EqualSamplesHaveNoOutlier) {
  const Summary s = summarize(std::vector<double>(20, 3.0));
  EXPECT_EQ(s.outliers, 0u);
  EXPECT_EQ(s.spread_percent(), 0);
}

// A clock that halves in the middle of a run changes both times and not their ratio; medians taken apart, from rounds
// that are not the same, would be off by up to two.
TEST(Statistics, ARatioOfPairsSurvivesAChangeOfTheClock) {
  std::vector<double> kernel, peak;
  for (int i = 0; i < 21; ++i) {
    const double clock = i < 9 ? 1 : 2;
    kernel.push_back(10 * clock);
    peak.push_back(i == 4 ? 90 : 8 * clock);  // one disturbed round
  }
  EXPECT_DOUBLE_EQ(median_ratio(peak, kernel), 0.8);
  EXPECT_NE(median_ratio(kernel, peak), 0.8);
}

TEST(Statistics, Rounding) {
  EXPECT_EQ(rounded(93.82300000000001, 3), 93.823);
  EXPECT_EQ(rounded(-1.25, 1), -1.3);
  EXPECT_EQ(rounded(std::numeric_limits<double>::infinity(), 1), 0);
}

}  // namespace
}  // namespace onepass::bench
