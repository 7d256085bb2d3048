// Policies and divergences through the C API and the C++ layer.
#include <cmath>
#include <cstring>
#include <onepass/onepass.hpp>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

class DecisionsTest : public testing::Test {
 protected:
  onepass_status decide(const std::string& text, float confidence = 1, uint32_t tokens = 5) {
    onepass_result result{};
    result.confidence = confidence;
    result.tokens = result.text_tokens = tokens;
    return onepass_decide(model_.get(), &policy_, text_of(text), &result, scores_.data(), &verdict_, &error_);
  }

  ModelPtr model_ = open_fixture();
  std::vector<float> scores_ = std::vector<float>(12, 0.01f);
  onepass_policy policy_ = ONEPASS_INIT(onepass_policy);
  onepass_verdict verdict_{};
  onepass_error error_ = ONEPASS_INIT(onepass_error);
};

TEST_F(DecisionsTest, EveryField) {
  ASSERT_EQ(decide("", 0), ONEPASS_OK);
  EXPECT_EQ(verdict_.route, ONEPASS_ROUTE_LOCAL);
  EXPECT_EQ(verdict_.reasons, 0u);
  policy_.min_confidence = 0.7f;
  policy_.abstain_below = 0.3f;
  ASSERT_EQ(decide("", 0.5f), ONEPASS_OK);
  EXPECT_EQ(verdict_.route, ONEPASS_ROUTE_CLOUD);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_LOW_CONFIDENCE);
  EXPECT_EQ(verdict_.abstained, 0u);
  ASSERT_EQ(decide("", 0.2f), ONEPASS_OK);
  EXPECT_EQ(verdict_.abstained, 1u);
  policy_.offline = 1;
  ASSERT_EQ(decide("", 0.5f), ONEPASS_OK);
  EXPECT_EQ(verdict_.route, ONEPASS_ROUTE_LOCAL_UNCERTAIN);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_LOW_CONFIDENCE | ONEPASS_REASON_OFFLINE);
  policy_ = ONEPASS_INIT(onepass_policy);
  policy_.max_tokens = 4;
  ASSERT_EQ(decide(""), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_TOO_LONG);
  policy_ = ONEPASS_INIT(onepass_policy);
  policy_.negation_and_sarcasm = 1;
  ASSERT_EQ(decide("not again, yeah right"), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_NEGATION | ONEPASS_REASON_SARCASM);
  policy_.negations = text_of("nyet");
  ASSERT_EQ(decide("not again, yeah right"), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, 0u) << "the caller's list takes the place of the built-in one";
  policy_.sarcasm_markers = text_of("da da");
  ASSERT_EQ(decide("nyet, da, da"), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_NEGATION | ONEPASS_REASON_SARCASM);
  policy_ = ONEPASS_INIT(onepass_policy);
  policy_.high_stakes_labels = text_of("mood 3");
  ASSERT_EQ(decide(""), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, 0u);
  scores_[3] = 0.99f;
  ASSERT_EQ(decide(""), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_HIGH_STAKES);
  policy_ = ONEPASS_INIT(onepass_policy);
  policy_.high_stakes = 1;
  ASSERT_EQ(decide(""), ONEPASS_OK);
  EXPECT_EQ(verdict_.route, ONEPASS_ROUTE_CLOUD);
}

TEST_F(DecisionsTest, TooLongCountsWhatWasCut) {
  const SessionPtr session = open_session(model_);
  const std::string text = sample_texts().back() + sample_texts().back() + sample_texts().back();
  const Answer answer = classify(model_, session, {{text}});
  ASSERT_EQ(answer.status, ONEPASS_OK);
  const onepass_result& result = answer.results[0];
  EXPECT_EQ(result.tokens, 48u);
  EXPECT_EQ(result.truncated, 1u);
  EXPECT_GT(result.text_tokens, 48u);
  EXPECT_GT(result.bytes_read, 0u);
  EXPECT_LT(result.bytes_read, text.size());
  policy_.max_tokens = 48;
  ASSERT_EQ(onepass_decide(model_.get(), &policy_, text_of(text), &result, nullptr, &verdict_, &error_), ONEPASS_OK);
  EXPECT_EQ(verdict_.reasons, ONEPASS_REASON_TOO_LONG);
  const Answer whole = classify(model_, session, {{"good"}});
  EXPECT_EQ(whole.results[0].text_tokens, whole.results[0].tokens);
  EXPECT_EQ(whole.results[0].bytes_read, 4u);
}

TEST_F(DecisionsTest, WrongArguments) {
  const onepass_result result{};
  const auto ask = [&](const onepass_model* model, const onepass_policy* policy, onepass_string text,
                       const onepass_result* r, const float* scores, onepass_verdict* verdict) {
    return onepass_decide(model, policy, text, r, scores, verdict, &error_);
  };
  const onepass_string none{nullptr, 0}, bad{nullptr, 3};
  EXPECT_EQ(ask(nullptr, &policy_, none, &result, nullptr, &verdict_), kInvalidArgument);
  EXPECT_EQ(ask(model_.get(), &policy_, none, nullptr, nullptr, &verdict_), kInvalidArgument);
  EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, nullptr), kInvalidArgument);
  EXPECT_EQ(ask(model_.get(), &policy_, bad, &result, nullptr, &verdict_), kInvalidArgument);
  EXPECT_EQ(ask(model_.get(), nullptr, none, &result, nullptr, &verdict_), ONEPASS_OK);
  EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), ONEPASS_OK);
  policy_.high_stakes_labels = text_of("mood 3");
  EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), kInvalidArgument);
  EXPECT_STREQ(error_.where, "scores");
  policy_ = ONEPASS_INIT(onepass_policy);
  for (const float value : {-0.1f, 1.1f, NAN}) {
    policy_.min_confidence = value;
    EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), kInvalidArgument) << value;
    EXPECT_STREQ(error_.where, "min_confidence");
    policy_.min_confidence = 0;
    policy_.abstain_below = value;
    EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), kInvalidArgument) << value;
    policy_.abstain_below = 0;
  }
  policy_.negations = bad;
  EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), kInvalidArgument);
  policy_ = {};
  EXPECT_EQ(ask(model_.get(), &policy_, none, &result, nullptr, &verdict_), kInvalidArgument) << "no size";
}

TEST_F(DecisionsTest, Names) {
  EXPECT_STREQ(onepass_route_name(ONEPASS_ROUTE_LOCAL_UNCERTAIN), "local_uncertain");
  EXPECT_STREQ(onepass_reason_name(ONEPASS_REASON_HIGH_STAKES), "high_stakes");
  for (const uint32_t reason : {0u, 3u, 64u, 0x80000000u, ~0u}) EXPECT_STREQ(onepass_reason_name(reason), "") << reason;
}

TEST_F(DecisionsTest, Divergence) {
  onepass_divergence d = ONEPASS_INIT(onepass_divergence);
  std::vector<float> ours(9, 0.0f), theirs(9, 0.0f);
  theirs[4] = 1;
  ASSERT_EQ(onepass_compare(model_.get(), 0, ours.data(), theirs.data(), &d, &error_), ONEPASS_OK);
  EXPECT_FLOAT_EQ(d.total_variation, 1.0f / 9);
  EXPECT_EQ(d.label_flips, 1u);
  const float a[] = {1, 0, -1}, b[] = {0, 0, 1};
  ASSERT_EQ(onepass_compare(model_.get(), 1, a, b, &d, &error_), ONEPASS_OK);
  EXPECT_FLOAT_EQ(d.distance, std::sqrt(5.0f));
  theirs[8] = 1.5f;
  EXPECT_EQ(onepass_compare(model_.get(), 0, ours.data(), theirs.data(), &d, &error_), kInvalidArgument);
  EXPECT_STREQ(error_.where, "theirs");
  theirs[8] = NAN;
  EXPECT_EQ(onepass_compare(model_.get(), 0, theirs.data(), ours.data(), &d, &error_), kInvalidArgument);
  EXPECT_STREQ(error_.where, "ours");
  EXPECT_EQ(onepass_compare(nullptr, 0, a, b, &d, &error_), kInvalidArgument);
  EXPECT_EQ(onepass_compare(model_.get(), 2, a, b, &d, &error_), kInvalidArgument);
  EXPECT_EQ(onepass_compare(model_.get(), 1, nullptr, b, &d, &error_), kInvalidArgument);
  EXPECT_EQ(onepass_compare(model_.get(), 1, a, nullptr, &d, &error_), kInvalidArgument);
  EXPECT_EQ(onepass_compare(model_.get(), 1, a, b, nullptr, &error_), kInvalidArgument);
  d.struct_size = 0;
  EXPECT_EQ(onepass_compare(model_.get(), 1, a, b, &d, &error_), kInvalidArgument);
}

TEST(Decisions, CppLayer) {
  onepass_model_options options = ONEPASS_INIT(onepass_model_options);
  options.copy = 1;
  const auto& bytes = bytes_of("own_heads");
  const Model model = Model::from_memory(std::as_bytes(std::span(bytes)), options).value();
  Session session = Session::open(model).value();
  const std::string_view text = "no, yeah right";
  const Classification c = session.classify(text).value();
  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  policy.min_confidence = 1;
  policy.offline = 1;
  policy.negation_and_sarcasm = 1;
  const Verdict verdict = decide(c, text, policy).value();
  EXPECT_EQ(verdict.route, ONEPASS_ROUTE_LOCAL_UNCERTAIN);
  EXPECT_EQ(verdict.reason_names(),
            (std::vector<std::string_view>{"low_confidence", "negation", "sarcasm", "offline"}));
  policy.min_confidence = 2;
  EXPECT_EQ(decide(c, text, policy).error().where, "min_confidence");
  const Head& head = model.heads()[0];
  const auto scores = c.scores().first(head.labels.size());
  EXPECT_EQ(compare(model, head, scores, scores).value().total_variation, 0.0f);
  EXPECT_FALSE(compare(model, head, scores, scores.first(2)));
}

}  // namespace
}  // namespace onepass::test
