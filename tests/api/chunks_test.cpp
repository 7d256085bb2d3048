// Long texts in chunks through the C API and the C++ layer.
#include <cstring>
#include <onepass/onepass.hpp>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

std::string long_text() {
  std::string text;
  for (int i = 0; i < 12; ++i) text += sample_texts()[0] + " " + sample_texts()[2] + " ";
  return text;
}

class ChunksTest : public testing::Test {
 protected:
  onepass_status ask(size_t capacity, bool with_scores = true) {
    chunks_.assign(capacity, {9, 9, 9, 9});
    chunk_scores_.assign(capacity * 12 + 1, -5.0f);
    return onepass_classify_chunks(session_.get(), text_of(text_), &options_, &result_, scores_.data(), chunks_.data(),
                                   with_scores ? chunk_scores_.data() : nullptr, capacity, &count_, &error_);
  }

  ModelPtr model_ = open_fixture();
  SessionPtr session_ = open_session(model_);
  std::string text_ = long_text();
  onepass_classify_options options_ = ONEPASS_INIT(onepass_classify_options);
  onepass_result result_{};
  onepass_error error_ = ONEPASS_INIT(onepass_error);
  std::vector<float> scores_ = std::vector<float>(12), chunk_scores_;
  std::vector<onepass_chunk> chunks_;
  size_t count_ = 0;
};

TEST_F(ChunksTest, EveryChunkIsATextOfItsOwn) {
  ASSERT_EQ(ask(100), ONEPASS_OK) << error_.message;
  ASSERT_GT(count_, 2u);
  EXPECT_EQ(result_.chunks, count_);
  EXPECT_EQ(result_.truncated, 0u);
  EXPECT_EQ(result_.bytes_read, text_.size());
  EXPECT_EQ(chunks_[0].begin, 0u);
  uint32_t tokens = 0, fresh = 0;
  for (size_t i = 0; i < count_; ++i) {
    const std::string part = text_.substr(chunks_[i].begin, chunks_[i].end - chunks_[i].begin);
    const Answer alone = classify(model_, session_, {{part}});
    EXPECT_EQ(std::memcmp(alone.scores.data(), chunk_scores_.data() + i * 12, 12 * sizeof(float)), 0) << i;
    EXPECT_EQ(alone.results[0].tokens, chunks_[i].tokens);
    EXPECT_TRUE(i == 0 || chunks_[i].begin < chunks_[i - 1].end) << "they overlap";
    tokens += chunks_[i].tokens;
    fresh += chunks_[i].new_tokens;
  }
  EXPECT_EQ(result_.tokens, tokens);
  EXPECT_EQ(result_.text_tokens, fresh + 2);
  EXPECT_EQ(chunk_scores_[count_ * 12], -5.0f) << "no more than that is written";
  // The same as among other texts.
  options_.on_long = ONEPASS_LONG_CHUNK;
  const Answer many = classify(model_, session_, {{"good", text_, ""}}, &options_);
  EXPECT_EQ(std::memcmp(many.scores.data() + 12, scores_.data(), 12 * sizeof(float)), 0);
  EXPECT_EQ(many.results[1].tokens, result_.tokens);
  EXPECT_EQ(many.results[1].text_tokens, result_.text_tokens);
  EXPECT_EQ(many.results[1].confidence, result_.confidence);
  EXPECT_EQ(many.results[1].chunks, result_.chunks);
  EXPECT_EQ(many.results[0].chunks, 1u);
}

TEST_F(ChunksTest, OptionsCount) {
  ASSERT_EQ(ask(100), ONEPASS_OK);
  const auto mean = scores_;
  options_.aggregate = ONEPASS_CHUNKS_MAX;
  ASSERT_EQ(ask(100), ONEPASS_OK);
  size_t higher = 0;
  for (size_t c = 0; c < 9; ++c) {
    EXPECT_GE(scores_[c], mean[c]);
    higher += scores_[c] > mean[c];
  }
  EXPECT_GT(higher, 0u);
  EXPECT_EQ(std::memcmp(scores_.data() + 9, mean.data() + 9, 3 * sizeof(float)), 0) << "a regression is averaged";
  options_.overlap = ONEPASS_NO_OVERLAP;
  ASSERT_EQ(ask(100), ONEPASS_OK);
  for (size_t i = 1; i < count_; ++i) EXPECT_GE(chunks_[i].begin, chunks_[i - 1].end);
  options_.max_tokens = 12;
  const size_t before = count_;
  ASSERT_EQ(ask(100), ONEPASS_OK);
  EXPECT_GT(count_, before);
  options_.overlap = 4;
  EXPECT_EQ(ask(100), kInvalidArgument);
  EXPECT_STREQ(error_.where, "overlap");
  options_ = ONEPASS_INIT(onepass_classify_options);
  const uint32_t no_rule = 2;
  std::memcpy(&options_.aggregate, &no_rule, sizeof(no_rule));
  EXPECT_EQ(ask(100), kInvalidArgument);
  EXPECT_STREQ(error_.where, "aggregate");
}

TEST_F(ChunksTest, TooLittleRoom) {
  ASSERT_EQ(ask(100), ONEPASS_OK);
  const size_t count = count_;
  const auto whole = scores_;
  const auto all = chunks_;
  for (const size_t capacity : {size_t{0}, size_t{1}, count - 1, count}) {
    scores_.assign(12, 0);
    const onepass_status expected = capacity < count ? kBufferTooSmall : ONEPASS_OK;
    EXPECT_EQ(ask(capacity), expected);
    EXPECT_EQ(count_, count);
    EXPECT_EQ(scores_, whole) << "the text itself has its scores";
    for (size_t i = 0; i < capacity; ++i) EXPECT_EQ(chunks_[i].end, all[i].end);
    EXPECT_EQ(chunk_scores_.back(), -5.0f);
  }
  EXPECT_EQ(ask(count, false), ONEPASS_OK);
}

TEST_F(ChunksTest, WrongArguments) {
  const onepass_string bad{nullptr, 3};
  onepass_chunk chunk;
  const auto call = [&](onepass_session* session, onepass_string text, onepass_result* result, float* scores,
                        onepass_chunk* chunks, size_t* count) {
    return onepass_classify_chunks(session, text, nullptr, result, scores, chunks, nullptr, 1, count, &error_);
  };
  const onepass_string good = text_of("good");
  EXPECT_EQ(call(nullptr, good, &result_, scores_.data(), &chunk, &count_), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), bad, &result_, scores_.data(), &chunk, &count_), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), good, nullptr, scores_.data(), &chunk, &count_), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), good, &result_, nullptr, &chunk, &count_), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), good, &result_, scores_.data(), nullptr, &count_), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), good, &result_, scores_.data(), &chunk, nullptr), kInvalidArgument);
  EXPECT_EQ(call(session_.get(), {nullptr, 0}, &result_, scores_.data(), &chunk, &count_), ONEPASS_OK);
  EXPECT_EQ(count_, 1u);
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.on_long = ONEPASS_LONG_CHUNK;
  onepass_token token;
  EXPECT_EQ(onepass_tokenize(session_.get(), good, &options, &token, 1, &count_, &error_), kInvalidArgument);
}

TEST_F(ChunksTest, CppLayer) {
  ASSERT_EQ(ask(100), ONEPASS_OK);
  onepass_model_options copy = ONEPASS_INIT(onepass_model_options);
  copy.copy = 1;
  const Model model = Model::from_memory(std::as_bytes(std::span(bytes_of("own_heads"))), copy).value();
  Session session = Session::open(model).value();
  // More chunks than the first try has room for.
  onepass_classify_options small = ONEPASS_INIT(onepass_classify_options);
  small.max_tokens = 8;
  EXPECT_GT(session.classify_chunks(text_, small).value().chunks.size(), 8u);
  const ChunkedClassification chunked = session.classify_chunks(text_).value();
  ASSERT_EQ(chunked.chunks.size(), count_);
  EXPECT_EQ(chunked.whole.chunks(), count_);
  EXPECT_EQ(std::memcmp(chunked.whole.scores().data(), scores_.data(), 12 * sizeof(float)), 0);
  for (size_t i = 0; i < count_; ++i) {
    EXPECT_EQ(chunked.chunks[i].end, chunks_[i].end);
    EXPECT_EQ(std::memcmp(chunked.chunks[i].scores.data(), chunk_scores_.data() + i * 12, 12 * sizeof(float)), 0);
  }
  small.max_tokens = 2;
  EXPECT_EQ(session.classify_chunks(text_, small).error().where, "max_tokens");
}

}  // namespace
}  // namespace onepass::test
