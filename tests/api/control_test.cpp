// What is said to a session while it runs, and what it tells: cancellation, time limits, power, metrics.
#include <atomic>
#include <cstring>
#include <onepass/onepass.hpp>
#include <set>
#include <thread>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

constexpr onepass_status kCancelled = 8, kDeadlineExceeded = 10;

// An executor that does something at a chosen parallel section, and counts.
struct Executor {
  size_t sections = 0;
  size_t at = 0;  // counted from 1; 0: never
  void (*act)(void*) = nullptr;
  void* argument = nullptr;
  std::set<size_t> counts;

  static void run(void* context, size_t count, void (*task)(void*, size_t), void* argument) {
    auto& self = *static_cast<Executor*>(context);
    self.counts.insert(count);
    if (++self.sections == self.at) self.act(self.argument);
    for (size_t i = 0; i < count; ++i) task(argument, i);
  }
};

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    onepass_session_options options = ONEPASS_INIT(onepass_session_options);
    options.threads = 8;
    options.executor = Executor::run;
    options.executor_context = &executor_;
    session_ = open_session(model_, options);
    gold_ = classify(model_, open_session(model_), sample_texts()).logits;
  }
  onepass_status control() { return onepass_session_control(session_.get(), &control_, &error_); }
  Answer run() { return classify(model_, session_, sample_texts()); }

  ModelPtr model_ = open_fixture();
  Executor executor_;
  SessionPtr session_;
  std::vector<float> gold_;
  onepass_control control_ = ONEPASS_INIT(onepass_control);
  onepass_error error_ = ONEPASS_INIT(onepass_error);
};

TEST_F(ControlTest, CancelStopsBetweenLayers) {
  uint32_t flag = 0;
  control_.cancel = &flag;
  ASSERT_EQ(control(), ONEPASS_OK);
  EXPECT_EQ(run().logits, gold_) << "the flag is not set";
  const size_t whole = executor_.sections;
  executor_.sections = 0;
  executor_.at = 2;
  executor_.act = [](void* f) { onepass_cancel(static_cast<uint32_t*>(f), 1); };
  executor_.argument = &flag;
  const Answer stopped = run();
  EXPECT_EQ(stopped.status, kCancelled);
  EXPECT_EQ(stopped.error.status, kCancelled);
  EXPECT_LT(executor_.sections, whole);
  executor_.at = 0;
  executor_.sections = 0;
  EXPECT_EQ(run().status, kCancelled) << "until it is 0 again";
  EXPECT_EQ(executor_.sections, 0u);
  const uint32_t ids[] = {2, 30, 3}, starts[] = {0, 3};
  std::vector<float> logits(12);
  EXPECT_EQ(onepass_run_ids(session_.get(), ids, starts, 1, logits.data(), &error_), kCancelled);
  onepass_cancel(&flag, 0);
  const Answer again = run();
  EXPECT_EQ(again.status, ONEPASS_OK);
  EXPECT_EQ(again.logits, gold_) << "the session goes on";
}

TEST_F(ControlTest, CancelledFromAnotherThread) {
  uint32_t flag = 0;
  control_.cancel = &flag;
  ASSERT_EQ(control(), ONEPASS_OK);
  std::thread other([&] { onepass_cancel(&flag, 1); });
  onepass_status status = ONEPASS_OK;
  while (status == ONEPASS_OK) status = run().status;
  other.join();
  EXPECT_EQ(status, kCancelled);
}

TEST_F(ControlTest, Deadline) {
  control_.timeout_ms = 20;
  ASSERT_EQ(control(), ONEPASS_OK);
  executor_.at = 2;
  executor_.act = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(25)); };
  const Answer late = run();
  EXPECT_EQ(late.status, kDeadlineExceeded);
  EXPECT_STREQ(onepass_status_name(late.status), "deadline_exceeded");
  control_.timeout_ms = 3600 * 1000;
  ASSERT_EQ(control(), ONEPASS_OK);
  executor_.sections = 0;
  EXPECT_EQ(run().logits, gold_) << "time is counted from the beginning of each call";
}

TEST_F(ControlTest, PowerLowersThreadsAndChangesNoBit) {
  const std::pair<onepass_power, std::set<size_t>> cases[] = {
      {ONEPASS_POWER_NORMAL, {8}}, {ONEPASS_POWER_LOW, {4}}, {ONEPASS_POWER_CRITICAL, {}}, {ONEPASS_POWER_NORMAL, {8}}};
  for (const auto& [power, counts] : cases) {
    executor_.counts.clear();
    control_.power = power;
    ASSERT_EQ(control(), ONEPASS_OK);
    EXPECT_EQ(run().logits, gold_);
    EXPECT_EQ(executor_.counts, counts) << "one thread is the caller's own";
  }
}

TEST_F(ControlTest, Metrics) {
  struct Seen {
    std::vector<onepass_metrics> all;
    static void add(void* context, const onepass_metrics* m) { static_cast<Seen*>(context)->all.push_back(*m); }
  } seen;
  uint32_t flag = 0;
  control_.metrics = Seen::add;
  control_.metrics_context = &seen;
  control_.cancel = &flag;
  ASSERT_EQ(control(), ONEPASS_OK);
  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  policy.max_tokens = 6;
  std::vector<onepass_verdict> verdicts(sample_texts().size());
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.policy = &policy;
  options.verdicts = verdicts.data();
  const Answer answer = classify(model_, session_, sample_texts(), &options);
  ASSERT_EQ(answer.status, ONEPASS_OK) << answer.error.message;
  ASSERT_EQ(seen.all.size(), 1u);
  const onepass_metrics& m = seen.all[0];
  EXPECT_EQ(m.struct_size, sizeof(m));
  EXPECT_EQ(m.status, ONEPASS_OK);
  EXPECT_EQ(m.texts, sample_texts().size());
  uint64_t tokens = 0, cloud = 0;
  for (size_t b = 0; b < verdicts.size(); ++b) {
    tokens += answer.results[b].tokens;
    cloud += answer.results[b].text_tokens > 6;
    EXPECT_EQ(verdicts[b].route, answer.results[b].text_tokens > 6 ? ONEPASS_ROUTE_CLOUD : ONEPASS_ROUTE_LOCAL);
    onepass_verdict alone{};
    ASSERT_EQ(onepass_decide(model_.get(), &policy, text_of(sample_texts()[b]), &answer.results[b],
                             answer.scores.data() + b * 12, &alone, nullptr),
              ONEPASS_OK);
    EXPECT_EQ(alone.reasons, verdicts[b].reasons);
  }
  EXPECT_EQ(m.tokens, tokens);
  EXPECT_GT(cloud, 0u);
  EXPECT_EQ(m.routes[ONEPASS_ROUTE_CLOUD], cloud);
  EXPECT_EQ(m.routes[ONEPASS_ROUTE_LOCAL], verdicts.size() - cloud);
  EXPECT_EQ(m.routes[ONEPASS_ROUTE_LOCAL_UNCERTAIN], 0u);
  EXPECT_GT(m.nanoseconds, 1000u);
  onepass_model_info info = ONEPASS_INIT(onepass_model_info);
  ASSERT_EQ(onepass_model_get_info(model_.get(), &info), ONEPASS_OK);
  EXPECT_EQ(m.model_version.data, info.model_version.data);
  EXPECT_EQ(m.model_id.data, info.model_id.data);
  const uint32_t ids[] = {2, 30, 3}, starts[] = {0, 3};
  std::vector<float> logits(12);
  ASSERT_EQ(onepass_run_ids(session_.get(), ids, starts, 1, logits.data(), &error_), ONEPASS_OK);
  ASSERT_EQ(seen.all.size(), 2u);
  EXPECT_EQ(seen.all[1].tokens, 3u);
  flag = 1;
  EXPECT_EQ(run().status, kCancelled);
  ASSERT_EQ(seen.all.size(), 3u);
  EXPECT_EQ(seen.all[2].status, kCancelled);
  EXPECT_EQ(seen.all[2].tokens, 0u);
  // Taken back.
  ASSERT_EQ(onepass_session_control(session_.get(), nullptr, &error_), ONEPASS_OK);
  EXPECT_EQ(run().logits, gold_);
  EXPECT_EQ(seen.all.size(), 3u);
}

TEST_F(ControlTest, WrongArguments) {
  EXPECT_EQ(onepass_session_control(nullptr, &control_, &error_), kInvalidArgument);
  const uint32_t no_power = 3;
  std::memcpy(&control_.power, &no_power, sizeof(no_power));
  EXPECT_EQ(control(), kInvalidArgument);
  EXPECT_STREQ(error_.where, "power");
  control_ = {};
  EXPECT_EQ(control(), kInvalidArgument) << "no size";
  onepass_cancel(nullptr, 1);
  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.policy = &policy;
  EXPECT_EQ(classify(model_, session_, sample_texts(), &options).status, kInvalidArgument);
  onepass_verdict verdicts[7];
  options.verdicts = verdicts;
  policy.min_confidence = 7;
  EXPECT_EQ(classify(model_, session_, sample_texts(), &options).status, kInvalidArgument);
}

}  // namespace
}  // namespace onepass::test
