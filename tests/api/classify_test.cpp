// onepass_classify and its parts: run_ids, scores, label_applies.
#include <cmath>
#include <cstring>
#include <random>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

std::vector<onepass_token> tokens_of(const SessionPtr& session, std::string_view text) {
  std::vector<onepass_token> tokens(48);
  size_t count = 0;
  EXPECT_EQ(onepass_tokenize(session.get(), text_of(text), nullptr, tokens.data(), 48, &count, nullptr), ONEPASS_OK);
  tokens.resize(count);
  return tokens;
}

class Classify : public testing::TestWithParam<std::string> {
 protected:
  ModelPtr model_ = open_fixture(GetParam());
  SessionPtr session_ = open_session(model_);
  size_t classes_ = class_count(model_.get());
};

INSTANTIATE_TEST_SUITE_P(Models, Classify, testing::Values("own_heads", "own_heads_mean", "multi_label"),
                         [](const auto& info) { return info.param; });

TEST_P(Classify, IsRunIdsThenScores) {
  const Answer answer = classify(model_, session_, sample_texts());
  ASSERT_EQ(answer.status, ONEPASS_OK) << answer.error.message;
  std::vector<uint32_t> ids, starts{0};
  for (size_t b = 0; b < sample_texts().size(); ++b) {
    for (const onepass_token& token : tokens_of(session_, sample_texts()[b])) ids.push_back(token.id);
    starts.push_back(static_cast<uint32_t>(ids.size()));
    EXPECT_EQ(answer.results[b].tokens, starts[b + 1] - starts[b]);
    EXPECT_EQ(answer.results[b].truncated, 0u);
  }
  std::vector<float> logits(answer.logits.size()), scores(answer.logits.size());
  ASSERT_EQ(onepass_run_ids(session_.get(), ids.data(), starts.data(), starts.size() - 1, logits.data(), nullptr),
            ONEPASS_OK);
  EXPECT_EQ(logits, answer.logits);
  for (size_t b = 0; b + 1 < starts.size(); ++b) {
    float confidence = 0;
    ASSERT_EQ(onepass_scores(model_.get(), logits.data() + b * classes_, scores.data() + b * classes_, &confidence),
              ONEPASS_OK);
    EXPECT_EQ(confidence, answer.results[b].confidence);
  }
  EXPECT_EQ(scores, answer.scores);
}

TEST_P(Classify, TextsDoNotSeeTheirNeighbours) {
  const Answer together = classify(model_, session_, sample_texts());
  for (size_t b = 0; b < sample_texts().size(); ++b) {
    const Answer alone = classify(model_, session_, {{sample_texts()[b]}});
    EXPECT_EQ(std::memcmp(alone.logits.data(), together.logits.data() + b * classes_, classes_ * sizeof(float)), 0);
    EXPECT_EQ(std::memcmp(alone.scores.data(), together.scores.data() + b * classes_, classes_ * sizeof(float)), 0);
    EXPECT_EQ(alone.results[0].confidence, together.results[b].confidence);
    if (b > 0) {
      EXPECT_NE(std::memcmp(alone.logits.data(), together.logits.data(), classes_ * sizeof(float)), 0)
          << "all texts have the same logits: the comparison shows nothing";
    }
  }
}

TEST_P(Classify, LogitsAreOptional) {
  const Answer answer = classify(model_, session_, sample_texts());
  std::vector<onepass_string> in;
  for (const std::string& text : sample_texts()) in.push_back(text_of(text));
  std::vector<onepass_result> results(in.size());
  std::vector<float> scores(in.size() * classes_);
  for (const bool warm : {false, true}) {
    const SessionPtr other = warm ? nullptr : open_session(model_);
    ASSERT_EQ(onepass_classify(warm ? session_.get() : other.get(), in.data(), in.size(), nullptr, results.data(),
                               scores.data(), nullptr, nullptr),
              ONEPASS_OK);
    EXPECT_EQ(scores, answer.scores);
  }
}

TEST_P(Classify, WritesWhatItSaysAndNoMore) {
  const size_t count = 3;
  std::vector<onepass_string> in;
  for (size_t b = 0; b < count; ++b) in.push_back(text_of(sample_texts()[b]));
  std::vector<onepass_result> results(count + 1, {77, 77, 77, 77, 77, 77});
  std::vector<float> scores(count * classes_ + 1, 77), logits(count * classes_ + 1, 77);
  ASSERT_EQ(onepass_classify(session_.get(), in.data(), count, nullptr, results.data(), scores.data(), logits.data(),
                             nullptr),
            ONEPASS_OK);
  EXPECT_EQ(results[count].tokens, 77u);
  EXPECT_EQ(scores.back(), 77);
  EXPECT_EQ(logits.back(), 77);
  for (size_t i = 0; i < count * classes_; ++i) {
    EXPECT_NE(scores[i], 77);
    EXPECT_NE(logits[i], 77);
  }
}

TEST_P(Classify, AnyBytesAreAText) {
  std::mt19937 random(7);
  std::vector<std::string> texts;
  for (size_t i = 0; i < 200; ++i) {
    std::string text(random() % 80, '\0');
    for (char& c : text) c = static_cast<char>(random());
    texts.push_back(text);
  }
  const Answer answer = classify(model_, session_, texts);
  ASSERT_EQ(answer.status, ONEPASS_OK) << answer.error.message;
  for (const float score : answer.scores) EXPECT_TRUE(std::isfinite(score));
  for (size_t b = 0; b < texts.size(); ++b) {
    for (const onepass_token& token : tokens_of(session_, texts[b])) {
      EXPECT_LE(token.begin, token.end);
      EXPECT_LE(token.end, texts[b].size());
    }
  }
}

class OwnHeads : public testing::Test {
 protected:
  Answer ask(const std::string& text) { return classify(model_, session_, {{text}}); }

  ModelPtr model_ = open_fixture();
  SessionPtr session_ = open_session(model_);
};

TEST_F(OwnHeads, ScoresMeanWhatTheHeadersSay) {
  const Answer answer = classify(model_, session_, sample_texts());
  size_t applying = 0, checked = 0;
  for (size_t b = 0; b < sample_texts().size(); ++b) {
    const float* scores = answer.scores.data() + b * 12;
    const float* logits = answer.logits.data() + b * 12;
    float best = 0;
    for (uint32_t c = 0; c < 9; ++c) {
      const double gold = 1 / (1 + std::exp(-static_cast<double>(logits[c]) / 1.25));
      EXPECT_NEAR(scores[c], gold, 1e-6);
      best = std::max(best, scores[c]);
      const int applies = onepass_label_applies(model_.get(), 0, c, scores);
      EXPECT_EQ(applies, scores[c] >= onepass_model_threshold(model_.get(), 0, c));
      applying += static_cast<size_t>(applies);
      ++checked;
    }
    EXPECT_EQ(answer.results[b].confidence, best);
    for (uint32_t c = 9; c < 12; ++c) EXPECT_EQ(scores[c], std::fmin(std::fmax(logits[c], -1.0f), 1.0f));
  }
  EXPECT_GT(applying, 0u);
  EXPECT_LT(applying, checked);
}

TEST_F(OwnHeads, NulIsOrdinaryAndMalformedUtf8IsReplaced) {
  const auto logits = [&](const std::string& text) { return ask(text).logits; };
  EXPECT_EQ(logits(std::string("good\0bad", 8)), logits("goodbad")) << "clean_text drops NUL, as the reference does";
  EXPECT_NE(logits(std::string("good\0bad", 8)), logits("good")) << "the text does not end at a NUL";
  EXPECT_EQ(logits("good \xFF"
                   " bad"),
            logits("good \xEF\xBF\xBD bad"));
  EXPECT_EQ(logits("good \xC3"), logits("good \xEF\xBF\xBD"));
  EXPECT_EQ(logits("\xED\xA0\x80"), logits("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST_F(OwnHeads, AMebibyteOfText) {
  const std::string word(1 << 20, 'a');
  const Answer one_word = ask(word);
  ASSERT_EQ(one_word.status, ONEPASS_OK);
  EXPECT_EQ(one_word.results[0].tokens, 3u) << "a word beyond the tokenizer's limit is one unknown token";
  EXPECT_EQ(one_word.results[0].truncated, 0u);
  std::string words;
  while (words.size() < (1 << 20)) words += "a ";
  const Answer many = ask(words);
  ASSERT_EQ(many.status, ONEPASS_OK);
  EXPECT_EQ(many.results[0].tokens, 48u);
  EXPECT_EQ(many.results[0].truncated, 1u);
  EXPECT_EQ(many.logits, ask(words.substr(0, 2 * 46)).logits) << "as tokenise all, then truncate";
}

TEST_F(OwnHeads, OnLong) {
  std::string words;
  for (int i = 0; i < 50; ++i) words += "good ";
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.on_long = ONEPASS_LONG_ERROR;
  Answer answer = classify(model_, session_, {{"good"}}, &options);
  EXPECT_EQ(answer.status, ONEPASS_OK);
  answer = classify(model_, session_, {{"bad", "good", words, "good"}}, &options);
  EXPECT_EQ(answer.status, kTextTooLong);
  EXPECT_EQ(answer.error.status, kTextTooLong);
  EXPECT_STREQ(answer.error.where, "text 2") << "the text of the batch is named";
  EXPECT_NE(std::strstr(answer.error.message, "52 tokens"), nullptr) << answer.error.message;
  EXPECT_NE(std::strstr(answer.error.message, "48"), nullptr) << answer.error.message;
  EXPECT_EQ(answer.error.offset, 46 * 5 - 1u) << "what fits ends after the 46th word";
  options.on_long = ONEPASS_LONG_TRUNCATE;
  answer = classify(model_, session_, {{words}}, &options);
  EXPECT_EQ(answer.status, ONEPASS_OK);
  EXPECT_EQ(answer.results[0].truncated, 1u);
  EXPECT_EQ(answer.results[0].tokens, 48u);
  EXPECT_EQ(answer.logits, ask(words.substr(0, 46 * 5)).logits);
  // Exactly what fits is not truncated.
  EXPECT_EQ(ask(words.substr(0, 46 * 5)).results[0].truncated, 0u);
}

TEST_F(OwnHeads, MaxTokens) {
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.max_tokens = 4;
  Answer answer = classify(model_, session_, {{"good bad sad happy"}}, &options);
  EXPECT_EQ(answer.results[0].tokens, 4u);
  EXPECT_EQ(answer.results[0].truncated, 1u);
  EXPECT_EQ(answer.logits, ask("good bad").logits);
  options.max_tokens = 1000000;  // more than the model's is the model's
  std::string words;
  for (int i = 0; i < 50; ++i) words += "good ";
  answer = classify(model_, session_, {{words}}, &options);
  EXPECT_EQ(answer.status, ONEPASS_OK);
  EXPECT_EQ(answer.results[0].tokens, 48u);
  options.max_tokens = 2;  // the template alone
  answer = classify(model_, session_, {{words}}, &options);
  EXPECT_EQ(answer.results[0].tokens, 2u);
  EXPECT_EQ(answer.logits, ask("").logits);
}

TEST_F(OwnHeads, ASessionGoesOnAfterAnError) {
  const std::vector<float> gold = ask("good").logits;
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.on_long = ONEPASS_LONG_ERROR;
  EXPECT_EQ(classify(model_, session_, {{std::string(400, '!')}}, &options).status, kTextTooLong);
  EXPECT_EQ(ask("good").logits, gold);
}

TEST_F(OwnHeads, TooManyTextsAreRefused) {
  const onepass_string text = text_of("good");
  onepass_result result{};
  float score = 0;
  onepass_error error = ONEPASS_INIT(onepass_error);
  EXPECT_EQ(onepass_classify(session_.get(), &text, SIZE_MAX / 8, nullptr, &result, &score, nullptr, &error), 2u);
  EXPECT_STREQ(onepass_status_name(error.status), "out_of_memory");
  EXPECT_EQ(ask("good").status, ONEPASS_OK);
}

}  // namespace
}  // namespace onepass::test
