// Memory: each allocation failed in turn gives out_of_memory and leaks nothing, and a warm session allocates nothing.
// Linked with --wrap for every way to memory, so that this program holds nothing else.
#include <onepass/onepass.h>

#include <cstdlib>
#include <set>

#include "tests/runtime/models.h"
#include "tests/support/temp_folder.h"

namespace {

// What is allocated between arm() and disarm().
struct Watch {
  bool armed = false;
  size_t calls = 0;
  size_t fail_at = 0;  // counted from 1; 0: none
  std::set<const void*> blocks;

  void arm(size_t at) {
    calls = 0;
    fail_at = at;
    armed = true;
  }
  void disarm() { armed = false; }
};

Watch watch;

// A new block, or null where it is this call's turn to fail.
template <class Allocate>
void* watched(Allocate&& allocate) {
  if (!watch.armed) return allocate();
  if (++watch.calls == watch.fail_at) return nullptr;
  void* block = allocate();
  watch.armed = false;  // the set allocates, too
  watch.blocks.insert(block);
  watch.armed = true;
  return block;
}

}  // namespace

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* block, size_t size);
void* __real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void** block, size_t alignment, size_t size);
void __real_free(void* block);

void* __wrap_malloc(size_t size) {
  return watched([&] { return __real_malloc(size); });
}
void* __wrap_calloc(size_t count, size_t size) {
  return watched([&] { return __real_calloc(count, size); });
}
void* __wrap_realloc(void* block, size_t size) {
  return watched([&] { return __real_realloc(block, size); });
}
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  return watched([&] { return __real_aligned_alloc(alignment, size); });
}
int __wrap_posix_memalign(void** block, size_t alignment, size_t size) {
  int result = 12;  // ENOMEM
  void* got = watched([&] {
    result = __real_posix_memalign(block, alignment, size);
    return result == 0 ? *block : nullptr;
  });
  return got == nullptr ? 12 : result;
}
void __wrap_free(void* block) {
  if (watch.armed) {
    watch.armed = false;
    watch.blocks.erase(block);
    watch.armed = true;
  }
  __real_free(block);
}
}

namespace onepass::test {
namespace {

// Calls `work` with its first, second, ... allocation failing, until none fails. `work` gives its code and cleans up.
// Returns how many allocations it makes.
template <class Work>
size_t fail_each(Work&& work) {
  for (size_t fail_at = 1; fail_at < 1000; ++fail_at) {
    watch.arm(fail_at);
    const Code code = work();
    watch.disarm();
    const size_t calls = watch.calls;
    EXPECT_EQ(watch.blocks.size(), 0u) << "leaked after allocation " << fail_at << " failed";
    watch.blocks.clear();
    if (code == Code::ok) {
      EXPECT_EQ(calls + 1, fail_at) << "an allocation failed and nobody noticed";
      return calls;
    }
    EXPECT_EQ(code, Code::out_of_memory) << "allocation " << fail_at << ": " << code_name(code);
  }
  ADD_FAILURE() << "no end";
  return 0;
}

std::vector<std::string_view> sample_views() { return {sample_texts().begin(), sample_texts().end()}; }

TEST(Allocation, TheWatchSees) {
  watch.arm(2);
  void* first = std::aligned_alloc(64, 64);
  void* second = std::malloc(10);
  void* third = std::calloc(2, 10);
  watch.disarm();
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(watch.calls, 3u);
  EXPECT_EQ(watch.blocks, (std::set<const void*>{first, third}));
  watch.arm(0);
  std::free(first);
  std::free(third);
  watch.disarm();
  EXPECT_TRUE(watch.blocks.empty());
}

TEST(Allocation, EachOfModelOpen) {
  const AlignedCopy bytes(bytes_of("own_heads"));
  for (const LoadMode mode : {LoadMode::map, LoadMode::copy}) {
    const size_t calls = fail_each([&] { return Model::from_memory(bytes.span(), {.mode = mode}).code(); });
    EXPECT_GE(calls, 15u) << "contents, weights and tokenizer";
  }
}

TEST(Allocation, EachOfSessionAndSelfTests) {
  const Model model = open_bytes(bytes_of("own_heads"));
  fail_each([&] { return Session::create(model, {}).code(); });
  const size_t calls = fail_each([&] { return run_self_tests(model, kernels::best_isa()).code(); });
  EXPECT_GE(calls, 2u);
}

TEST(Allocation, EachOfClassifyAndTheSessionGoesOn) {
  const Model model = open_bytes(bytes_of("own_heads"));
  const auto texts = sample_views();
  std::vector<TextResult> results(texts.size());
  std::vector<float> logits(texts.size() * 12), scores(logits.size());
  Session usual = open_session(model);
  ASSERT_TRUE(usual.classify(texts, {}, results, logits, scores).ok());
  const std::vector<float> gold = logits;
  for (const size_t tokens_per_pass : {20u, 1024u}) {
    bool recovered = true;
    const size_t calls = fail_each([&] {
      auto session = Session::create(model, {.executor = {}, .tokens_per_pass = tokens_per_pass});
      if (!session.ok()) return session.code();
      const Code code = session->classify(texts, {}, results, logits, scores).code();
      if (code == Code::ok) return code;
      watch.fail_at = 0;
      std::fill(logits.begin(), logits.end(), 0.0f);
      recovered = recovered && session->classify(texts, {}, results, logits, scores).ok() && same_bits(logits, gold);
      return code;
    });
    EXPECT_GE(calls, 5u);
    EXPECT_TRUE(recovered);
  }
}

TEST(Allocation, EachOfChunksAndTheSessionGoesOn) {
  const Model model = open_bytes(bytes_of("own_heads"));
  std::string text;
  for (int i = 0; i < 9; ++i) text += sample_texts().back() + ". ";
  const std::vector<std::string_view> texts = {text, sample_texts()[0], text};
  const ClassifyOptions options{.on_long = OnLong::chunk};
  std::vector<TextResult> results(texts.size());
  std::vector<float> logits(texts.size() * 12), scores(logits.size());
  Session usual = open_session(model);
  ASSERT_TRUE(usual.classify(texts, options, results, logits, scores).ok());
  ASSERT_GT(results[0].chunks, 3u);
  const std::vector<float> gold = logits;
  bool recovered = true;
  const size_t calls = fail_each([&] {
    auto session = Session::create(model, {.executor = {}, .tokens_per_pass = 100});
    if (!session.ok()) return session.code();
    const Code code = session->classify(texts, options, results, logits, scores).code();
    if (code == Code::ok) return code;
    watch.fail_at = 0;
    std::fill(logits.begin(), logits.end(), 0.0f);
    recovered = recovered && session->classify(texts, options, results, logits, scores).ok() && same_bits(logits, gold);
    return code;
  });
  EXPECT_GE(calls, 8u);
  EXPECT_TRUE(recovered);
}

// The C API adds handles and buffers of its own.
TEST(Allocation, EachOfTheCApi) {
  const AlignedCopy bytes(bytes_of("own_heads"));
  std::vector<onepass_string> texts;
  for (const std::string& text : sample_texts()) texts.push_back({text.data(), text.size()});
  std::vector<onepass_result> results(texts.size());
  std::vector<float> scores(texts.size() * 12);
  std::vector<onepass_token> tokens(48);
  size_t count = 0;
  onepass_error error = ONEPASS_INIT(onepass_error);
  bool described = true;
  const size_t calls = fail_each([&] {
    onepass_model* model = nullptr;
    onepass_session* session = nullptr;
    onepass_status status = onepass_model_open_memory(bytes.data(), bytes.size(), nullptr, &model, &error);
    if (status == ONEPASS_OK) status = onepass_model_verify(model, nullptr, &error);
    if (status == ONEPASS_OK) status = onepass_session_open(model, nullptr, &session, &error);
    if (status == ONEPASS_OK) {
      status = onepass_tokenize(session, texts[0], nullptr, tokens.data(), tokens.size(), &count, &error);
    }
    if (status == ONEPASS_OK) {
      status = onepass_classify(session, texts.data(), texts.size(), nullptr, results.data(), scores.data(), nullptr,
                                &error);
    }
    described = described && (status == ONEPASS_OK || (error.status == status && std::strlen(error.message) > 10));
    onepass_session_close(session);
    onepass_model_close(model);
    return static_cast<Code>(status);
  });
  EXPECT_GE(calls, 25u);
  EXPECT_TRUE(described);
}

TEST(Allocation, NoneAfterWarmUp) {
  for (const char* weights : {"f32", "int8"}) {
    const AlignedCopy bytes(bytes_of("own_heads", weights));
    onepass_model* model = nullptr;
    onepass_session* session = nullptr;
    ASSERT_EQ(onepass_model_open_memory(bytes.data(), bytes.size(), nullptr, &model, nullptr), ONEPASS_OK);
    ASSERT_EQ(onepass_session_open(model, nullptr, &session, nullptr), ONEPASS_OK);
    std::vector<std::string> all = sample_texts();
    all.push_back("malformed \xFF\xFE and \xCC\x81 marks [MASK]");
    std::vector<onepass_string> texts;
    for (const std::string& text : all) texts.push_back({text.data(), text.size()});
    std::vector<onepass_result> results(texts.size());
    std::vector<float> scores(texts.size() * 12), logits(scores.size());
    std::vector<onepass_token> tokens(48);
    const std::vector<uint32_t> ids = {2, 30, 31, 3}, starts = {0, 4};
    size_t count = 0;
    std::string long_text;
    for (int i = 0; i < 9; ++i) long_text += sample_texts().back() + ". ";
    const std::vector<onepass_string> long_texts = {{long_text.data(), long_text.size()}, texts[0]};
    onepass_classify_options in_chunks = ONEPASS_INIT(onepass_classify_options);
    in_chunks.on_long = ONEPASS_LONG_CHUNK;
    std::vector<onepass_chunk> chunks(64);
    std::vector<float> chunk_scores(64 * 12);
    onepass_policy policy = ONEPASS_INIT(onepass_policy);
    policy.negation_and_sarcasm = 1;
    onepass_verdict verdict{};
    onepass_status failed = ONEPASS_OK;
    const auto everything = [&] {
      for (size_t n = texts.size(); n > 0; --n) {
        failed |= onepass_classify(session, texts.data(), n, nullptr, results.data(), scores.data(), nullptr, nullptr);
        failed |= onepass_classify(session, texts.data() + texts.size() - n, n, nullptr, results.data(), scores.data(),
                                   logits.data(), nullptr);
        failed |= onepass_tokenize(session, texts[n - 1], nullptr, tokens.data(), 48, &count, nullptr);
      }
      failed |= onepass_classify(session, long_texts.data(), long_texts.size(), &in_chunks, results.data(),
                                 scores.data(), logits.data(), nullptr);
      failed |= onepass_classify_chunks(session, long_texts[0], nullptr, results.data(), scores.data(), chunks.data(),
                                        chunk_scores.data(), chunks.size(), &count, nullptr);
      failed |= onepass_decide(model, &policy, long_texts[0], results.data(), scores.data(), &verdict, nullptr);
      failed |= onepass_run_ids(session, ids.data(), starts.data(), 1, logits.data(), nullptr);
      failed |= onepass_scores(model, logits.data(), scores.data(), nullptr);
    };
    watch.arm(0);
    everything();
    EXPECT_GT(watch.calls, 0u) << "the first round warms up";
    watch.calls = 0;
    for (int round = 0; round < 3; ++round) everything();
    watch.disarm();
    EXPECT_EQ(watch.calls, 0u);
    EXPECT_EQ(failed, ONEPASS_OK);
    watch.arm(0);
    onepass_session_close(session);
    watch.disarm();
    EXPECT_EQ(watch.blocks.size(), 0u) << "all that a session took, it gives back";
    watch.blocks.clear();
    onepass_model_close(model);
  }
}

// The same of a model that labels tokens.
TEST(Allocation, OfTokenLabels) {
  const AlignedCopy bytes(fixture_model("bert/tokens", "int8"));
  onepass_model* model = nullptr;
  ASSERT_EQ(onepass_model_open_memory(bytes.data(), bytes.size(), nullptr, &model, nullptr), ONEPASS_OK);
  std::vector<std::string> all = sample_texts();
  std::vector<onepass_string> texts;
  for (const std::string& text : all) texts.push_back({text.data(), text.size()});
  std::vector<onepass_entity> entities(4096);
  std::vector<size_t> starts(texts.size() + 1);
  std::vector<onepass_token> tokens(64);
  std::vector<float> scores(64 * 4);
  const auto everything = [&](onepass_session* session) {
    onepass_status status = ONEPASS_OK;
    for (uint32_t aggregation = 0; aggregation < 5 && status == ONEPASS_OK; ++aggregation) {
      onepass_entity_options options = ONEPASS_INIT(onepass_entity_options);
      std::memcpy(&options.aggregation, &aggregation, sizeof(aggregation));
      status = onepass_find_entities(session, texts.data(), texts.size(), &options, nullptr, entities.data(),
                                     entities.size(), starts.data(), nullptr);
    }
    size_t count = 0;
    for (size_t b = 0; b < texts.size() && status == ONEPASS_OK; ++b) {
      status = onepass_label_tokens(session, texts[b], nullptr, nullptr, tokens.data(), scores.data(), nullptr, 64,
                                    &count, nullptr);
    }
    return status;
  };
  const size_t calls = fail_each([&] {
    onepass_session* session = nullptr;
    onepass_status status = onepass_session_open(model, nullptr, &session, nullptr);
    if (status == ONEPASS_OK) status = everything(session);
    onepass_session_close(session);
    return static_cast<Code>(status);
  });
  EXPECT_GE(calls, 8u);
  onepass_session* session = nullptr;
  ASSERT_EQ(onepass_session_open(model, nullptr, &session, nullptr), ONEPASS_OK);
  onepass_status failed = everything(session);
  watch.arm(0);
  for (int round = 0; round < 3; ++round) failed |= everything(session);
  watch.disarm();
  EXPECT_EQ(watch.calls, 0u);
  EXPECT_EQ(failed, ONEPASS_OK);
  onepass_session_close(session);
  onepass_model_close(model);
}

// A language model whose labels are words: rotary tables, and what every text begins with, computed once a session.
TEST(Allocation, EachOfWordsAndTheirPrefix) {
  const AlignedCopy bytes(fixture_words_model("llama_untied"));
  const Model model = open_bytes(bytes.span());
  ASSERT_GT(model.config().words, 0u);
  ASSERT_GT(model.tokenizer().prefix().size(), 0u);
  const auto texts = sample_views();
  std::vector<TextResult> results(texts.size());
  std::vector<float> logits(texts.size() * model.total_classes()), scores(logits.size());
  Session usual = open_session(model);
  ASSERT_TRUE(usual.classify(texts, {}, results, logits, scores).ok());
  const std::vector<float> gold = logits;
  bool recovered = true;
  const size_t calls = fail_each([&] {
    auto opened = Model::from_memory(bytes.span(), {.mode = LoadMode::map});
    if (!opened.ok()) return opened.code();
    auto session = Session::create(opened.value(), {});
    if (!session.ok()) return session.code();
    const Code code = session->classify(texts, {}, results, logits, scores).code();
    if (code == Code::ok) return code;
    watch.fail_at = 0;
    std::fill(logits.begin(), logits.end(), 0.0f);
    recovered = recovered && session->classify(texts, {}, results, logits, scores).ok() && same_bits(logits, gold);
    return code;
  });
  EXPECT_GE(calls, 20u);
  EXPECT_TRUE(recovered);
}

// A slot whose model is replaced, policies, chunks on request, and the first of some files that fits.
TEST(Allocation, EachOfSlotsPoliciesAndFiles) {
  const auto& stored = bytes_of("own_heads");
  TempFolder folder;
  folder.write("model.onepass", std::string(stored.begin(), stored.end()));
  const std::string path = folder.path() / "model.onepass";
  const char* const paths[] = {path.c_str()};
  std::string long_text;
  for (int i = 0; i < 9; ++i) long_text += sample_texts().back() + ". ";
  const onepass_string text = {long_text.data(), long_text.size()};
  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  policy.negation_and_sarcasm = 1;
  policy.min_confidence = 1;
  policy.high_stakes_labels = {"mood 0\nmood 1", 13};
  onepass_verdict verdict{};
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.policy = &policy;
  options.verdicts = &verdict;
  std::vector<onepass_chunk> chunks(64);
  std::vector<float> scores(12), chunk_scores(64 * 12);
  onepass_result result{};
  onepass_error error = ONEPASS_INIT(onepass_error);
  bool described = true;
  const size_t calls = fail_each([&] {
    onepass_model *first = nullptr, *second = nullptr, *current = nullptr;
    onepass_slot* slot = nullptr;
    onepass_session* session = nullptr;
    size_t chosen = 0, count = 0;
    onepass_status status = onepass_model_open(path.c_str(), nullptr, &first, &error);
    if (status == ONEPASS_OK) {
      status = onepass_model_open_first(paths, 1, UINT64_MAX, nullptr, nullptr, &second, &chosen, &error);
    }
    if (status == ONEPASS_OK) status = onepass_slot_open(first, &slot, &error);
    if (status == ONEPASS_OK) status = onepass_slot_publish(slot, second, &error);
    if (status == ONEPASS_OK) {
      current = onepass_slot_acquire(slot, nullptr);
      status = onepass_session_open(current, nullptr, &session, &error);
    }
    if (status == ONEPASS_OK) status = onepass_slot_rollback(slot, &error);
    if (status == ONEPASS_OK) {
      status = onepass_classify(session, &text, 1, &options, &result, scores.data(), nullptr, &error);
    }
    if (status == ONEPASS_OK) {
      status = onepass_classify_chunks(session, text, nullptr, &result, scores.data(), chunks.data(),
                                       chunk_scores.data(), chunks.size(), &count, &error);
    }
    if (status == ONEPASS_OK) status = onepass_decide(current, &policy, text, &result, scores.data(), &verdict, &error);
    described = described && (status == ONEPASS_OK || (error.status == status && std::strlen(error.message) > 10));
    onepass_session_close(session);
    onepass_model_close(current);
    onepass_slot_close(slot);
    onepass_model_close(second);
    onepass_model_close(first);
    return static_cast<Code>(status);
  });
  EXPECT_GE(calls, 40u);
  EXPECT_TRUE(described);
  EXPECT_EQ(verdict.route, ONEPASS_ROUTE_CLOUD);
}

}  // namespace
}  // namespace onepass::test
