// Levels, threads, the app's own executor, passes, and verification.
#include <atomic>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "tests/api/handles.h"

namespace onepass::test {
namespace {

constexpr const char* kLevels[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni",
                                   "amx",    "neon", "dotprod", "i8mm"};

class SessionTest : public testing::Test {
 protected:
  std::vector<float> logits(const onepass_session_options& options) {
    const SessionPtr session = open_session(model_, options);
    const Answer answer = classify(model_, session, sample_texts());
    EXPECT_EQ(answer.status, ONEPASS_OK) << answer.error.message;
    return answer.logits;
  }

  ModelPtr model_ = open_fixture();
  onepass_session_options options_ = ONEPASS_INIT(onepass_session_options);
  onepass_error error_ = ONEPASS_INIT(onepass_error);
  std::vector<float> gold_ = logits(ONEPASS_INIT(onepass_session_options));
};

TEST_F(SessionTest, EveryLevelByName) {
  size_t available = 0;
  for (const char* level : kLevels) {
    options_.isa = level;
    if (onepass_isa_available(level)) {
      ++available;
      const SessionPtr session = open_session(model_, options_);
      EXPECT_STREQ(onepass_session_isa(session.get()), level);
      EXPECT_EQ(logits(options_), gold_) << level;
      EXPECT_EQ(onepass_model_verify(model_.get(), level, &error_), ONEPASS_OK) << level << ": " << error_.message;
      continue;
    }
    onepass_session* session = reinterpret_cast<onepass_session*>(&error_);
    EXPECT_EQ(onepass_session_open(model_.get(), &options_, &session, &error_), kIsaUnavailable) << level;
    EXPECT_EQ(session, nullptr);
    EXPECT_STREQ(error_.where, level);
    EXPECT_NE(std::strstr(error_.message, onepass_best_isa()), nullptr) << "it names what the machine has";
    EXPECT_EQ(onepass_model_verify(model_.get(), level, &error_), kIsaUnavailable) << level;
  }
  EXPECT_GE(available, 1u);
  EXPECT_LT(available, std::size(kLevels)) << "no machine has them all";
  EXPECT_EQ(onepass_isa_available("scalar"), 1);
}

TEST_F(SessionTest, UnknownLevels) {
  for (const char* level : {"", "AVX2", "avx2 ", "sse2", "best"}) {
    options_.isa = level;
    onepass_session* session = nullptr;
    EXPECT_EQ(onepass_isa_available(level), 0);
    EXPECT_EQ(onepass_session_open(model_.get(), &options_, &session, &error_), kInvalidArgument) << level;
    EXPECT_NE(std::strstr(error_.message, "avx512vnni"), nullptr) << "it lists the levels";
    EXPECT_EQ(onepass_model_verify(model_.get(), level, &error_), kInvalidArgument) << level;
  }
}

TEST_F(SessionTest, BestIsTheDefault) {
  EXPECT_STREQ(onepass_session_isa(open_session(model_).get()), onepass_best_isa());
  EXPECT_EQ(onepass_isa_available(onepass_best_isa()), 1);
  onepass_session* session = nullptr;
  ASSERT_EQ(onepass_session_open(model_.get(), nullptr, &session, nullptr), ONEPASS_OK);
  EXPECT_STREQ(onepass_session_isa(session), onepass_best_isa());
  onepass_session_close(session);
}

TEST_F(SessionTest, ThreadsAndPassesDoNotChangeABit) {
  for (const uint32_t threads : {0u, 1u, 2u, 3u, 7u}) {
    for (const uint32_t tokens_per_pass : {0u, 1u, 8u, 100000u}) {
      options_.threads = threads;
      options_.tokens_per_pass = tokens_per_pass;
      EXPECT_EQ(logits(options_), gold_) << threads << " threads, " << tokens_per_pass;
    }
  }
}

size_t live_threads() {
  size_t threads = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++threads;
  return threads;
}

// Runs every task on a thread of its own, and keeps what it saw.
struct Recorder {
  std::mutex mutex;
  std::set<size_t> counts;
  std::vector<size_t> indexes;
  std::set<std::thread::id> threads;
  size_t sections = 0;
  bool parallel = true;
  size_t most_live = 0;

  static void run(void* context, size_t count, void (*task)(void*, size_t), void* argument) {
    Recorder& self = *static_cast<Recorder*>(context);
    self.counts.insert(count);
    ++self.sections;
    std::vector<std::thread> workers;
    for (size_t i = 0; i < count; ++i) {
      const auto work = [&self, task, argument, i] {
        {
          const std::lock_guard lock(self.mutex);
          self.indexes.push_back(i);
          self.threads.insert(std::this_thread::get_id());
        }
        task(argument, i);
        const size_t live = live_threads();
        const std::lock_guard lock(self.mutex);
        self.most_live = std::max(self.most_live, live);
      };
      self.parallel ? void(workers.emplace_back(work)) : work();
    }
    for (std::thread& worker : workers) worker.join();
  }
};

TEST_F(SessionTest, TheAppsExecutorRunsEverything) {
  Recorder recorder;
  options_.threads = 3;
  options_.executor = Recorder::run;
  options_.executor_context = &recorder;
  EXPECT_EQ(logits(options_), gold_);
  EXPECT_EQ(recorder.counts, std::set<size_t>{3});
  EXPECT_GE(recorder.sections, 3u);
  EXPECT_FALSE(recorder.threads.contains(std::this_thread::get_id())) << "no work is left to the calling thread";
  ASSERT_EQ(recorder.indexes.size(), 3 * recorder.sections);
  for (size_t index = 0; index < 3; ++index) {
    EXPECT_EQ(std::count(recorder.indexes.begin(), recorder.indexes.end(), index), std::ptrdiff_t(recorder.sections));
  }
}

TEST_F(SessionTest, NoThreadsBesideTheAppsExecutor) {
  const size_t before = live_threads();
  Recorder recorder;
  recorder.parallel = false;
  options_.threads = 4;
  options_.executor = Recorder::run;
  options_.executor_context = &recorder;
  EXPECT_EQ(logits(options_), gold_);
  EXPECT_GT(recorder.sections, 0u);
  EXPECT_EQ(recorder.most_live, before);
  EXPECT_EQ(live_threads(), before);
}

TEST_F(SessionTest, OneThreadNeedsNoExecutor) {
  Recorder recorder;
  options_.executor = Recorder::run;
  options_.executor_context = &recorder;
  for (const uint32_t threads : {0u, 1u}) {
    options_.threads = threads;
    EXPECT_EQ(logits(options_), gold_);
  }
  EXPECT_EQ(recorder.sections, 0u);
}

TEST_F(SessionTest, SessionsShareAModel) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) right += logits(ONEPASS_INIT(onepass_session_options)) == gold_;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 20);
}

TEST_F(SessionTest, VerifyRunsTheSelfTests) {
  EXPECT_EQ(onepass_model_verify(model_.get(), nullptr, nullptr), ONEPASS_OK);
  // Hashes that are right, and a stored logit that is not.
  const ModelPtr wrong = open_copy(fixture_model_with_wrong_self_test("bert/own_heads"));
  EXPECT_EQ(onepass_model_verify(wrong.get(), "scalar", &error_), kSelfTestFailed);
  EXPECT_STREQ(error_.where, "self_test");
  EXPECT_NE(std::strstr(error_.message, "scalar"), nullptr) << error_.message;
}

}  // namespace
}  // namespace onepass::test
