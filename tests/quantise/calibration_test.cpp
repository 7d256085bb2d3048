// Calibration: what is known of a product's inputs is true, and codes chosen by it keep a model's answers better, in
// every family.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "formats/json/json.h"
#include "tests/quantise/models.h"
#include "tools/quantise/stages.h"
#include "tools/quantise/workbench.h"

namespace onepass::test {
namespace {

using convert::WeightType;
using quantise::Moments;
using quantise::StageProduct;
using quantise::Workbench;

std::unique_ptr<Workbench> workbench(const std::string& name, AttentionType attention = AttentionType::f32) {
  auto bench = Workbench::open(converted(in_f32({.source = fixtures() / name})), attention);
  if (!bench.ok()) throw std::runtime_error(bench.error().message);
  return std::move(bench).value();
}

// Where norms come last, a layer's products read the rows that the stage before leaves behind.
TEST(Calibration, MomentsAreThoseOfTheRows) {
  const auto bench = workbench("bert/own_heads");
  const std::vector<std::string> texts = made_up_texts(300, 1);
  const auto tokens = bench->tokenize(texts);
  ASSERT_TRUE(tokens.ok());
  struct Seen {
    std::vector<double> rows;
    size_t width = 0;
  } seen;
  auto session = Session::create(bench->model(), {});
  ASSERT_TRUE(session.ok());
  std::vector<float> logits(bench->model().total_classes());
  for (size_t b = 0; b < tokens->size(); ++b) {
    const std::span<const uint32_t> ids(tokens->ids.data() + tokens->starts[b],
                                        tokens->starts[b + 1] - tokens->starts[b]);
    const uint32_t starts[] = {0, static_cast<uint32_t>(ids.size())};
    const StageObserver observer{[](void* context, const char* stage, const float* rows, size_t count, size_t width) {
                                   if (std::string_view(stage) != "layers.0") return;
                                   auto& s = *static_cast<Seen*>(context);
                                   s.width = width;
                                   for (size_t i = 0; i < count * width; ++i) {
                                     s.rows.push_back(static_cast<double>(rows[i]));
                                   }
                                 },
                                 &seen};
    ASSERT_TRUE(session.value().run_ids(ids, starts, logits, observer).ok());
  }
  ASSERT_GT(bench->config().layers, 1u);
  Moments moments;
  const Workbench::Wanted wanted[] = {{bench->find(Slot::attn_qkv_w, 1), &moments}};
  size_t done = 0;
  ASSERT_TRUE(bench->collect(tokens.value(), wanted, [&](size_t texts_done) { done = texts_done; }).ok());
  EXPECT_EQ(done, texts.size());
  const size_t k = seen.width, count = seen.rows.size() / k;
  ASSERT_EQ(moments.k, k);
  ASSERT_EQ(moments.rows, count);
  ASSERT_GT(count, 1024u) << "more than one block, and not whole ones";
  EXPECT_GE(moments.sample_rows(), 256u);
  EXPECT_LT(moments.sample_rows(), 512u);
  for (size_t i = 0; i < k; ++i) {
    double sum = 0, peak = 0;
    for (size_t r = 0; r < count; ++r) {
      sum += seen.rows[r * k + i];
      peak = std::max(peak, std::fabs(seen.rows[r * k + i]));
    }
    EXPECT_NEAR(moments.mean[i], sum / static_cast<double>(count), 1e-6);
    EXPECT_EQ(static_cast<double>(moments.peak[i]), peak);
    for (size_t j = 0; j < k; ++j) {
      double product = 0;
      for (size_t r = 0; r < count; ++r) product += seen.rows[r * k + i] * seen.rows[r * k + j];
      EXPECT_NEAR(moments.second[i * k + j], product / static_cast<double>(count), 2e-5) << i << "," << j;
    }
  }
}

TEST(Calibration, LayersBehindTheOneOfInterestAreNotRun) {
  const auto bench = workbench("bert/own_heads");
  const auto tokens = bench->tokenize(made_up_texts(40, 2));
  ASSERT_TRUE(tokens.ok());
  Moments alone, with_next, next;
  const size_t down = bench->find(Slot::ffn_down_w, 0), qkv = bench->find(Slot::attn_qkv_w, 1);
  const Workbench::Wanted first[] = {{down, &alone}};
  ASSERT_TRUE(bench->collect(tokens.value(), first, {}).ok());
  const Workbench::Wanted both[] = {{down, &with_next}, {qkv, &next}};
  ASSERT_TRUE(bench->collect(tokens.value(), both, {}).ok());
  EXPECT_EQ(alone.second, with_next.second);
  EXPECT_EQ(alone.rows, with_next.rows);
  EXPECT_EQ(next.rows, tokens->ids.size());
}

TEST(Calibration, AnExchangedTensorComesBack) {
  const auto bench = workbench("qwen2/f32");
  const auto tokens = bench->tokenize(made_up_texts(10, 3));
  ASSERT_TRUE(tokens.ok());
  const auto before = bench->logits(tokens.value(), {});
  ASSERT_TRUE(before.ok());
  for (size_t t = 0; t < bench->tensors().size(); ++t) {
    const Workbench::Tensor& tensor = bench->tensors()[t];
    if (tensor.role != Role::matrix || tensor.scope == Scope::head) continue;
    const std::vector<uint8_t> zeros(kernels::packed_bytes(kernels::Layout::f16_n16, tensor.n, tensor.k));
    ASSERT_TRUE(bench->exchange(t, kernels::Layout::f16_n16, zeros).ok());
    const auto without = bench->logits(tokens.value(), {});
    ASSERT_TRUE(without.ok());
    EXPECT_NE(without.value(), before.value()) << tensor.name;
    ASSERT_TRUE(bench->restore(t).ok());
    const auto again = bench->logits(tokens.value(), {});
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again.value(), before.value()) << tensor.name;
  }
}

// A family's first checkpoint, and those that differ in what precedes a product.
const char* const kFamilies[] = {"albert/two_groups",
                                 "bert/own_heads",
                                 "deberta_v2/v3",
                                 "electra/narrow_embeddings",
                                 "gemma2/",
                                 "gemma3/seven_layers",
                                 "llama/biases_linear",
                                 "mistral/window_5",
                                 "modernbert/biases",
                                 "modernbert/tokens",
                                 "mpnet/two_classes",
                                 "nomic_bert/",
                                 "phi3/partial_longrope",
                                 "qwen2/f32",
                                 "qwen3/",
                                 "roberta/",
                                 "distilbert/",
                                 "xlm_roberta/two_classes"};

std::string first_case(const std::string& name) {
  if (!name.ends_with('/')) return name;
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / name)) {
    if (entry.is_directory()) all.push_back(name + entry.path().filename().string());
  }
  return *std::min_element(all.begin(), all.end());
}

TEST(Calibration, EveryFamilyKeepsMoreOfItsAnswers) {
  const std::vector<std::string> calibration = made_up_texts(150, 4), texts = made_up_texts(60, 5);
  for (const WeightType weights : {WeightType::int4, WeightType::int8}) {
    double logarithms = 0;
    for (const char* family : kFamilies) {
      const std::string name = first_case(family);
      const convert::Options options{.source = fixtures() / name,
                                     .weights = weights,
                                     .embeddings = WeightType::f32,
                                     .attention = AttentionType::f32};
      const std::vector<float> f32 = logits_of(opened(converted(in_f32(options))), texts);
      const quantise::Options codes{.quantiser = quantise::Quantiser::gptq, .texts = calibration};
      quantise::Report report;
      const ModelContent by_gptq = quantised(options, &codes, &report);
      EXPECT_FALSE(report.products.empty()) << name;
      for (const auto& product : report.products) {
        EXPECT_GT(product.error, 0) << name << " " << product.name;
        EXPECT_LT(product.error, weights == WeightType::int4 ? 0.05 : 2e-4) << name << " " << product.name;
      }
      const double mine = mean_square(logits_of(opened(by_gptq), texts), f32);
      const double nearest = mean_square(logits_of(opened(quantised(options, nullptr)), texts), f32);
      ASSERT_TRUE(std::isfinite(mine) && mine > 0) << name;
      logarithms += std::log(mine / nearest);
    }
    // Activations lose as much as int8 weights do, so there is less to win.
    const double ratio = std::exp(logarithms / static_cast<double>(std::size(kFamilies)));
    EXPECT_LT(ratio, weights == WeightType::int4 ? 0.6 : 1.0);
    RecordProperty(weights == WeightType::int4 ? "int4_ratio" : "int8_ratio", std::to_string(ratio));
  }
}

TEST(Calibration, GivesTheSameBytesEveryTime) {
  const convert::Options options{.source = fixtures() / "bert/own_heads", .weights = WeightType::int4};
  const quantise::Options codes{.scale_inputs = true, .texts = made_up_texts(30, 6)};
  const auto first = serialize_model(quantised(options, &codes)), second = serialize_model(quantised(options, &codes));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first.value(), second.value());
}

TEST(Calibration, ScaledInputsLeaveTheModelAsItWas) {
  for (const char* name : {"qwen2/f32", "modernbert/biases", "gemma3/seven_layers"}) {
    const auto bench = workbench(name);
    const auto tokens = bench->tokenize(made_up_texts(100, 7));
    ASSERT_TRUE(tokens.ok());
    const auto before = bench->logits(tokens.value(), {});
    size_t scaled = 0;
    for (const quantise::Stage& stage : quantise::stages_of(*bench, [](size_t) { return true; })) {
      for (const StageProduct& at : stage.products) {
        Moments moments;
        const Workbench::Wanted wanted[] = {{at.weights, &moments}};
        ASSERT_TRUE(bench->collect(tokens.value(), wanted, {}).ok());
        quantise::Product product = quantise::read_product(*bench, at);
        const auto changed = quantise::scale_product(*bench, at, kernels::Layout::i4zg32_n32k4, product, moments);
        ASSERT_TRUE(changed.ok());
        scaled += changed.value() ? 1 : 0;
        if (!changed.value()) continue;
        // The moments are those that the texts now have.
        Moments again;
        const Workbench::Wanted once_more[] = {{at.weights, &again}};
        ASSERT_TRUE(bench->collect(tokens.value(), once_more, {}).ok());
        for (size_t i = 0; i < moments.second.size(); ++i) {
          EXPECT_NEAR(again.second[i], moments.second[i], 1e-4f * (1 + std::fabs(moments.second[i])));
        }
      }
    }
    EXPECT_GT(scaled, 0u) << name;
    const auto after = bench->logits(tokens.value(), {});
    ASSERT_TRUE(before.ok() && after.ok());
    EXPECT_LT(std::sqrt(mean_square(after.value(), before.value())), 1e-4) << name;
  }
}

TEST(Calibration, WhatCannotBeScaledIsSaid) {
  const convert::Options options{.source = fixtures() / "bert/own_heads", .weights = WeightType::int4};
  const quantise::Options codes{.scale_inputs = true, .texts = made_up_texts(30, 6)};
  quantise::Report report;
  quantised(options, &codes, &report);
  EXPECT_EQ(report.deviations.size(), report.products.size()) << "its norms are added to what comes later, too";
  for (const auto& product : report.products) EXPECT_FALSE(product.scaled);
}

// A language model's labels on texts that it was not calibrated with.
TEST(Calibration, LabelWordsAgreeAtLeastAsOften) {
  size_t nearest_agrees = 0, gptq_agrees = 0, texts_seen = 0;
  for (const char* name : {"llama_untied", "qwen2_chat", "gemma2_softcap", "llama_begin_alike", "gemma2_begin_alike",
                           "mobilellm_shared"}) {
    const auto folder = fixtures() / "label_words/lm" / name;
    std::ifstream file(folder / "labels.json");
    const auto json = nlohmann::ordered_json::parse(file);
    convert::Options options{.source = folder, .weights = WeightType::int4};
    options.label_words.prompt = json.at("template").get<std::string>();
    for (const auto& [label, words] : json.at("labels").items()) {
      options.label_words.labels.push_back({label, words.get<std::vector<std::string>>()});
    }
    const std::vector<std::string> texts = made_up_texts(300, 9);
    const quantise::Options codes{.quantiser = quantise::Quantiser::gptq, .texts = made_up_texts(200, 8)};
    const std::vector<float> f32 = logits_of(opened(converted(in_f32(options))), texts);
    const std::vector<float> nearest = logits_of(opened(quantised(options, nullptr)), texts);
    const std::vector<float> by_gptq = logits_of(opened(quantised(options, &codes)), texts);
    const size_t classes = f32.size() / texts.size();
    const auto best = [&](const std::vector<float>& logits, size_t b) {
      const auto at = logits.begin() + static_cast<std::ptrdiff_t>(b * classes);
      return std::max_element(at, at + static_cast<std::ptrdiff_t>(classes)) - at;
    };
    for (size_t b = 0; b < texts.size(); ++b) {
      nearest_agrees += best(nearest, b) == best(f32, b) ? 1 : 0;
      gptq_agrees += best(by_gptq, b) == best(f32, b) ? 1 : 0;
      ++texts_seen;
    }
  }
  RecordProperty("nearest", std::to_string(nearest_agrees));
  RecordProperty("gptq", std::to_string(gptq_agrees));
  EXPECT_GE(gptq_agrees, nearest_agrees);
  EXPECT_GT(gptq_agrees * 10, texts_seen * 8);
}

}  // namespace
}  // namespace onepass::test
