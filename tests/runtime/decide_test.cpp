// Scores, labels and confidence against double precision.
#include "engine/runtime/decide.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <random>

#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

struct OwnedHead {
  std::vector<std::string> names;
  std::vector<std::string_view> labels;
  std::vector<float> thresholds;
  HeadView view;
};

OwnedHead make_head(HeadKind kind, size_t classes, float temperature = 1, float low = -FLT_MAX, float high = FLT_MAX) {
  OwnedHead head;
  for (size_t c = 0; c < classes; ++c) head.names.push_back("label " + std::to_string(c));
  head.labels.assign(head.names.begin(), head.names.end());
  if (kind == HeadKind::multi_label) head.thresholds.assign(classes, 0.5f);
  head.view = {"head", kind, head.labels, head.thresholds, temperature, low, high};
  return head;
}

std::vector<float> scores_of(const HeadView& head, const std::vector<float>& logits) {
  std::vector<float> scores(logits.size(), -7);
  head_scores(head, logits, scores);
  return scores;
}

// The exponent is computed in float, so the error grows with it; below the smallest normal float only size matters.
bool close(float score, double gold, double exponent) {
  const double relative = (8 + 4 * std::fabs(exponent)) * 0x1p-24;
  return std::fabs(static_cast<double>(score) - gold) <= gold * relative + 2.4e-38;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  std::vector<double> out;
  double sum = 0;
  for (const float x : logits) sum += out.emplace_back(std::exp((static_cast<double>(x) - top) / temperature));
  for (double& p : out) p /= sum;
  return out;
}

TEST(Decide, TheComparisonRejectsSmallErrors) {
  EXPECT_TRUE(close(0.25f, 0.25, 0));
  EXPECT_FALSE(close(0.25f, 0.25 * (1 + 1e-5), 0));
  EXPECT_FALSE(close(NAN, 0.25, 0));
  EXPECT_FALSE(close(-0.25f, 0.25, 0));
}

TEST(Decide, Softmax) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const size_t classes : {2u, 3u, 28u, 1000u}) {
    for (const float temperature : {0.05f, 0.75f, 1.0f, 20.0f}) {
      for (const float spread : {0.01f, 1.0f, 30.0f}) {
        std::vector<float> logits(classes);
        for (float& x : logits) x = spread * normal(random);
        const auto scores = scores_of(make_head(HeadKind::single_label, classes, temperature).view, logits);
        const auto gold = softmax(logits, static_cast<double>(temperature));
        const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
        double sum = 0;
        for (size_t c = 0; c < classes; ++c) {
          const double exponent = (static_cast<double>(logits[c]) - top) / static_cast<double>(temperature);
          // A sum of many floats in order: half an ulp a term at worst.
          const double terms = static_cast<double>(classes) / 8;
          EXPECT_TRUE(close(scores[c], gold[c], exponent - terms)) << scores[c] << " for " << gold[c];
          sum += static_cast<double>(scores[c]);
        }
        EXPECT_NEAR(sum, 1, 1e-5);
      }
    }
  }
}

TEST(Decide, Sigmoid) {
  for (const float temperature : {0.05f, 1.0f, 1.25f, 20.0f}) {
    const OwnedHead head = make_head(HeadKind::multi_label, 1, temperature);
    for (float x = -120; x <= 120; x += 0.37f) {
      const double exponent = static_cast<double>(x) / static_cast<double>(temperature);
      EXPECT_TRUE(close(scores_of(head.view, {x})[0], 1 / (1 + std::exp(-exponent)), exponent)) << x;
    }
  }
}

TEST(Decide, ExtremeLogitsGiveProbabilities) {
  const std::vector<float> extremes = {-FLT_MAX, FLT_MAX, 0.0f, -0.0f, FLT_MIN, -1e-45f, 3e38f, -1e4f, 88.8f, -104.0f};
  for (const HeadKind kind : {HeadKind::single_label, HeadKind::multi_label}) {
    for (const float temperature : {FLT_TRUE_MIN, FLT_MIN, 1.0f, FLT_MAX}) {
      const auto scores = scores_of(make_head(kind, extremes.size(), temperature).view, extremes);
      for (const float score : scores) {
        EXPECT_GE(score, 0.0f) << temperature;
        EXPECT_LE(score, 1.0f) << temperature;
      }
    }
  }
  EXPECT_EQ(scores_of(make_head(HeadKind::multi_label, 3).view, {-FLT_MAX, 0, FLT_MAX}),
            (std::vector<float>{0, 0.5f, 1}));
  EXPECT_EQ(scores_of(make_head(HeadKind::single_label, 2).view, {-FLT_MAX, FLT_MAX}), (std::vector<float>{0, 1}));
}

TEST(Decide, RegressionIsClamped) {
  const auto head = make_head(HeadKind::regression, 5, 3, -1, 1);
  EXPECT_EQ(scores_of(head.view, {-2, -1, 0.25f, 1, 1e30f}), (std::vector<float>{-1, -1, 0.25f, 1, 1}))
      << "and the temperature is not applied";
  EXPECT_EQ(scores_of(make_head(HeadKind::regression, 2).view, {-FLT_MAX, 1e30f}),
            (std::vector<float>{-FLT_MAX, 1e30f}));
}

TEST(Decide, TheFirstOfEqualsWins) {
  const auto head = make_head(HeadKind::single_label, 4);
  const auto scores = scores_of(head.view, {1, 2, 2, 2});
  EXPECT_EQ(scores[1], scores[3]);
  for (size_t c = 0; c < 4; ++c) EXPECT_EQ(label_applies(head.view, scores, c), c == 1);
  const auto equal = scores_of(head.view, {-5, -5, -5, -5});
  EXPECT_EQ(equal, std::vector<float>(4, 0.25f));
  for (size_t c = 0; c < 4; ++c) EXPECT_EQ(label_applies(head.view, equal, c), c == 0);
}

TEST(Decide, ThresholdsAreReachedByEquality) {
  auto head = make_head(HeadKind::multi_label, 4);
  head.thresholds = {0.25f, 0.25f, 0.0f, 1.0f};
  head.view.thresholds = head.thresholds;
  const std::vector<float> scores = {0.25f, std::nextafter(0.25f, 0.0f), 0.0f, std::nextafter(1.0f, 0.0f)};
  const std::vector<bool> expected = {true, false, true, false};
  for (size_t c = 0; c < 4; ++c) EXPECT_EQ(label_applies(head.view, scores, c), expected[c]) << c;
  const auto regression = make_head(HeadKind::regression, 1);
  EXPECT_FALSE(label_applies(regression.view, std::vector<float>{1}, 0));
}

TEST(Decide, Confidence) {
  EXPECT_EQ(head_confidence(make_head(HeadKind::single_label, 3).view, std::vector<float>{0.2f, 0.7f, 0.1f}), 0.7f);
  EXPECT_EQ(head_confidence(make_head(HeadKind::multi_label, 3).view, std::vector<float>{0.2f, 0.1f, 0.05f}), 0.2f);
  EXPECT_EQ(head_confidence(make_head(HeadKind::regression, 1).view, std::vector<float>{0.2f}), 1.0f);
}

TEST(Decide, HeadsLieSideBySide) {
  const auto regression = make_head(HeadKind::regression, 2, 1, -1, 1);
  const auto multi = make_head(HeadKind::multi_label, 3);
  const auto single = make_head(HeadKind::single_label, 2);
  const std::vector<float> logits = {5, -0.5f, 0, 1, -1, 2, 5};
  std::vector<float> scores(7);
  const std::vector<HeadView> all = {regression.view, multi.view, single.view};
  const float confidence = all_scores(all, logits.data(), scores.data());
  EXPECT_EQ(scores[0], 1);
  EXPECT_EQ(scores[1], -0.5f);
  EXPECT_EQ(scores[2], 0.5f);
  EXPECT_EQ(confidence, scores[3]) << "of the first head that has labels, though the third is surer";
  EXPECT_GT(scores[6], confidence);
  EXPECT_NEAR(scores[5] + scores[6], 1, 1e-6);
  const std::vector<HeadView> swapped = {single.view, multi.view};
  EXPECT_EQ(all_scores(swapped, logits.data() + 2, scores.data()), scores[1]);
  const std::vector<HeadView> none = {regression.view};
  EXPECT_EQ(all_scores(none, logits.data(), scores.data()), 1.0f);
}

}  // namespace
}  // namespace onepass::test
