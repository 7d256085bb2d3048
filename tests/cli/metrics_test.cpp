// tools/eval: metrics on values worked out by hand, and the CSV reader.
#include "tools/eval/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tools/eval/dataset.h"

namespace onepass::test {
namespace {

using eval::average_precision;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Bytes = std::vector<uint8_t>;

const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(AveragePrecision, ByHand) {
  // Ranks 1 and 3 are right: 1/2 * 1/1 + 1/2 * 2/3.
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.9f, 0.8f, 0.7f, 0.6f}, Bytes{1, 0, 1, 0}), 0.5 + 0.5 * 2 / 3);
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.9f, 0.8f}, Bytes{1, 1}), 1);
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.9f, 0.8f, 0.7f}, Bytes{0, 0, 1}), 1.0 / 3);
  // The order of the input does not matter.
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.6f, 0.7f, 0.9f, 0.8f}, Bytes{0, 1, 1, 0}), 0.5 + 0.5 * 2 / 3);
}

TEST(AveragePrecision, EqualScoresAreOneThreshold) {
  // At 0.5: 1 of 3 right, half of the recall; at 0.1: 2 of 4, the other half.
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.5f, 0.5f, 0.5f, 0.1f}, Bytes{1, 0, 0, 1}), 0.5 / 3 + 0.5 * 2 / 4);
  EXPECT_DOUBLE_EQ(average_precision(Floats{0.5f, 0.5f, 0.5f, 0.1f}, Bytes{0, 0, 1, 1}), 0.5 / 3 + 0.5 * 2 / 4);
  EXPECT_DOUBLE_EQ(average_precision(Floats(10, 0.3f), Bytes{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0.1);
  EXPECT_DOUBLE_EQ(average_precision(Floats(10, 0.3f), Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), 0.1);
}

TEST(AveragePrecision, HasNoAnswer) {
  EXPECT_TRUE(std::isnan(average_precision(Floats{0.5f, 0.4f}, Bytes{0, 0}))) << "nothing to find";
  EXPECT_TRUE(std::isnan(average_precision(Floats{}, Bytes{})));
  std::mt19937 random(1);
  Floats scores(100, kNan);
  Bytes gold(100, 1);
  for (size_t i = 0; i < 100; i += 2) scores[i] = static_cast<float>(random() % 100);
  EXPECT_TRUE(std::isnan(average_precision(scores, gold))) << "NaN has no rank";
}

// scikit-learn 1.x: f1_score(average=...), average_precision_score(average="macro").
TEST(LabelMetrics, ByHand) {
  // Three labels, four texts. Label 0: tp 1, fp 1, fn 1. Label 1: tp 2, fp 0, fn 0. Label 2: never gold, never said.
  const Floats scores = {0.9f, 0.8f, 0.1f,  //
                         0.6f, 0.2f, 0.1f,  //
                         0.3f, 0.7f, 0.1f,  //
                         0.1f, 0.1f, 0.1f};
  const Bytes said = {1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0};
  const Bytes gold = {1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0};
  const auto m = eval::label_metrics(scores, said, gold, 3);
  EXPECT_DOUBLE_EQ(m.macro_f1, (0.5 + 1 + 0) / 3);
  EXPECT_DOUBLE_EQ(m.micro_f1, 2.0 * 3 / (2 * 3 + 1 + 1));
  // Label 0: ranks 1 and 3 of 4; label 1: ranks 1 and 2; label 2 does not occur and is left out.
  EXPECT_DOUBLE_EQ(m.macro_ap, ((0.5 + 0.5 * 2 / 3) + 1) / 2);
}

TEST(LabelMetrics, CalibrationByHand) {
  // Bins are fifteenths: 0.1 in bin 1, 0.9 in bin 13.
  EXPECT_NEAR(eval::label_metrics(Floats{0.1f, 0.9f}, Bytes{0, 1}, Bytes{0, 1}, 1).ece, 0.1, 1e-7);
  // One bin: mean score 0.51, half of them right.
  EXPECT_NEAR(eval::label_metrics(Floats{0.50f, 0.52f}, Bytes{1, 1}, Bytes{0, 1}, 1).ece, 0.01, 1e-7);
  // 1 belongs to the last bin, 0 to the first; two labels of one text.
  EXPECT_NEAR(eval::label_metrics(Floats{1.0f, 0.0f}, Bytes{1, 0}, Bytes{1, 0}, 2).ece, 0, 1e-7);
  EXPECT_NEAR(eval::label_metrics(Floats{1.0f, 0.0f}, Bytes{1, 0}, Bytes{0, 1}, 2).ece, 1, 1e-7);
  // 0.96 and 1 share the last bin: |1.96 - 1| / 2.
  EXPECT_NEAR(eval::label_metrics(Floats{0.96f, 1.0f}, Bytes{1, 1}, Bytes{1, 0}, 1).ece, 0.48, 1e-6);
}

TEST(LabelMetrics, NoLabelOccurs) {
  const auto m = eval::label_metrics(Floats{0.4f, 0.6f}, Bytes{0, 1}, Bytes{0, 0}, 1);
  EXPECT_EQ(m.macro_f1, 0);
  EXPECT_EQ(m.micro_f1, 0);
  EXPECT_TRUE(std::isnan(m.macro_ap)) << "there is no precision without a positive";
  EXPECT_EQ(eval::label_metrics({}, {}, {}, 3).macro_f1, 0);
}

TEST(LabelMetrics, NanIsNotHidden) {
  const auto m = eval::label_metrics(Floats{kNan, 0.6f, 0.3f, 0.2f}, Bytes{0, 1, 0, 0}, Bytes{1, 0, 0, 1}, 2);
  EXPECT_TRUE(std::isnan(m.macro_ap));
  EXPECT_TRUE(std::isnan(m.ece));
}

TEST(Regression, ByHand) {
  const Doubles a = {1, 2, 3}, up = {2, 3, 4}, down = {3, 2, 1}, bent = {1, 2, 6};
  EXPECT_DOUBLE_EQ(eval::pearson(a, up), 1);
  EXPECT_DOUBLE_EQ(eval::pearson(a, down), -1);
  // Deviations -1 0 1 and -2 -1 3: 5 / sqrt(2 * 14).
  EXPECT_DOUBLE_EQ(eval::pearson(a, bent), 5 / std::sqrt(28.0));
  EXPECT_DOUBLE_EQ(eval::concordance(a, a), 1);
  EXPECT_DOUBLE_EQ(eval::concordance(a, up), (4.0 / 3) / (4.0 / 3 + 1));
  EXPECT_DOUBLE_EQ(eval::concordance(a, down), -1);
  EXPECT_DOUBLE_EQ(eval::concordance(a, bent), (2 * 5.0 / 3) / (2.0 / 3 + 14.0 / 3 + 1));
  EXPECT_DOUBLE_EQ(eval::mean_absolute_error(a, bent), 1);
  EXPECT_DOUBLE_EQ(eval::mean_absolute_error(a, up), 1);
}

TEST(Regression, HasNoAnswer) {
  for (const double constant : {0.0, 1.0, 0.1, 1e-7, 12345.678}) {
    for (size_t n = 1; n < 20; ++n) {
      Doubles flat(n, constant), rising(n);
      for (size_t i = 0; i < n; ++i) rising[i] = static_cast<double>(i);
      EXPECT_TRUE(std::isnan(eval::pearson(flat, rising))) << n << " times " << constant << " has no variance";
      EXPECT_TRUE(std::isnan(eval::pearson(rising, flat))) << n << " times " << constant;
    }
  }
  const Doubles a = {1, 2, std::numeric_limits<double>::quiet_NaN()}, b = {1, 2, 3};
  EXPECT_TRUE(std::isnan(eval::pearson(a, b)));
  EXPECT_TRUE(std::isnan(eval::concordance(a, b)));
  EXPECT_TRUE(std::isnan(eval::mean_absolute_error(a, b)));
}

TEST(Csv, Rfc4180) {
  using Rows = std::vector<std::vector<std::string>>;
  const auto parse = [](std::string_view text) {
    auto rows = eval::parse_csv(text, "test");
    EXPECT_TRUE(rows.ok()) << text;
    return rows.ok() ? std::move(rows).value() : Rows{};
  };
  EXPECT_EQ(parse(""), Rows{});
  EXPECT_EQ(parse("a,b\nc,d"), (Rows{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(parse("a,b\r\nc,d\r\n"), (Rows{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(parse("\"a,b\",c\n"), (Rows{{"a,b", "c"}}));
  EXPECT_EQ(parse("\"a\nb\",c\n"), (Rows{{"a\nb", "c"}}));
  EXPECT_EQ(parse("\"say \"\"hi\"\"\",\"\"\n"), (Rows{{"say \"hi\"", ""}}));
  EXPECT_EQ(parse("a,,\n"), (Rows{{"a", "", ""}}));
  EXPECT_EQ(parse("\"\"\n"), (Rows{{""}}));
  EXPECT_EQ(parse("5\" nails,x\n"), (Rows{{"5\" nails", "x"}}));
  const auto open = eval::parse_csv("a,\"b\n", "test");
  ASSERT_FALSE(open.ok());
  EXPECT_EQ(open.code(), Code::bad_syntax);
}

}  // namespace
}  // namespace onepass::test
