// The promise of docs/numerics.md on random traffic: a text's logits depend on the text and the model alone. And memory
// that stays flat. ctest runs a part; the environment asks for more: ONEPASS_REPEATS=1000, ONEPASS_CALLS=1000000.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/runtime/models.h"

namespace onepass::test {
namespace {

size_t from_environment(const char* name, size_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoul(value, nullptr, 10);
}

std::vector<std::string> random_texts(size_t count, std::mt19937& random) {
  static const char* kWords[] = {"good", "bad", "sad",    "happy", "dog", "cat",  "love", "caf\xC3\xA9",
                                 "not",  "3.5", "[MASK]", "?!",    "xyz", "\xFF", "it",   "very"};
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    for (size_t w = 0, words = random() % 40; w < words; ++w) text += std::string(kWords[random() % 16]) + " ";
    texts.push_back(text);
  }
  return texts;
}

TEST(Repeat, NeitherThreadsNorNeighboursNorOrderChangeABit) {
  std::mt19937 random(20);
  for (const char* weights : {"int8", "f32"}) {
    const Model model = open_bytes(bytes_of("own_heads", weights));
    const size_t classes = model.total_classes();
    const auto texts = random_texts(60, random);
    std::vector<std::vector<float>> gold;
    Session alone = open_session(model, {.isa = kernels::Isa::scalar, .executor = {}});
    for (const std::string& text : texts) gold.push_back(classify(alone, {{text}}).logits);
    const auto levels = available_levels();
    std::vector<Session> sessions;
    for (unsigned threads = 1; threads <= 8; ++threads) {
      SessionOptions options{.isa = levels[threads % levels.size()], .executor = {}};
      if (threads > 1) options.executor = {run_on_threads, nullptr, threads};
      options.tokens_per_pass = 1 + random() % 3000;
      sessions.push_back(open_session(model, options));
    }
    for (size_t repeat = 0, repeats = from_environment("ONEPASS_REPEATS", 24); repeat < repeats; ++repeat) {
      std::vector<size_t> batch(1 + random() % 256);
      std::vector<std::string> in;
      for (size_t& b : batch) in.push_back(texts[b = random() % texts.size()]);
      const auto o = classify(sessions[repeat % sessions.size()], in);
      ASSERT_TRUE(o.status.ok());
      for (size_t b = 0; b < batch.size(); ++b) {
        ASSERT_EQ(std::memcmp(o.logits.data() + b * classes, gold[batch[b]].data(), classes * sizeof(float)), 0)
            << weights << ", repeat " << repeat << ", text " << b << " of " << batch.size();
      }
    }
  }
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ONEPASS_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(ONEPASS_SANITIZED)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// Pages that the process holds; 0 where the system does not say.
size_t resident_pages() {
  size_t total = 0, resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%zu %zu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident;
}

TEST(Repeat, MemoryStaysFlat) {
  std::mt19937 random(21);
  const Model model = open_bytes(bytes_of("own_heads"));
  const auto texts = random_texts(30, random);
  Session session = open_session(model);
  std::vector<TextResult> results(texts.size());
  std::vector<float> logits(texts.size() * 12), scores(logits.size());
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto call = [&](size_t i) {
    const size_t count = i % 3000 == 0 ? texts.size() : 1;
    const auto some = std::span(views).subspan(count == 1 ? i % texts.size() : 0, count);
    const OnLong on_long = i % 5 == 0 ? OnLong::chunk : OnLong::truncate;
    ASSERT_TRUE(session.classify(some, {.on_long = on_long, .max_tokens = 16}, results, logits, scores).ok());
    // Sessions that come and go give back what they took.
    if (i % 500 == 0) {
      session = open_session(model);
      ASSERT_TRUE(classify(session, {{texts[1]}}).status.ok());
    }
  };
  const size_t calls = from_environment("ONEPASS_CALLS", 4000);
  for (size_t i = 0; i < calls / 4; ++i) call(i);
  const size_t before = resident_pages();
  for (size_t i = calls / 4; i < calls; ++i) call(i);
  const size_t after = resident_pages();
  std::printf("resident pages: %zu after %zu calls, %zu after %zu\n", before, calls / 4, after, calls);
  if (sanitized) return;  // sanitizers keep what was freed
  EXPECT_LE(after, before + 64) << "a quarter of a megabyte of pages that the C library keeps, and no more";
}

}  // namespace
}  // namespace onepass::test
