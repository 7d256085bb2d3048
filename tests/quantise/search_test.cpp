// Mixed precision: every tensor is measured, and what is chosen keeps what was asked for.
#include "tools/quantise/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "engine/runtime/decide.h"
#include "formats/json/json.h"
#include "tests/quantise/models.h"
#include "tools/quantise/deviations.h"

namespace onepass::test {
namespace {

using convert::WeightType;
using kernels::Layout;
using quantise::Effect;
using quantise::SearchOptions;
using quantise::Task;

const convert::Options kOptions{.source = fixtures() / "bert/own_heads"};

size_t bytes_of(const ModelContent& content) { return serialize_model(content).value().size(); }

// What f32 says is right.
Task own_labels(const std::vector<std::string>& texts) {
  const Model model = opened(converted(in_f32(kOptions)));
  const std::vector<float> logits = logits_of(model, texts);
  Task task{.name = "labels", .metric = Task::Metric::micro_f1, .texts = texts, .gold = {}, .values = {}};
  std::vector<float> scores(model.total_classes());
  const HeadView& head = model.heads()[0];
  for (size_t b = 0; b < texts.size(); ++b) {
    all_scores(model.heads(), logits.data() + b * scores.size(), scores.data());
    for (size_t c = 0; c < head.labels.size(); ++c) {
      task.gold.push_back(label_applies(head, {scores.data(), head.labels.size()}, c) ? 1 : 0);
    }
  }
  return task;
}

TEST(Search, EveryTensorIsMeasuredInEveryForm) {
  ModelContent content = converted(kOptions);
  const size_t before = bytes_of(content);
  SearchOptions options{.codes = {.texts = made_up_texts(60, 1)}, .tasks = {}};
  size_t last = 0, total = 0;
  const auto report =
      quantise::search_precision(converted(in_f32(kOptions)), options, content, [&](size_t a, size_t b) {
        EXPECT_GE(a, last);
        last = a;
        total = b;
      });
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(last, total);
  EXPECT_EQ(bytes_of(content), before) << "without a task nothing is chosen";
  std::set<std::string> measured, expected;
  double by_type[6] = {};
  for (const Effect& e : report->effects) {
    measured.insert(e.tensor);
    EXPECT_TRUE(std::isfinite(e.sensitivity) && e.sensitivity >= 0) << e.tensor;
    EXPECT_GE(e.max_difference, e.mean_difference);
    by_type[static_cast<size_t>(kernels::dtype_of(e.layout))] += e.sensitivity;
  }
  for (const TensorContent& t : content.tensors) {
    const kernels::Dtype type = kernels::dtype_of(t.layout);
    if (type == kernels::Dtype::i8) expected.insert(t.name);
  }
  EXPECT_EQ(measured, expected);
  EXPECT_LT(by_type[static_cast<size_t>(kernels::Dtype::f16)], by_type[static_cast<size_t>(kernels::Dtype::i8)]);
  EXPECT_LT(by_type[static_cast<size_t>(kernels::Dtype::i8)], by_type[static_cast<size_t>(kernels::Dtype::i4)]);
  const Json json = Json::parse(quantise::effects_json(report->effects));
  ASSERT_EQ(json.size(), report->effects.size());
  EXPECT_EQ(json[0]["tensor"], report->effects[0].tensor);
  const std::string svg = quantise::effects_svg(report->effects, "a < b");
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  for (const std::string& name : measured) {
    EXPECT_NE(svg.find(">" + name + "<"), std::string::npos) << name;
    EXPECT_NE(quantise::effects_table(report->effects).find(name), std::string::npos);
  }
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Search, WhatIsChosenKeepsTheMetric) {
  const std::vector<std::string> texts = made_up_texts(200, 2);
  size_t smaller = SIZE_MAX;
  for (const double drop : {0.005, 0.5}) {
    ModelContent content = converted(kOptions);
    SearchOptions options{.codes = {.texts = made_up_texts(60, 1)}, .max_drop = drop, .tasks = {own_labels(texts)}};
    const auto report =
        quantise::search_precision(converted(in_f32(kOptions)), options, content, [](size_t, size_t) {});
    ASSERT_TRUE(report.ok()) << report.error().message;
    ASSERT_EQ(report->measured.size(), 1u);
    EXPECT_EQ(report->measured[0].f32, 1.0);
    EXPECT_GE(report->measured[0].chosen, 1.0 - drop);
    EXPECT_GT(report->evaluations, 0u);
    // The file says the same.
    const Model model = opened(content);
    const std::vector<float> logits = logits_of(model, texts);
    const Task task = own_labels(texts);
    const HeadView& head = model.heads()[0];
    std::vector<float> scores(model.total_classes());
    size_t right = 0, wrong = 0;
    for (size_t b = 0; b < texts.size(); ++b) {
      all_scores(model.heads(), logits.data() + b * scores.size(), scores.data());
      for (size_t c = 0; c < head.labels.size(); ++c) {
        const bool said = label_applies(head, {scores.data(), head.labels.size()}, c);
        const bool gold = task.gold[b * head.labels.size() + c] != 0;
        right += said && gold ? 1 : 0;
        wrong += said != gold ? 1 : 0;
      }
    }
    EXPECT_NEAR(2.0 * static_cast<double>(right) / static_cast<double>(2 * right + wrong), report->measured[0].chosen,
                1e-12);
    EXPECT_LE(bytes_of(content), smaller);
    smaller = bytes_of(content);
  }
  EXPECT_LT(smaller, bytes_of(converted(kOptions))) << "int8 throughout";
}

TEST(Search, AMetricThatCannotBeKeptIsAnError) {
  const std::vector<std::string> texts = made_up_texts(20, 2);
  Task constant{.name = "pad", .head = 1, .metric = Task::Metric::pearson, .texts = texts, .gold = {}, .values = {}};
  constant.values.assign(texts.size() * 3, 0.5);
  ModelContent content = converted(kOptions);
  SearchOptions options{.codes = {.texts = texts}, .max_drop = 0.5, .tasks = {constant}};
  const auto report = quantise::search_precision(converted(in_f32(kOptions)), options, content, [](size_t, size_t) {});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::bad_value);
}

TEST(Deviations, AreNamed) {
  const auto of = [](const convert::Options& options) { return quantise::deviations(options, converted(options)); };
  convert::Options options = kOptions;
  EXPECT_TRUE(of(options).empty());
  options.weights = WeightType::f16;
  EXPECT_TRUE(of(options).empty());
  // Narrower than a group.
  options.weights = WeightType::int4;
  const auto padded = of(options);
  ASSERT_FALSE(padded.empty());
  EXPECT_NE(padded[0].find("no whole pairs of groups of 32"), std::string::npos) << padded[0];
  // Tables have types of their own.
  options.embeddings = WeightType::int4;
  options.positions = WeightType::int8;
  options.weights = WeightType::int8;
  for (const TensorContent& t : converted(options).tensors) {
    const bool positions = t.name == "embed.position.w" || t.name == "embed.type.w";
    if (!positions && t.name != "embed.token.w") continue;
    EXPECT_EQ(t.layout, positions ? Layout::i8_rows : Layout::i4g32_rows) << t.name;
  }
  for (const std::string& line : of(options)) EXPECT_NE(line.find("embed.token.w"), std::string::npos) << line;
  ModelContent content = converted(kOptions);
  for (TensorContent& t : content.tensors) {
    if (t.name == "layers.0.attn.qkv.w") t.layout = Layout::f16_n16;
  }
  const auto other = quantise::deviations(kOptions, content);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_NE(other[0].find("layers.0.attn.qkv.w is f16_n16"), std::string::npos) << other[0];
}

}  // namespace
}  // namespace onepass::test
