// A trimmed vocabulary: the answers of texts whose tokens stay are the same bits, and no text gains an unknown token.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <set>

#include "engine/runtime/model.h"
#include "engine/runtime/session.h"
#include "formats/json/json.h"
#include "tests/models/expected.h"
#include "tests/support/near.h"
#include "tests/support/temp_folder.h"
#include "tools/convert/convert.h"
#include "tools/convert/token_effects.h"
#include "tools/convert/verify.h"

namespace onepass::test {
namespace {

using convert::Options;
using convert::WeightType;

struct Answer {
  std::vector<uint32_t> ids;
  std::vector<float> logits;
};

// A converted model that is asked.
class Asked {
 public:
  explicit Asked(const Options& options) {
    auto made = convert::convert_folder(options, &notes);
    if (!made.ok()) throw std::runtime_error(std::string(made.error().where) + ": " + made.error().message);
    content = std::move(made).value();
    auto bytes = serialize_model(content);
    if (!bytes.ok()) throw std::runtime_error(std::string(bytes.error().where) + ": " + bytes.error().message);
    auto opened = Model::from_memory(bytes.value(), {.mode = LoadMode::copy});
    if (!opened.ok()) throw std::runtime_error(std::string(opened.error().where) + ": " + opened.error().message);
    model_ = std::make_unique<Model>(std::move(opened).value());
    session_ = std::make_unique<Session>(std::move(Session::create(*model_, {}).value()));
  }

  std::vector<uint32_t> ids(const std::string& text) {
    Array<uint32_t> out;
    EXPECT_TRUE(model_->tokenizer().encode(text, {}, scratch_, out, nullptr, nullptr).ok());
    return {out.span().begin(), out.span().end()};
  }
  Answer ask(const std::string& text) {
    const auto tokens = session_->tokenize(text, {});
    EXPECT_TRUE(tokens.ok());
    Answer answer{{tokens.value().ids.begin(), tokens.value().ids.end()}, {}};
    answer.logits.resize(model_->config().logit_rows(answer.ids.size(), 1) * model_->total_classes());
    const uint32_t starts[] = {0, static_cast<uint32_t>(answer.ids.size())};
    const Status status = session_->run_ids(answer.ids, starts, answer.logits);
    EXPECT_TRUE(status.ok());
    return answer;
  }
  size_t unknown(const std::vector<uint32_t>& all) const {
    return static_cast<size_t>(
        std::count_if(all.begin(), all.end(), [&](uint32_t id) { return model_->tokenizer().is_unknown(id); }));
  }
  const Tokenizer& tokenizer() const { return model_->tokenizer(); }
  uint32_t vocab() const { return model_->config().vocab; }

  ModelContent content;
  std::vector<std::string> notes;

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<Session> session_;
  EncodeScratch scratch_;
};

std::vector<std::string> cases() {
  return {"albert/two_groups",
          "bert/own_heads",
          "bert/tokens",
          "camembert/multi_label",
          "deberta_v2/v3",
          "gemma2/softcap_2",
          "llama/llama2_no_padding",
          "llama/llama3_scaling",
          "llama/padding_ends_a_text",
          "mistral/nemo",
          "modernbert",
          "phi3/partial_longrope",
          "qwen2/f32",
          "roberta",
          "xlm_roberta"};
}

// "family": its first fixture with a head of texts.
std::filesystem::path folder_of(const std::string& name) {
  if (name.find('/') != name.npos) return fixtures() / name;
  std::set<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / name)) {
    if (entry.is_directory() && entry.path().filename() != "tokens") all.insert(entry.path());
  }
  return *all.begin();
}

const std::vector<std::string> kCorpus = {"The cat is happy.", "thank you, the dog was not bad!"};

// Texts that hit the pieces of the vocabulary in contexts that no corpus has.
std::vector<std::string> random_texts(const Tokenizer& tokenizer, size_t count) {
  std::mt19937 random(7);
  std::vector<std::string> texts;
  while (texts.size() < count) {
    std::string text;
    for (size_t part = 1 + random() % 4; part-- > 0;) {
      std::string piece(tokenizer.token(static_cast<uint32_t>(random() % tokenizer.vocab_size())));
      if (piece.starts_with("##")) piece.erase(0, 2);
      if (piece.starts_with("\xE2\x96\x81")) piece.replace(0, 3, " ");
      text += piece;
      if (random() % 4 == 0) text += ' ';
    }
    texts.push_back(text);
  }
  return texts;
}

class TrimVocabulary : public testing::TestWithParam<std::string> {
 protected:
  Options options(WeightType weights = WeightType::f32) const {
    return {.source = folder_of(GetParam()), .weights = weights};
  }
  Options trimmed(WeightType weights = WeightType::f32) {
    Options all = options(weights);
    all.trim.corpus = kCorpus;
    all.trim.kept = &kept_;
    return all;
  }
  bool stay(const std::vector<uint32_t>& ids) const {
    return std::all_of(ids.begin(), ids.end(),
                       [&](uint32_t id) { return std::binary_search(kept_.begin(), kept_.end(), id); });
  }
  std::vector<uint32_t> kept_;
};

TEST_P(TrimVocabulary, AnswersOfTextsWhoseTokensStayAreTheSameBits) {
  for (const WeightType weights : {WeightType::f32, WeightType::f16, WeightType::int8, WeightType::int4}) {
    Asked whole(options(weights)), small(trimmed(weights));
    ASSERT_LT(small.vocab(), whole.vocab());
    ASSERT_EQ(small.vocab(), kept_.size());
    std::vector<std::string> texts = kCorpus;
    const Expected expected = load_expected(folder_of(GetParam()));
    texts.insert(texts.end(), expected.texts.begin(), expected.texts.end());
    size_t compared = 0;
    for (const std::string& text : texts) {
      const Answer before = whole.ask(text), after = small.ask(text);
      if (!stay(before.ids)) continue;
      ++compared;
      std::vector<uint32_t> mapped;
      for (const uint32_t id : after.ids) mapped.push_back(kept_[id]);
      EXPECT_EQ(mapped, before.ids) << text;
      EXPECT_TRUE(same_bits(before.logits, after.logits)) << text;
    }
    EXPECT_GE(compared, kCorpus.size());
  }
}

TEST_P(TrimVocabulary, NoTextGainsAnUnknownToken) {
  Asked whole(options()), small(trimmed());
  size_t split = 0, equal = 0;
  for (const std::string& text : random_texts(whole.tokenizer(), 4000)) {
    const auto before = whole.ids(text), after = small.ids(text);
    EXPECT_LE(small.unknown(after), whole.unknown(before)) << text;
    std::vector<uint32_t> mapped;
    for (const uint32_t id : after) mapped.push_back(kept_.at(id));
    if (stay(before)) {
      ++equal;
      EXPECT_EQ(mapped, before) << text;
    } else {
      ++split;
      EXPECT_NE(mapped, before) << text;
    }
  }
  EXPECT_GT(split, 100u);
  EXPECT_GT(equal, 10u);
}

TEST_P(TrimVocabulary, AListOfIdsGivesTheSameFile) {
  const Asked by_corpus(trimmed());
  Options by_list = options();
  by_list.trim.ids = kept_;
  const auto a = serialize_model(by_corpus.content), b = serialize_model(Asked(by_list).content);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(a.value() == b.value());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TrimVocabulary, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
});

Options shipped() { return {.source = fixtures() / "bert/own_heads", .weights = WeightType::f32}; }

std::string error_of(const Options& options) {
  const auto content = convert::convert_folder(options, nullptr);
  return content.ok() ? "" : std::string(content.error().where) + ": " + content.error().message;
}

TEST(TrimLimit, KeepsTheMostFrequentTokens) {
  Options options = shipped();
  std::vector<uint32_t> kept;
  options.trim.kept = &kept;
  options.trim.corpus = {"happy happy happy thank thank dog"};
  options.trim.limit = 1;
  const std::string error = error_of(options);
  EXPECT_NE(error.find("1 tokens are too few: special tokens, bytes and single characters are "), error.npos) << error;
  const size_t least = std::stoul(error.substr(error.find("are ", error.find("characters")) + 4));
  const auto stays = [&](size_t limit, const std::string& word) {
    options.trim.limit = limit;
    Asked small(options);
    EXPECT_EQ(small.vocab(), limit);
    return small.ids(word).size() == 3;  // between [CLS] and [SEP]
  };
  EXPECT_TRUE(stays(least + 1, "happy"));
  EXPECT_FALSE(stays(least + 1, "thank"));
  EXPECT_TRUE(stays(least + 2, "thank"));
  EXPECT_FALSE(stays(least + 2, "dog"));
  EXPECT_TRUE(stays(least + 3, "dog"));
}

TEST(TrimLimit, TheReportSaysWhatWasSavedAndSplit) {
  Options options = shipped();
  options.trim.corpus = {"happy dog"};
  const Asked small(options);
  ASSERT_EQ(small.notes.size(), 1u);
  EXPECT_EQ(small.notes[0].find("vocabulary: " + std::to_string(small.vocab()) + " of 104 tokens stay"), 0u)
      << small.notes[0];
  EXPECT_NE(small.notes[0].find("0.00 % of the corpus' tokens are split"), std::string::npos) << small.notes[0];
  EXPECT_NE(small.content.metadata.quantisation.find("of 104 tokens"), std::string::npos);
}

TEST(TrimLimit, AnIdOfAnotherVocabularyIsRefused) {
  Options options = shipped();
  options.trim.ids = {1, 104};
  EXPECT_NE(error_of(options).find("token 104 of 104"), std::string::npos);
}

TEST(TrimIds, FilesThatAreNoLists) {
  TempFolder folder;
  const auto error = [&](const std::string& text) {
    folder.write("x.ids", text);
    const auto ids = convert::read_ids(folder.path() / "x.ids");
    return ids.ok() ? "" : std::string(ids.error().message);
  };
  EXPECT_EQ(error("1\n22\r\n3"), "");
  EXPECT_NE(error("1\ntwo\n").find("line 2"), std::string::npos);
  EXPECT_NE(error("1\n\n3\n").find("line 2"), std::string::npos);
  EXPECT_NE(error("-1\n").find("line 1"), std::string::npos);
  EXPECT_NE(error("99999999999\n").find("line 1"), std::string::npos);
  EXPECT_NE(error("").find("no ids"), std::string::npos);
  EXPECT_FALSE(convert::read_ids(folder.path() / "none.ids").ok());
  folder.write("y.ids", convert::ids_text({5, 0, 7}));
  EXPECT_EQ(convert::read_ids(folder.path() / "y.ids").value(), (std::vector<uint32_t>{5, 0, 7}));
}

// Words that each have a text of their own: what replaces one is the text as the coarse vocabulary cuts it.
TEST(TrimByEffect, TokensWhoseSplittingChangesMostComeFirst) {
  const std::vector<std::string> words = {"happy", "thank", "dog", "cat", "love", "hate", "good", "sad"};
  std::vector<std::string> corpus;
  for (const std::string& word : words) corpus.push_back("the " + word);
  Options options = shipped();
  Asked whole(options);
  std::vector<uint32_t> kept;
  options.trim.ids = whole.ids("the");
  options.trim.kept = &kept;
  Asked coarse(options);
  const size_t classes = whole.ask("the").logits.size();
  std::vector<double> mean(classes), variance(classes);
  for (const std::string& text : corpus) {
    const Answer answer = whole.ask(text);
    for (size_t c = 0; c < classes; ++c) mean[c] += static_cast<double>(answer.logits[c]) / 8;
  }
  for (const std::string& text : corpus) {
    const Answer answer = whole.ask(text);
    for (size_t c = 0; c < classes; ++c)
      variance[c] += std::pow(static_cast<double>(answer.logits[c]) - mean[c], 2) / 8;
  }
  std::vector<std::pair<double, uint32_t>> expected;
  for (const std::string& text : corpus) {
    const Answer before = whole.ask(text), after = coarse.ask(text);
    ASSERT_EQ(before.ids.size(), 4u) << text;
    ASSERT_GT(after.ids.size(), 4u) << text;
    double effect = 0;
    size_t c = 0;
    for (const HeadContent& head : whole.content.heads) {
      double squares = 0;
      for (size_t i = 0; i < head.labels.size(); ++i, ++c) {
        squares +=
            std::pow(static_cast<double>(after.logits[c]) - static_cast<double>(before.logits[c]), 2) / variance[c];
      }
      effect += std::sqrt(squares / static_cast<double>(head.labels.size()));
    }
    expected.emplace_back(-effect, before.ids[2]);
  }
  const auto rank = [&] {
    const auto ids = convert::tokens_by_effect(whole.content, coarse.content, kept, corpus, [](size_t) {});
    return ids.ok() ? ids.value() : std::vector<uint32_t>();
  };
  std::vector<uint32_t> by_effect;
  std::sort(expected.begin(), expected.end());
  for (const auto& [effect, id] : expected) by_effect.push_back(id);
  EXPECT_EQ(rank(), by_effect);
  // How often counts as well: the last one becomes the first.
  const std::string last = "the " + std::string(whole.tokenizer().token(by_effect.back()));
  corpus.insert(corpus.end(), 1000, last);
  EXPECT_EQ(rank()[0], by_effect.back());
}

// The output matrix that gives the words their logits is the table before it was trimmed.
TEST(TrimLabelWords, ATiedHeadKeepsItsRows) {
  const auto folder = fixtures() / "label_words/lm/qwen2_chat";
  std::ifstream file(folder / "labels.json");
  const auto json = nlohmann::ordered_json::parse(file);
  Options options{.source = folder, .weights = WeightType::f32};
  options.label_words.prompt = json.at("template").get<std::string>();
  for (const auto& [label, words] : json.at("labels").items()) {
    options.label_words.labels.push_back({label, words.get<std::vector<std::string>>()});
  }
  Asked whole(options);
  options.trim.corpus = {"a very sad dog"};
  Asked small(options);
  ASSERT_LT(small.vocab(), whole.vocab());
  EXPECT_TRUE(same_bits(whole.ask("a very sad dog").logits, small.ask("a very sad dog").logits));
}

// Rows of a table that is stored in blocks.
TEST(TrimGguf, BlocksGoWithTheirRows) {
  for (const char* name : {"llama_q4_0", "qwen2_q4_1", "phi3_bf16"}) {
    Options options{.source = fixtures() / "gguf/models" / name / "model.gguf", .weights = WeightType::source};
    options.kinds = {{"classifier", HeadKind::single_label}};
    Asked whole(options);
    options.trim.corpus = kCorpus;
    Asked small(options);
    ASSERT_LT(small.vocab(), whole.vocab()) << name;
    for (const std::string& text : kCorpus) {
      EXPECT_TRUE(same_bits(whole.ask(text).logits, small.ask(text).logits)) << name;
    }
  }
}

}  // namespace
}  // namespace onepass::test
