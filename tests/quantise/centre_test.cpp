// The biases of heads take up what quantised logits are off by on average, and no more than is not chance.
#include "tools/quantise/centre.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/quantise/models.h"

namespace onepass::test {
namespace {

using convert::WeightType;

TEST(Centre, TakesUpWhatIsNotChance) {
  // Differences of two classes: 1 +- 0.5, whose mean has a standard error of 0.5 / sqrt(3), and as much up as down.
  const std::vector<float> f32 = {3.5f, 2, 2.5f, 1, 3.5f, 2, 2.5f, 1}, logits = {2, 1, 2, 2, 2, 1, 2, 2};
  const std::vector<double> shifts = quantise::mean_shifts(f32, logits, 2);
  ASSERT_EQ(shifts.size(), 2u);
  EXPECT_NEAR(shifts[0], 1 - 0.25 / 3, 1e-12);
  EXPECT_EQ(shifts[1], 0);
  EXPECT_EQ(quantise::mean_shifts(f32, f32, 2), (std::vector<double>{0, 0}));
  EXPECT_EQ(quantise::mean_shifts({f32.data(), 2}, {logits.data(), 2}, 2), (std::vector<double>{0, 0}))
      << "one row says nothing of the next";
}

struct Off {
  std::vector<double> mean, chance;  // of each class; chance: the standard error of the mean
};

Off off_by(const std::vector<float>& f32, const std::vector<float>& logits, size_t classes) {
  Off off{std::vector<double>(classes, 0.0), std::vector<double>(classes, 0.0)};
  const auto rows = static_cast<double>(f32.size() / classes);
  const auto difference = [&](size_t i) { return static_cast<double>(f32[i]) - static_cast<double>(logits[i]); };
  for (size_t i = 0; i < f32.size(); ++i) off.mean[i % classes] += difference(i) / rows;
  for (size_t i = 0; i < f32.size(); ++i) off.chance[i % classes] += std::pow(difference(i) - off.mean[i % classes], 2);
  for (double& c : off.chance) c = std::sqrt(c / (rows - 1) / rows);
  return off;
}

// Of heads side by side, and of tokens.
TEST(Centre, NoMeanIsOffByMoreThanItsStandardError) {
  for (const char* name : {"bert/own_heads", "deberta_v2/v3", "modernbert/tokens"}) {
    const convert::Options options{.source = fixtures() / name, .weights = WeightType::int4};
    const quantise::Options codes{.texts = made_up_texts(80, 11)};
    const Model reference = opened(converted(in_f32(options)));
    const std::vector<float> f32 = logits_of(reference, codes.texts);
    const size_t classes = reference.total_classes();
    const Off plain = off_by(f32, logits_of(opened(quantised(options, nullptr)), codes.texts), classes);
    const Off centred = off_by(f32, logits_of(opened(quantised(options, &codes)), codes.texts), classes);
    size_t beyond = 0;
    for (size_t c = 0; c < classes; ++c) {
      beyond += std::fabs(plain.mean[c]) > plain.chance[c] ? 1 : 0;
      EXPECT_LE(std::fabs(centred.mean[c]), centred.chance[c] + 1e-5) << name << " class " << c;
    }
    EXPECT_GT(beyond, 0u) << name << ": there is something to take up";
  }
}

}  // namespace
}  // namespace onepass::test
