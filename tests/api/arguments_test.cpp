// Every function with what it must refuse: a status or an empty result, and nothing written.
#include <cstring>

#include "tests/api/handles.h"
#include "tests/support/temp_folder.h"

namespace onepass::test {
namespace {

class Arguments : public testing::Test {
 protected:
  ModelPtr model_ = open_fixture();
  SessionPtr session_ = open_session(model_);
  onepass_error error_ = ONEPASS_INIT(onepass_error);

  // Checks that the last call refused `what`, and forgets it.
  void expect_refused(onepass_status status, const char* what) {
    EXPECT_EQ(status, kInvalidArgument);
    EXPECT_EQ(error_.status, kInvalidArgument);
    EXPECT_STREQ(error_.where, what);
    EXPECT_GT(std::strlen(error_.message), 10u);
    EXPECT_EQ(error_.offset, UINT64_MAX);
    error_ = ONEPASS_INIT(onepass_error);
  }
};

TEST_F(Arguments, ModelOpen) {
  auto* poison = reinterpret_cast<onepass_model*>(&error_);
  onepass_model* out = poison;
  expect_refused(onepass_model_open(nullptr, nullptr, &out, &error_), "path");
  EXPECT_EQ(out, nullptr);
  expect_refused(onepass_model_open("x", nullptr, nullptr, &error_), "model");
  out = poison;
  const onepass_model_options no_size{};
  expect_refused(onepass_model_open("x", &no_size, &out, &error_), "onepass_model_options");
  EXPECT_EQ(out, nullptr);
  // Without an error struct, too.
  EXPECT_EQ(onepass_model_open(nullptr, nullptr, &out, nullptr), kInvalidArgument);
}

TEST_F(Arguments, ModelOpenMemory) {
  onepass_model* out = reinterpret_cast<onepass_model*>(&error_);
  expect_refused(onepass_model_open_memory(nullptr, 100, nullptr, &out, &error_), "data");
  EXPECT_EQ(out, nullptr);
  expect_refused(onepass_model_open_memory("x", 1, nullptr, nullptr, &error_), "model");
  const onepass_model_options no_size{};
  expect_refused(onepass_model_open_memory("x", 1, &no_size, &out, &error_), "onepass_model_options");
  alignas(64) const char nothing[64] = {};
  EXPECT_EQ(onepass_model_open_memory(nothing, 0, nullptr, &out, &error_), kTruncated);
  EXPECT_EQ(out, nullptr);
}

TEST_F(Arguments, ModelInfo) {
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  EXPECT_EQ(onepass_model_get_info(nullptr, &info), kInvalidArgument);
  EXPECT_EQ(onepass_model_get_info(model_.get(), nullptr), kInvalidArgument);
  info.struct_size = 0;
  EXPECT_EQ(onepass_model_get_info(model_.get(), &info), kInvalidArgument);
  EXPECT_EQ(info.family.data, nullptr);
}

TEST_F(Arguments, Heads) {
  onepass_head_info info = ONEPASS_INIT(onepass_head_info);
  EXPECT_EQ(onepass_model_get_head(nullptr, 0, &info), kInvalidArgument);
  EXPECT_EQ(onepass_model_get_head(model_.get(), 0, nullptr), kInvalidArgument);
  EXPECT_EQ(onepass_model_get_head(model_.get(), 2, &info), kInvalidArgument);
  EXPECT_EQ(onepass_model_get_head(model_.get(), UINT32_MAX, &info), kInvalidArgument);
  EXPECT_EQ(info.name.data, nullptr);
  info.struct_size = 0;
  EXPECT_EQ(onepass_model_get_head(model_.get(), 0, &info), kInvalidArgument);
}

TEST_F(Arguments, LabelsAndThresholds) {
  const auto empty = [](onepass_string s) { return s.data != nullptr && s.size == 0; };
  EXPECT_TRUE(empty(onepass_model_label(nullptr, 0, 0)));
  EXPECT_TRUE(empty(onepass_model_label(model_.get(), 2, 0)));
  EXPECT_TRUE(empty(onepass_model_label(model_.get(), 0, 9)));
  EXPECT_TRUE(empty(onepass_model_label(model_.get(), UINT32_MAX, UINT32_MAX)));
  EXPECT_FALSE(empty(onepass_model_label(model_.get(), 0, 8)));
  EXPECT_EQ(onepass_model_threshold(nullptr, 0, 0), 0.0f);
  EXPECT_EQ(onepass_model_threshold(model_.get(), 2, 0), 0.0f);
  EXPECT_EQ(onepass_model_threshold(model_.get(), 0, 9), 0.0f);
  EXPECT_EQ(onepass_model_threshold(model_.get(), 1, 0), 0.0f) << "regression has no thresholds";
  EXPECT_NE(onepass_model_threshold(model_.get(), 0, 8), 0.0f);
}

TEST_F(Arguments, LabelApplies) {
  std::vector<float> scores(12, 1.0f);
  EXPECT_EQ(onepass_label_applies(model_.get(), 0, 8, scores.data()), 1);
  EXPECT_EQ(onepass_label_applies(nullptr, 0, 0, scores.data()), 0);
  EXPECT_EQ(onepass_label_applies(model_.get(), 0, 0, nullptr), 0);
  EXPECT_EQ(onepass_label_applies(model_.get(), 0, 9, scores.data()), 0);
  EXPECT_EQ(onepass_label_applies(model_.get(), 1, 0, scores.data()), 0) << "a regression value is no label";
  EXPECT_EQ(onepass_label_applies(model_.get(), 2, 0, scores.data()), 0);
}

TEST_F(Arguments, Verify) { expect_refused(onepass_model_verify(nullptr, nullptr, &error_), "model"); }

TEST_F(Arguments, SessionOpen) {
  onepass_session* out = reinterpret_cast<onepass_session*>(&error_);
  expect_refused(onepass_session_open(nullptr, nullptr, &out, &error_), "model");
  EXPECT_EQ(out, nullptr);
  expect_refused(onepass_session_open(model_.get(), nullptr, nullptr, &error_), "session");
  onepass_session_options options{};
  expect_refused(onepass_session_open(model_.get(), &options, &out, &error_), "onepass_session_options");
  options = ONEPASS_INIT(onepass_session_options);
  options.threads = 1025;
  expect_refused(onepass_session_open(model_.get(), &options, &out, &error_), "threads");
  options.threads = 0;
  options.isa = "sse9";
  expect_refused(onepass_session_open(model_.get(), &options, &out, &error_), "sse9");
  EXPECT_EQ(out, nullptr);
}

TEST_F(Arguments, ClosingNothing) {
  onepass_model_close(nullptr);
  onepass_session_close(nullptr);
  EXPECT_STREQ(onepass_session_isa(nullptr), "");
  EXPECT_EQ(onepass_isa_available(nullptr), 0);
  EXPECT_EQ(onepass_isa_available(""), 0);
}

TEST_F(Arguments, Classify) {
  const onepass_string text = text_of("good");
  onepass_result result{};
  std::vector<float> scores(12, 5.0f), logits(12, 5.0f);
  const auto call = [&](onepass_session* session, const onepass_string* texts, onepass_result* results, float* s) {
    return onepass_classify(session, texts, 1, nullptr, results, s, logits.data(), &error_);
  };
  expect_refused(call(nullptr, &text, &result, scores.data()), "session");
  expect_refused(call(session_.get(), nullptr, &result, scores.data()), "texts");
  expect_refused(call(session_.get(), &text, nullptr, scores.data()), "results");
  expect_refused(call(session_.get(), &text, &result, nullptr), "scores");
  const onepass_string torn = {nullptr, 5};
  expect_refused(call(session_.get(), &torn, &result, scores.data()), "texts");
  EXPECT_EQ(scores, std::vector<float>(12, 5.0f));
  EXPECT_EQ(logits, std::vector<float>(12, 5.0f));
  // No text is no work.
  EXPECT_EQ(onepass_classify(session_.get(), nullptr, 0, nullptr, nullptr, nullptr, nullptr, &error_), ONEPASS_OK);
  // NULL of no bytes is the empty text.
  const onepass_string empty = {nullptr, 0};
  EXPECT_EQ(call(session_.get(), &empty, &result, scores.data()), ONEPASS_OK);
  EXPECT_EQ(result.tokens, 2u);
}

TEST_F(Arguments, ClassifyOptions) {
  const onepass_string text = text_of("good");
  onepass_result result{};
  std::vector<float> scores(12);
  onepass_token tokens[48];
  size_t count = 77;
  const auto both = [&](const onepass_classify_options& options, const char* what) {
    expect_refused(onepass_classify(session_.get(), &text, 1, &options, &result, scores.data(), nullptr, &error_),
                   what);
    expect_refused(onepass_tokenize(session_.get(), text, &options, tokens, 48, &count, &error_), what);
    EXPECT_EQ(count, 0u);
  };
  both({}, "onepass_classify_options");
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  const uint32_t no_rule = 3;
  std::memcpy(&options.on_long, &no_rule, sizeof(no_rule));
  both(options, "on_long");
  options = ONEPASS_INIT(onepass_classify_options);
  options.max_tokens = 1;  // the template alone has two
  both(options, "max_tokens");
}

TEST_F(Arguments, RunIds) {
  const std::vector<uint32_t> ids = {2, 30, 3, 2, 31, 3};
  std::vector<float> logits(24, 5.0f);
  const auto call = [&](std::vector<uint32_t> starts) {
    return onepass_run_ids(session_.get(), ids.data(), starts.data(), starts.size() - 1, logits.data(), &error_);
  };
  const std::vector<uint32_t> starts = {0, 3, 6};
  expect_refused(onepass_run_ids(nullptr, ids.data(), starts.data(), 2, logits.data(), &error_), "session");
  expect_refused(onepass_run_ids(session_.get(), nullptr, starts.data(), 2, logits.data(), &error_), "ids");
  expect_refused(onepass_run_ids(session_.get(), ids.data(), nullptr, 2, logits.data(), &error_), "starts");
  expect_refused(onepass_run_ids(session_.get(), ids.data(), starts.data(), 2, nullptr, &error_), "logits");
  expect_refused(call({1, 6}), "starts");
  expect_refused(call({0, 6, 6}), "text 1");
  expect_refused(call({0, 5, 3, 6}), "text 1");
  expect_refused(call({0, 0, 6}), "text 0");
  EXPECT_EQ(logits, std::vector<float>(24, 5.0f));
  EXPECT_EQ(call({0}), ONEPASS_OK);
  EXPECT_EQ(call(starts), ONEPASS_OK);
}

TEST_F(Arguments, RunIdsNamesTheText) {
  std::vector<float> logits(36);
  const std::vector<uint32_t> ids = {2, 3, 2, 30, 104, 3}, starts = {0, 2, 6};
  expect_refused(onepass_run_ids(session_.get(), ids.data(), starts.data(), 2, logits.data(), &error_), "text 1");
  onepass_run_ids(session_.get(), ids.data(), starts.data(), 2, logits.data(), &error_);
  EXPECT_NE(std::strstr(error_.message, "id 104 at position 2"), nullptr) << error_.message;
  const std::vector<uint32_t> many(49, 30), whole = {0, 49};
  error_ = ONEPASS_INIT(onepass_error);
  expect_refused(onepass_run_ids(session_.get(), many.data(), whole.data(), 1, logits.data(), &error_), "text 0");
}

TEST_F(Arguments, Scores) {
  std::vector<float> logits(12, 0.5f), scores(12, 5.0f);
  float confidence = 0;
  EXPECT_EQ(onepass_scores(nullptr, logits.data(), scores.data(), &confidence), kInvalidArgument);
  EXPECT_EQ(onepass_scores(model_.get(), nullptr, scores.data(), &confidence), kInvalidArgument);
  EXPECT_EQ(onepass_scores(model_.get(), logits.data(), nullptr, &confidence), kInvalidArgument);
  EXPECT_EQ(scores, std::vector<float>(12, 5.0f));
  EXPECT_EQ(onepass_scores(model_.get(), logits.data(), scores.data(), nullptr), ONEPASS_OK);
}

TEST_F(Arguments, Tokenize) {
  const onepass_string text = text_of("good");
  onepass_token tokens[4];
  size_t count = 77;
  expect_refused(onepass_tokenize(nullptr, text, nullptr, tokens, 4, &count, &error_), "session");
  EXPECT_EQ(count, 0u);
  expect_refused(onepass_tokenize(session_.get(), text, nullptr, nullptr, 4, &count, &error_), "tokens");
  expect_refused(onepass_tokenize(session_.get(), text, nullptr, tokens, 4, nullptr, &error_), "count");
  expect_refused(onepass_tokenize(session_.get(), {nullptr, 9}, nullptr, tokens, 4, &count, &error_), "text");
}

TEST_F(Arguments, Piece) {
  EXPECT_EQ(view(onepass_piece(model_.get(), 0)), "[PAD]");
  EXPECT_EQ(onepass_piece(nullptr, 0).size, 0u);
  EXPECT_EQ(onepass_piece(model_.get(), 104).size, 0u);
  EXPECT_EQ(onepass_piece(model_.get(), UINT32_MAX).size, 0u);
}

}  // namespace
}  // namespace onepass::test
