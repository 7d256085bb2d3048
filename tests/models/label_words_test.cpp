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
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"

namespace onepass::test {
namespace {

using convert::LabelWords;
using convert::WeightType;
using kernels::Isa;

const char* const kFirstTokens[] = {"llama_untied", "qwen2_chat", "gemma2_softcap"};
// Labels that begin alike, so that further tokens behind the text tell them apart.
const char* const kTrees[] = {"llama_begin_alike", "qwen2_begin_alike", "gemma2_begin_alike", "mobilellm_shared"};
const char* const kCases[] = {"llama_untied",      "qwen2_chat",         "gemma2_softcap",  "llama_begin_alike",
                              "qwen2_begin_alike", "gemma2_begin_alike", "mobilellm_shared"};

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
  // A row an edge.
  const auto tree = convert_words("llama_begin_alike", labels_of("llama_begin_alike"));
  ASSERT_TRUE(tree.ok());
  for (const TensorContent& tensor : tree.value().tensors) {
    EXPECT_TRUE(tensor.n == tree.value().config.edges || tensor.name != "heads.0.w");
  }
}

std::vector<std::vector<uint32_t>> paths_of(const WordTree& tree) {
  std::vector<std::vector<uint32_t>> paths;
  for (size_t b = 0; b < tree.branches(); ++b) paths.emplace_back(tree.path(b).begin(), tree.path(b).end());
  return paths;
}

TEST(LabelWords, ATreeHasNodesWhereWordsOfSeveralLabelsPart) {
  for (const char* name : kFirstTokens) {
    const Model model = open_content(convert_words(name, labels_of(name)));
    EXPECT_EQ(model.config().edges, 0u) << name;
  }
  for (const char* name : kTrees) {
    const Model model = open_content(convert_words(name, labels_of(name)));
    const WordTree& tree = model.weights().tree;
    EXPECT_GE(tree.branches(), 1u) << name;
    EXPECT_EQ(model.config().words, 0u) << name;
    for (size_t node = 1; node <= tree.branches(); ++node) {
      EXPECT_GE(tree.edge_starts[node + 1] - tree.edge_starts[node], 2u) << name << ", node " << node;
    }
    // The longest text leaves room for the words.
    EXPECT_EQ(model.config().max_tokens + model.config().branch_tokens, 120u) << name;
  }
  // "very" at first, then once more, then a space.
  const Model llama = open_content(convert_words("llama_begin_alike", labels_of("llama_begin_alike")));
  const auto paths = paths_of(llama.weights().tree);
  ASSERT_EQ(paths.size(), 3u);
  EXPECT_EQ(paths[1], std::vector<uint32_t>(2, paths[0][0]));
  EXPECT_EQ(std::vector<uint32_t>(paths[2].begin(), paths[2].begin() + 2), paths[1]);
}

TEST(LabelWords, ATextMayFillThePass) {
  const Model model = open_content(convert_words("gemma2_begin_alike", labels_of("gemma2_begin_alike")));
  auto session = Session::create(model, {});
  std::vector<uint32_t> ids(model.config().max_tokens, 300);
  const uint32_t starts[] = {0, model.config().max_tokens};
  std::vector<float> logits(model.total_classes());
  EXPECT_TRUE(session.value().run_ids(ids, starts, logits).ok());
}

TEST(LabelWords, ATreeThatIsNoneIsRefused) {
  const auto good = convert_words("llama_begin_alike", labels_of("llama_begin_alike"));
  ASSERT_TRUE(good.ok());
  const Config& config = good.value().config;
  const auto with = [&](const std::string& tensor_name, size_t at, float value) {
    ModelContent damaged = good.value();
    for (TensorContent& tensor : damaged.tensors) {
      if (tensor.name != tensor_name) continue;
      std::vector<float> rows(tensor.n * tensor.k);
      const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(rows.data()), rows.size() * sizeof(float));
      EXPECT_TRUE(tensor.fill(bytes).ok());
      rows.at(at) = value;
      tensor.payload.assign(bytes.begin(), bytes.end());
      tensor.fill = {};
    }
    const auto bytes = serialize_model(damaged);
    if (!bytes.ok()) return bytes.error();
    const auto model = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
    return model.ok() ? Error{} : model.error();
  };
  ASSERT_EQ(config.branch_tokens, 3u);
  ASSERT_EQ(config.edges, 10u);
  const float classes = 4;
  const size_t last = 2 * (size_t{config.edges} - 1);
  const struct {
    const char* tensor;
    size_t at;
    float value;
  } bad[] = {
      {"words.path.w", 0, -1},   {"words.path.w", 0, 0.5f},
      {"words.path.w", 1, -2},   {"words.path.w", 3, -1},
      {"words.path.w", 8, 1e6f}, {"words.edge.w", 0, 1},
      {"words.edge.w", 0, -1},   {"words.edge.w", 6, 2},
      {"words.edge.w", 6, 0.5f}, {"words.edge.w", 1, 99},
      {"words.edge.w", 1, 1.5f}, {"words.edge.w", 1, classes + 1},  // past a node that has edges
      {"words.edge.w", 1, 1},    {"words.edge.w", last, 0},
      {"words.edge.w", last, 4}, {"words.edge.w", last + 1, classes},  // back
      {"words.edge.w", 9, 0},                                          // a class without a word
  };
  EXPECT_EQ(with("words.path.w", 0, 5).code, Code::ok);  // another token is another tree
  for (const auto& b : bad) {
    const Error error = with(b.tensor, b.at, b.value);
    EXPECT_EQ(error.code, Code::bad_value) << b.tensor << "[" << b.at << "] = " << b.value;
    EXPECT_EQ(std::string(error.where), b.tensor);
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

// What comes before every text is computed once, and no bit changes.
TEST(SharedPrefix, GivesTheBitsOfTheWhole) {
  for (const char* name : kCases) {
    const Expected expected = load_expected(folder(name));
    std::vector<std::string> texts = expected.texts;
    texts.push_back("");
    for (const std::string& text : expected.texts) texts.push_back(text + " " + text);
    for (const WeightType weights : {WeightType::f32, WeightType::int8, WeightType::int4}) {
      LabelWords labels = labels_of(name);
      labels.prompt = "the cat and the dog, is it good\n" + labels.prompt;
      const Model model = open_content(convert_words(name, labels, weights));
      ASSERT_GT(model.tokenizer().prefix().size(), 8u);
      const auto whole = classify(model, texts, {.isa = Isa::scalar, .executor = {}, .share_prefix = false}).logits;
      for (const bool alone : {false, true}) {
        for (const unsigned threads : {1u, 2u, 3u}) {
          const SessionOptions options{.executor = openmp_executor(threads), .tokens_per_pass = alone ? 1u : 1024u};
          EXPECT_TRUE(same_bits(classify(model, texts, options).logits, whole)) << name << ", " << threads;
        }
      }
    }
  }
}

TEST(SharedPrefix, IsComputedOnceASession) {
  const Model model = open_content(convert_words("qwen2_chat", labels_of("qwen2_chat")));
  auto session = Session::create(model, {});
  const auto first = session.value().prefix();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first.value().tokens, model.tokenizer().prefix().size());
  EXPECT_EQ(first.value().keys_values.size(), model.config().layers);
  const auto second = session.value().prefix();
  EXPECT_EQ(first.value().keys_values[0], second.value().keys_values[0]);
  // A head that reads another token than the last has none.
  const auto other = convert::convert_folder({.source = fixtures() / "llama/llama3_scaling"}, nullptr);
  const Model classifier = open_content(other);
  auto none = Session::create(classifier, {});
  EXPECT_EQ(none.value().prefix().value().tokens, 0u);
}

TEST(SharedPrefix, StoredInTheFileItHasTheSameBits) {
  for (const char* name : kCases) {
    const Expected expected = load_expected(folder(name));
    if (std::string(name) == "mobilellm_shared") continue;  // of layers that run twice there is no place for it
    convert::Options options{.source = folder(name), .weights = WeightType::int8, .label_words = labels_of(name)};
    options.label_words.prompt = "the cat and the dog, is it good\n" + options.label_words.prompt;
    const auto gold = classify(open_content(convert::convert_folder(options, nullptr)), expected.texts).logits;
    options.store_prefix = true;
    const auto content = convert::convert_folder(options, nullptr);
    const Model model = open_content(content);
    EXPECT_EQ(model.config().prefix_tokens, model.tokenizer().prefix().size());
    EXPECT_TRUE(same_bits(classify(model, expected.texts).logits, gold)) << name;
    const SessionOptions scalar{.isa = Isa::scalar, .executor = {}};
    EXPECT_TRUE(same_bits(classify(model, expected.texts, scalar).logits, gold)) << name;
    // It is what is read: another one gives other logits.
    ModelContent damaged = content.value();
    for (TensorContent& tensor : damaged.tensors) {
      if (tensor.name.ends_with("attn.prefix.w")) std::fill(tensor.payload.begin(), tensor.payload.end(), uint8_t{0});
    }
    EXPECT_FALSE(same_bits(classify(open_content(damaged), expected.texts).logits, gold)) << name;
  }
  const auto none =
      convert::convert_folder({.source = fixtures() / "llama/llama3_scaling", .store_prefix = true}, nullptr);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::invalid_argument);
}

TEST(LabelWords, ACalibratedModelIsIndifferentToTheContentFreeText) {
  for (const char* name : {"qwen2_chat", "gemma2_begin_alike"}) {
    LabelWords labels = labels_of(name);
    const auto plain = classify(open_content(convert_words(name, labels)), {"N/A", "a"});
    labels.content_free = "N/A";
    const auto calibrated = classify(open_content(convert_words(name, labels)), {"N/A", "a"});
    EXPECT_GT(std::abs(plain.logits[0]), 1e-2);
    for (size_t c = 0; c < 2; ++c) {
      EXPECT_NEAR(calibrated.logits[c], 0, 1e-5) << name;
      EXPECT_NEAR(calibrated.logits[2 + c], plain.logits[2 + c] - plain.logits[c], 1e-5);
      EXPECT_NEAR(calibrated.scores[c], 0.5, 1e-5);
    }
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
  LabelWords begins = labels_of("qwen2_begin_alike");
  begins.labels[2].words = {"the cat is"};  // and so do the others
  EXPECT_EQ(code(begins, "qwen2_begin_alike"), Code::invalid_argument);
  begins.labels[2].words = {"the cat is happy"};
  EXPECT_EQ(code(begins, "qwen2_begin_alike"), Code::ok);
  begins.labels[2].words = {"the cat is good</s>"};
  EXPECT_EQ(code(begins, "qwen2_begin_alike"), Code::invalid_argument);
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

// A chat template that makes the prompt of the fixture: the same file, byte for byte. Its special tokens are in its
// text, so the tokenizer's own beginning is not added to them.
TEST(LabelWords, OfAChatAreThoseOfItsPrompt) {
  for (const char* name : {"llama_begin_alike", "qwen2_begin_alike"}) {
    const bool begins = std::string_view(name).starts_with("llama");
    LabelWords words = labels_of(name);
    words.prompt = "Is it good?\n\"{text}\"\nAnswer:";
    const TempFolder copy;
    std::filesystem::copy(folder(name), copy.path(), std::filesystem::copy_options::recursive);
    copy.write("chat_template.jinja", std::string(begins ? "<s>" : "") +
                                          "{% for m in messages %}{{ m.content }}\n{% endfor %}"
                                          "{% if add_generation_prompt %}{{ ending }}:{% endif %}");
    convert::Options plain{.source = copy.path(), .label_words = words, .model_id = "same"};
    const auto expected = serialize_model(convert::convert_folder(plain, nullptr).value());
    ASSERT_TRUE(expected.ok());
    convert::Options chat = plain;
    chat.label_words.prompt = "\"{text}\"";
    chat.chat = chat::Chat{"Is it good?", {{"ending", "Answer"}}};
    std::vector<std::string> notes;
    const auto content = convert::convert_folder(chat, &notes);
    ASSERT_TRUE(content.ok()) << content.error().where << ": " << content.error().message;
    EXPECT_EQ(serialize_model(content.value()).value(), expected.value()) << name;
    EXPECT_NE(std::find_if(notes.begin(), notes.end(), [](const auto& n) { return n.starts_with("the prompt is "); }),
              notes.end());
    std::filesystem::remove(copy.path() / "chat_template.jinja");
    EXPECT_EQ(convert::convert_folder(chat, nullptr).code(), Code::missing_key);
  }
}

}  // namespace
}  // namespace onepass::test
