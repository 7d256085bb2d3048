// compare() against the same numbers computed here from the logits, and what it says of a model that was damaged.
#include "tools/convert/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "tests/models/expected.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::Report;
using convert::WeightType;

const std::vector<std::string> kTexts = {"The cat is happy.",  "",  "What?! Thank-you, you're VERY good",
                                         "hating loved sadly", "x", "I love the happy dog",
                                         "not a bad cat"};

ModelContent content_of(const std::string& name, WeightType weights) {
  auto content = convert::convert_folder({.source = fixtures() / name, .weights = weights}, nullptr);
  if (!content.ok()) throw std::runtime_error(std::string(content.error().where) + ": " + content.error().message);
  return std::move(content).value();
}

Report compared(const ModelContent& a, const ModelContent& b, const std::vector<std::string>& texts = kTexts) {
  auto report = convert::compare(a, b, texts, [](size_t) {});
  if (!report.ok()) throw std::runtime_error(std::string(report.error().where) + ": " + report.error().message);
  return std::move(report).value();
}

// [texts][classes]
std::vector<std::vector<double>> logits_of(const ModelContent& content) {
  const auto bytes = serialize_model(content);
  const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
  auto session = Session::create(model.value(), {});
  std::vector<std::vector<double>> out;
  for (const std::string& text : kTexts) {
    const std::string_view view = text;
    std::vector<float> logits(model.value().total_classes());
    TextResult result;
    EXPECT_TRUE(session.value().classify({&view, 1}, {}, {&result, 1}, logits, {}).ok());
    out.emplace_back(logits.begin(), logits.end());
  }
  return out;
}

double plain_kl(std::vector<double> a, std::vector<double> b) {
  const auto normalise = [](std::vector<double>& v) {
    double sum = 0;
    for (double& x : v) sum += x = std::exp(x);
    for (double& x : v) x /= sum;
  };
  normalise(a);
  normalise(b);
  double kl = 0;
  for (size_t c = 0; c < a.size(); ++c) kl += a[c] * std::log(a[c] / b[c]);
  return kl;
}

double outcomes_kl(const std::vector<double>& a, const std::vector<double>& b, double temperature) {
  double kl = 0;
  for (size_t c = 0; c < a.size(); ++c) {
    const double p = 1 / (1 + std::exp(-a[c] / temperature)), q = 1 / (1 + std::exp(-b[c] / temperature));
    kl += p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
  }
  return kl / static_cast<double>(a.size());
}

TEST(Verify, AModelAgreesWithItself) {
  const ModelContent f32 = content_of("bert/own_heads", WeightType::f32);
  const Report report = compared(f32, f32);
  EXPECT_EQ(report.max_difference, 0);
  EXPECT_EQ(report.mean_difference, 0);
  EXPECT_EQ(report.other_tokens, 0u);
  ASSERT_EQ(report.heads.size(), 2u);
  EXPECT_EQ(report.heads[0].agreement, 1);
  EXPECT_EQ(report.heads[0].top_agreement, 1);
  EXPECT_EQ(report.heads[0].max_kl, 0);
  EXPECT_EQ(report.heads[1].max_value_difference, 0);
  ASSERT_EQ(report.stages.size(), 3u);
  EXPECT_EQ(report.stages[0].name, "embed");
  EXPECT_EQ(report.stages[2].name, "layers.1");
  for (const auto& stage : report.stages) EXPECT_EQ(stage.relative_error, 0);
}

TEST(Verify, NumbersAreThoseOfTheLogits) {
  for (const char* name : {"bert/two_classes", "bert/multi_label"}) {
    const ModelContent f32 = content_of(name, WeightType::f32), int8 = content_of(name, WeightType::int8);
    const Report report = compared(f32, int8);
    const auto a = logits_of(f32), b = logits_of(int8);
    double max = 0, sum = 0, kl = 0, max_kl = 0, top = 0;
    size_t worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      for (size_t c = 0; c < a[i].size(); ++c) {
        const double d = std::fabs(a[i][c] - b[i][c]);
        sum += d;
        if (d > max) max = d, worst = i;
      }
      const double one = f32.heads[0].kind == HeadKind::multi_label
                             ? outcomes_kl(a[i], b[i], static_cast<double>(f32.heads[0].temperature))
                             : plain_kl(a[i], b[i]);
      kl += one;
      max_kl = std::max(max_kl, one);
      top += std::max_element(a[i].begin(), a[i].end()) - a[i].begin() ==
             std::max_element(b[i].begin(), b[i].end()) - b[i].begin();
    }
    const auto texts = static_cast<double>(a.size());
    ASSERT_GT(max, 1e-4);
    EXPECT_DOUBLE_EQ(report.max_difference, max);
    EXPECT_DOUBLE_EQ(report.mean_difference, sum / (texts * static_cast<double>(a[0].size())));
    EXPECT_NEAR(report.heads[0].mean_kl, kl / texts, 1e-6 * kl);
    EXPECT_NEAR(report.heads[0].max_kl, max_kl, 1e-6 * max_kl);
    EXPECT_DOUBLE_EQ(report.heads[0].top_agreement, top / texts);
    ASSERT_EQ(report.worst.size(), kTexts.size());
    EXPECT_EQ(report.worst[0].text, worst);
    EXPECT_DOUBLE_EQ(report.worst[0].difference, max);
    for (size_t i = 1; i < report.worst.size(); ++i) {
      EXPECT_GE(report.worst[i - 1].difference, report.worst[i].difference);
    }
  }
}

// Values of another size in one layer: nothing differs before it, everything behind it.
TEST(Verify, TheStageOfTheDamageIsSeen) {
  const ModelContent f32 = content_of("bert/own_heads", WeightType::f32);
  ModelContent damaged = f32;
  for (TensorContent& tensor : damaged.tensors) {
    if (tensor.name != "layers.1.ffn.norm.b") continue;
    tensor.fill = [inner = tensor.fill](std::span<uint8_t> out) -> Status {
      ONEPASS_TRY(inner(out));
      float first;
      std::memcpy(&first, out.data(), sizeof(first));
      first += 1;
      std::memcpy(out.data(), &first, sizeof(first));
      return {};
    };
  }
  const Report report = compared(f32, damaged);
  EXPECT_EQ(report.stages[0].relative_error, 0);
  EXPECT_EQ(report.stages[1].relative_error, 0);
  EXPECT_GT(report.stages[2].relative_error, 0.01);
  EXPECT_GT(report.max_difference, 0);
  EXPECT_GT(report.heads[1].max_value_difference, 0);
  EXPECT_GE(report.heads[1].max_value_difference, report.heads[1].mean_value_difference);
}

TEST(Verify, OtherTokensAreCounted) {
  const ModelContent f32 = content_of("bert/own_heads", WeightType::f32);
  convert::Options options{.source = fixtures() / "bert/own_heads", .weights = WeightType::f32};
  options.trim.corpus = {"The cat is happy."};
  const auto small = convert::convert_folder(options, nullptr);
  ASSERT_TRUE(small.ok());
  const Report report = compared(f32, small.value(), {"The cat is happy.", "The dog is happy."});
  EXPECT_EQ(report.other_tokens, 1u);
  EXPECT_EQ(report.candidate_tokens, report.reference_tokens + 2) << "d ##o ##g for dog";
  EXPECT_EQ(report.worst[0].text, 1u);
  EXPECT_EQ(report.worst[1].difference, 0);
  for (const auto& stage : report.stages) EXPECT_EQ(stage.relative_error, 0) << "of the text whose tokens are the same";
  EXPECT_NE(convert::report_text(report).find("other tokens than before in 1 texts (50.00 %)"), std::string::npos)
      << convert::report_text(report);
}

TEST(Verify, LabelsOfTokensWithoutAPartnerAreLeftOut) {
  const ModelContent f32 = content_of("bert/tokens", WeightType::f32);
  convert::Options options{.source = fixtures() / "bert/tokens", .weights = WeightType::f32};
  options.trim.corpus = {"The cat is happy."};
  const auto small = convert::convert_folder(options, nullptr);
  ASSERT_TRUE(small.ok());
  const Report report = compared(f32, small.value(), {"The cat is happy.", "The dog is happy."});
  EXPECT_EQ(report.not_compared, 1u);
  EXPECT_EQ(report.max_difference, 0);
  EXPECT_EQ(report.heads[0].agreement, 1);
}

}  // namespace
}  // namespace onepass::test
