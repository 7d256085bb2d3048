// onepass_tokenize and onepass_piece.
#include <cstring>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

class Tokenize : public testing::Test {
 protected:
  onepass_status call(std::string_view text, size_t capacity, const onepass_classify_options* options = nullptr) {
    tokens_.assign(capacity + 1, {77, 77, 77});
    return onepass_tokenize(session_.get(), text_of(text), options, capacity == 0 ? nullptr : tokens_.data(), capacity,
                            &count_, &error_);
  }
  std::string piece(size_t t) { return std::string(view(onepass_piece(model_.get(), tokens_[t].id))); }

  ModelPtr model_ = open_fixture();
  SessionPtr session_ = open_session(model_);
  std::vector<onepass_token> tokens_;
  size_t count_ = 0;
  onepass_error error_ = ONEPASS_INIT(onepass_error);
};

TEST_F(Tokenize, PiecesAndSpans) {
  const std::string text = "  Thank y\xC3\xB3u, caf\xC3\xA9 \xE4\xB8\xAD hated";
  ASSERT_EQ(call(text, 48), ONEPASS_OK) << error_.message;
  const std::vector<std::pair<std::string, std::string>> expected = {{"[CLS]", ""},
                                                                     {"thank", "Thank"},
                                                                     {"you", "y\xC3\xB3u"},
                                                                     {",", ","},
                                                                     {"caf", "caf"},
                                                                     {"##e", "\xC3\xA9"},
                                                                     {"\xE4\xB8\xAD", "\xE4\xB8\xAD"},
                                                                     {"hate", "hate"},
                                                                     {"##d", "d"},
                                                                     {"[SEP]", ""}};
  ASSERT_EQ(count_, expected.size());
  for (size_t t = 0; t < count_; ++t) {
    EXPECT_EQ(piece(t), expected[t].first) << t;
    EXPECT_EQ(text.substr(tokens_[t].begin, tokens_[t].end - tokens_[t].begin), expected[t].second) << t;
  }
  EXPECT_EQ(tokens_.front().begin + tokens_.front().end + tokens_[count_ - 1].begin + tokens_[count_ - 1].end, 0u);
}

TEST_F(Tokenize, TooSmallABufferSaysHowManyThereAre) {
  const std::string text = "good bad sad";
  ASSERT_EQ(call(text, 5), ONEPASS_OK);
  ASSERT_EQ(count_, 5u);
  const std::vector<onepass_token> all(tokens_.begin(), tokens_.begin() + 5);
  for (size_t capacity = 0; capacity < 5; ++capacity) {
    EXPECT_EQ(call(text, capacity), kBufferTooSmall);
    EXPECT_EQ(count_, 5u);
    EXPECT_EQ(tokens_[capacity].id, 77u) << "written beyond the capacity";
    EXPECT_NE(std::strstr(error_.message, "5 tokens"), nullptr) << error_.message;
  }
  ASSERT_EQ(call(text, 6), ONEPASS_OK);
  EXPECT_EQ(std::memcmp(tokens_.data(), all.data(), 5 * sizeof(onepass_token)), 0);
  EXPECT_EQ(tokens_[5].id, 77u);
}

TEST_F(Tokenize, LongTexts) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "good ";
  ASSERT_EQ(call(words, 48), ONEPASS_OK);
  EXPECT_EQ(count_, 48u);
  EXPECT_EQ(piece(47), "[SEP]");
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.max_tokens = 5;
  ASSERT_EQ(call(words, 48, &options), ONEPASS_OK);
  EXPECT_EQ(count_, 5u);
  options.on_long = ONEPASS_LONG_ERROR;
  EXPECT_EQ(call(words, 48, &options), kTextTooLong);
  EXPECT_EQ(count_, 0u);
  EXPECT_STREQ(error_.where, "text");
  EXPECT_NE(std::strstr(error_.message, "62 tokens"), nullptr) << error_.message;
}

TEST_F(Tokenize, EveryPieceOfTheVocabulary) {
  size_t pieces = 0;
  for (uint32_t id = 0; id < 1000; ++id) {
    const std::string_view piece = view(onepass_piece(model_.get(), id));
    if (!piece.empty()) {
      EXPECT_EQ(pieces, id) << "ids are dense";
      ++pieces;
    }
  }
  EXPECT_EQ(pieces, 104u);
}

}  // namespace
}  // namespace onepass::test
