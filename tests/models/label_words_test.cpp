// Label words: a language model's logits of a few words, against the reference's of the same prompt.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "formats/json/json.h"
#include "tests/models/expected.h"
#include "tests/support/near.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::LabelWords;
using convert::WeightType;
using kernels::Isa;

const char* const kCases[] = {"llama_untied", "qwen2_chat", "gemma2_softcap"};

std::filesystem::path folder(const std::string& name) { return fixtures() / "label_words/lm" / name; }

LabelWords labels_of(const std::string& name) {
  std::ifstream file(folder(name) / "labels.json");
  const auto json = nlohmann::ordered_json::parse(file);
  LabelWords out;
  out.prompt = json.at("template").get<std::string>();
  for (const auto& [label, words] : json.at("labels").items()) {
    out.labels.push_back({label, words.get<std::vector<std::string>>()});
  }
  return out;
}

Result<ModelContent> convert_words(const std::string& name, const LabelWords& labels,
                                   WeightType weights = WeightType::f32, std::vector<std::string>* notes = nullptr) {
  return convert::convert_folder({.source = folder(name), .weights = weights, .label_words = labels}, notes);
}

Model open_content(const Result<ModelContent>& content) {
  if (!content.ok()) throw std::runtime_error(std::string(content.error().where) + ": " + content.error().message);
  const auto bytes = serialize_model(content.value());
  if (!bytes.ok()) throw std::runtime_error(bytes.error().message);
  auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
  if (!model.ok()) throw std::runtime_error(std::string(model.error().where) + ": " + model.error().message);
  return std::move(model).value();
}

struct Answers {
  std::vector<float> logits, scores;
};
Answers classify(const Model& model, const std::vector<std::string>& texts, const SessionOptions& options = {}) {
  auto session = Session::create(model, options);
  if (!session.ok()) throw std::runtime_error(session.error().message);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  Answers out{std::vector<float>(texts.size() * model.total_classes()),
              std::vector<float>(texts.size() * model.total_classes())};
  std::vector<TextResult> results(texts.size());
  const Status status = session.value().classify(views, {}, results, out.logits, out.scores);
  if (!status.ok()) throw std::runtime_error(status.error().message);
  return out;
}

TEST(LabelWords, LogitsEqualTheReferenceOfTheSamePrompt) {
  for (const char* name : kCases) {
    const Expected expected = load_expected(folder(name));
    std::vector<std::string> notes;
    const Model model = open_content(convert_words(name, labels_of(name), WeightType::f32, &notes));
    for (const std::string& note : notes) EXPECT_EQ(note.find("a text's tokens"), std::string::npos) << note;
    auto session = Session::create(model, {});
    ASSERT_TRUE(session.ok());
    for (size_t b = 0; b < expected.texts.size(); ++b) {
      const auto tokens = session.value().tokenize(expected.texts[b], {});
      ASSERT_TRUE(tokens.ok());
      EXPECT_EQ(std::vector<uint32_t>(tokens.value().ids.begin(), tokens.value().ids.end()),
                std::vector<uint32_t>(expected.ids.begin() + expected.starts[b],
                                      expected.ids.begin() + expected.starts[b + 1]))
          << name << ": " << expected.texts[b];
    }
    EXPECT_LE(max_difference(classify(model, expected.texts).logits, expected.logits), 1e-5) << name;
  }
}

TEST(LabelWords, TheFileHoldsTheRowsOfTheWordsAlone) {
  const auto content = convert_words("llama_untied", labels_of("llama_untied"));
  ASSERT_TRUE(content.ok());
  const auto bytes = serialize_model(content.value());
  ASSERT_TRUE(bytes.ok());
  for (const TensorContent& tensor : content.value().tensors) {
    EXPECT_TRUE(tensor.n < content.value().config.vocab || tensor.name == "embed.token.w") << tensor.name;
    EXPECT_TRUE(tensor.n == 3 || tensor.name != "heads.0.w");
  }
}

TEST(LabelWords, EveryTypeOfWeightsAndLevelGivesTheSameBits) {
  for (const char* name : kCases) {
    const Expected expected = load_expected(folder(name));
    for (const WeightType weights : {WeightType::f32, WeightType::int8, WeightType::int4}) {
      const Model model = open_content(convert_words(name, labels_of(name), weights));
      const auto gold = classify(model, expected.texts, {.isa = Isa::scalar, .executor = {}}).logits;
      EXPECT_LE(max_difference(gold, expected.logits), weights == WeightType::f32 ? 1e-5 : 3.0) << name;
      for (unsigned level = 0; level < kernels::isa_count; ++level) {
        const auto isa = static_cast<Isa>(level);
        if (!kernels::isa_available(isa)) continue;
        EXPECT_TRUE(same_bits(classify(model, expected.texts, {.isa = isa, .executor = {}}).logits, gold));
      }
    }
  }
}

TEST(LabelWords, ACalibratedModelIsIndifferentToTheContentFreeText) {
  LabelWords labels = labels_of("qwen2_chat");
  const auto plain = classify(open_content(convert_words("qwen2_chat", labels)), {"N/A", "a"});
  labels.content_free = "N/A";
  const auto calibrated = classify(open_content(convert_words("qwen2_chat", labels)), {"N/A", "a"});
  EXPECT_GT(std::abs(plain.logits[0]), 1e-2);
  for (size_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(calibrated.logits[c], 0, 1e-5);
    EXPECT_NEAR(calibrated.logits[2 + c], plain.logits[2 + c] - plain.logits[c], 1e-5);
    EXPECT_NEAR(calibrated.scores[c], 0.5, 1e-5);
  }
}

TEST(LabelWords, WhatCannotBeToldApartIsRefused) {
  const auto code = [](LabelWords labels, const char* name = "qwen2_chat") {
    const auto content = convert_words(name, labels);
    return content.ok() ? Code::ok : content.error().code;
  };
  const LabelWords good = labels_of("qwen2_chat");
  EXPECT_EQ(code(good), Code::ok);
  LabelWords one = good;
  one.labels.pop_back();
  EXPECT_EQ(code(one), Code::invalid_argument);
  LabelWords same = good;
  same.labels[1].words = {"good"};
  EXPECT_EQ(code(same), Code::invalid_argument);
  LabelWords empty = good;
  empty.labels[1].words = {""};
  EXPECT_EQ(code(empty), Code::invalid_argument);
  LabelWords no_text = good;
  no_text.prompt = "no place";
  EXPECT_EQ(code(no_text), Code::invalid_argument);
  LabelWords twice = good;
  twice.prompt = "{text} and {text}";
  EXPECT_EQ(code(twice), Code::invalid_argument);
  EXPECT_EQ(code({}), Code::invalid_argument);  // a language model without labels
  const auto classifier =
      convert::convert_folder({.source = fixtures() / "llama/llama3_scaling", .label_words = good}, nullptr);
  ASSERT_FALSE(classifier.ok());
  EXPECT_EQ(classifier.error().code, Code::invalid_argument);
}

TEST(LabelWords, AMergingPromptIsNoted) {
  LabelWords labels = labels_of("llama_untied");
  labels.prompt = "the cat is {text} .";
  std::vector<std::string> notes;
  ASSERT_TRUE(convert_words("llama_untied", labels, WeightType::f32, &notes).ok());
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(),
                          [](const std::string& n) { return n.find("a text's tokens") != std::string::npos; }));
}

}  // namespace
}  // namespace onepass::test
