// Sessions: what they refuse, passes, the app's floating-point environment, and threads.
#include <atomic>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

TEST(RunIds, RefusesWhatIsNoBatch) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const std::vector<uint32_t> ids = {2, 30, 3, 2, 31, 3};
  std::vector<float> logits(2 * 12, 5.0f);
  const auto code = [&](const std::vector<uint32_t>& i, const std::vector<uint32_t>& starts) {
    return session.run_ids(i, starts, logits).code();
  };
  EXPECT_EQ(code(ids, {}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {6}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {1, 6}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, 5}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, 7}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, 3, 3, 6}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, 4, 2, 6}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, UINT32_MAX, 6}), Code::invalid_argument);
  EXPECT_EQ(code({}, {0, 0}), Code::invalid_argument);
  EXPECT_EQ(code({104}, {0, 1}), Code::invalid_argument);
  EXPECT_EQ(code({UINT32_MAX}, {0, 1}), Code::invalid_argument);
  EXPECT_EQ(code(std::vector<uint32_t>(49, 5), {0, 49}), Code::invalid_argument);
  EXPECT_EQ(code(ids, {0, 1, 2, 6}), Code::buffer_too_small);
  EXPECT_EQ(logits, std::vector<float>(24, 5.0f));
  EXPECT_EQ(code(ids, {0, 3, 6}), Code::ok);
  EXPECT_EQ(code({103}, {0, 1}), Code::ok);
  EXPECT_EQ(code(std::vector<uint32_t>(48, 5), {0, 48}), Code::ok);
}

TEST(Classify, RefusesBuffersThatAreTooSmall) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const std::vector<std::string_view> texts = {"good", "bad"};
  std::vector<TextResult> results(2);
  std::vector<float> logits(24), scores(24);
  EXPECT_EQ(session.classify(texts, {}, std::span(results).first(1), logits, scores).code(), Code::buffer_too_small);
  EXPECT_EQ(session.classify(texts, {}, results, std::span(logits).first(23), scores).code(), Code::buffer_too_small);
  EXPECT_EQ(session.classify(texts, {}, results, logits, std::span(scores).first(23)).code(), Code::buffer_too_small);
  EXPECT_EQ(session.classify(texts, {}, results, logits, {}).code(), Code::ok) << "scores may be left out";
  EXPECT_EQ(session.classify({}, {}, {}, {}, {}).code(), Code::ok);
}

TEST(Classify, PassesDoNotChangeABit) {
  for (const char* weights : {"f32", "int8"}) {
    const Model model = open_bytes(bytes_of("own_heads", weights));
    std::vector<std::string> texts;
    for (size_t i = 0; i < 60; ++i) texts.push_back(sample_texts()[i % sample_texts().size()].substr(0, 5 + i * 2));
    Session whole = open_session(model, {.executor = {}, .tokens_per_pass = SIZE_MAX});
    const Outcome gold = classify(whole, texts);
    ASSERT_TRUE(gold.status.ok());
    for (const size_t tokens : {1u, 2u, 13u, 48u, 49u, 100u, 1024u}) {
      Session session = open_session(model, {.executor = {}, .tokens_per_pass = tokens});
      const Outcome outcome = classify(session, texts);
      ASSERT_TRUE(outcome.status.ok());
      EXPECT_TRUE(same_bits(outcome.logits, gold.logits)) << tokens;
      EXPECT_TRUE(same_bits(outcome.scores, gold.scores)) << tokens;
      for (size_t b = 0; b < texts.size(); ++b) {
        EXPECT_EQ(outcome.results[b].tokens, gold.results[b].tokens);
        EXPECT_EQ(outcome.results[b].truncated, gold.results[b].truncated);
        EXPECT_EQ(outcome.results[b].confidence, gold.results[b].confidence);
      }
      if (tokens <= 100) {
        EXPECT_LT(session.memory_bytes(), whole.memory_bytes()) << "smaller passes take less memory";
      }
    }
    EXPECT_FALSE(same_bits(std::span(gold.logits).first(12), std::span(gold.logits).subspan(12, 12)));
  }
}

// ---- The floating-point environment of the app ----

#if defined(__x86_64__)
using FpControl = unsigned;
FpControl get_control() { return _mm_getcsr(); }
void set_control(FpControl control) { _mm_setcsr(control); }
// Flush to zero with denormals as zero; round up; toward zero with both; all of it at once.
constexpr FpControl kHostile[] = {0x9FC0, 0x5F80, 0xFFC0, 0xDFC0};
constexpr FpControl kControlBits = 0xFFC0;  // without the flags of past exceptions
#define ONEPASS_TEST_FP 1
#elif defined(__aarch64__)
using FpControl = uint64_t;
FpControl get_control() {
  FpControl control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
}
void set_control(FpControl control) { asm volatile("msr fpcr, %0" : : "r"(control)); }
constexpr FpControl kHostile[] = {FpControl{1} << 24, FpControl{1} << 22, FpControl{7} << 22};
constexpr FpControl kControlBits = ~FpControl{0};
#define ONEPASS_TEST_FP 1
#endif

#if defined(ONEPASS_TEST_FP)

class Hostile {
 public:
  explicit Hostile(FpControl control) : saved_(get_control()) { set_control(control); }
  ~Hostile() { set_control(saved_); }
  Hostile(const Hostile&) = delete;
  Hostile& operator=(const Hostile&) = delete;

 private:
  FpControl saved_;
};

// The heads' weights are 0 and their biases denormal, so every logit is denormal.
Model denormal_model() {
  return open_patched("own_heads", "f32", [](const TensorView& t, std::span<uint8_t> payload) {
    if (t.slot == Slot::head_w) std::fill(payload.begin(), payload.end(), uint8_t{0});
    if (t.slot != Slot::head_b) return;
    for (size_t i = 0; i < static_cast<size_t>(t.k); ++i) {
      const float tiny = 1e-40f * static_cast<float>(i + 1);
      std::memcpy(payload.data() + i * sizeof(float), &tiny, sizeof(float));
    }
  });
}

TEST(FpEnvironment, OfTheAppChangesNothingAndIsRestored) {
  const Model usual = open_bytes(bytes_of("own_heads")), denormal = denormal_model();
  const std::vector<std::string_view> texts(sample_texts().begin(), sample_texts().end());
  for (const Model* model : {&usual, &denormal}) {
    for (const Isa isa : available_levels()) {
      for (const unsigned threads : {1u, 3u}) {
        const Executor executor = threads == 1 ? Executor{} : Executor{run_on_threads, nullptr, threads};
        const SessionOptions options{.isa = isa, .executor = executor};
        Session calm = open_session(*model, options);
        const Outcome gold = classify(calm, sample_texts());
        ASSERT_TRUE(gold.status.ok());
        if (model == &denormal) {
          EXPECT_GT(gold.logits[0], 0.0f);
          EXPECT_LT(gold.logits[0], 1e-39f);
        }
        for (const FpControl control : kHostile) {
          Session session = open_session(*model, options);
          std::vector<float> logits(gold.logits.size()), scores(gold.scores.size());
          std::vector<TextResult> results(texts.size());
          Status status;
          FpControl after = 0;
          {
            const Hostile hostile(control);
            status = session.classify(texts, {}, results, logits, scores);
            after = get_control();
          }
          ASSERT_TRUE(status.ok());
          EXPECT_EQ(after & kControlBits, control & kControlBits);
          EXPECT_TRUE(same_bits(logits, gold.logits)) << kernels::isa_name(isa) << ", control " << control;
          EXPECT_TRUE(same_bits(scores, gold.scores)) << kernels::isa_name(isa) << ", control " << control;
        }
      }
    }
  }
}

TEST(FpEnvironment, IsRestoredAfterAnError) {
  const Model model = open_patched("own_heads", "f32", [](const TensorView& t, std::span<uint8_t> payload) {
    if (t.slot == Slot::head_b) std::fill(payload.begin(), payload.end(), uint8_t{0xFF});
  });
  Session session = open_session(model);
  const std::vector<uint32_t> ids = {2, 3}, starts = {0, 2};
  std::vector<float> logits(12);
  Code code{};
  FpControl after = 0;
  {
    const Hostile hostile(kHostile[0]);
    code = session.run_ids(ids, starts, logits).code();
    after = get_control();
  }
  EXPECT_EQ(code, Code::non_finite_result);
  EXPECT_EQ(after & kControlBits, kHostile[0] & kControlBits);
}

// What the tests above rely on: the control word does change arithmetic.
TEST(FpEnvironment, FlushingIsReal) {
  volatile float denormal = 1e-40f;
  volatile float product = 1;
  {
    const Hostile hostile(kHostile[0]);
    product = denormal * 1.5f;
  }
  EXPECT_EQ(product, 0.0f);
  product = denormal * 1.5f;
  EXPECT_GT(product, 0.0f);
}

#if defined(__x86_64__)
// An app that traps floating-point exceptions (feenableexcept) gets results, not signals.
TEST(FpEnvironment, TrapsOfTheAppDoNotFire) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const Outcome gold = classify(session, sample_texts());
  std::vector<float> logits(gold.logits.size()), scores(gold.scores.size());
  std::vector<TextResult> results(sample_texts().size());
  const std::vector<std::string_view> texts(sample_texts().begin(), sample_texts().end());
  {
    // Nothing is masked, not even inexact results.
    const Hostile hostile(0);
    (void)session.classify(texts, {}, results, logits, scores);
  }
  EXPECT_TRUE(same_bits(logits, gold.logits));
  EXPECT_TRUE(same_bits(scores, gold.scores));
}
#endif

#endif

// ---- Threads ----

TEST(Threads, EightSessionsOnOneModel) {
  const Model model = open_bytes(bytes_of("own_heads"));
  Session session = open_session(model);
  const Outcome gold = classify(session, sample_texts());
  std::atomic<int> equal = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const auto levels = available_levels();
      const Isa isa = levels[static_cast<size_t>(t) % levels.size()];
      // Every other thread's session has threads of its own.
      const Executor executor = t % 2 == 0 ? Executor{} : Executor{run_on_threads, nullptr, 2};
      Session own = open_session(model, {.isa = isa, .executor = executor});
      for (int i = 0; i < 4; ++i) {
        const Outcome outcome = classify(own, sample_texts());
        equal +=
            outcome.status.ok() && same_bits(outcome.logits, gold.logits) && same_bits(outcome.scores, gold.scores);
      }
      equal += run_self_tests(model, isa).ok() && model.file().verify().ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 8 * 5);
}

}  // namespace
}  // namespace onepass::test
