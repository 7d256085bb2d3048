// Tokenizer: what it promises beside identity with the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <thread>

#include "tests/text/sections.h"

namespace onepass::test {
namespace {

using Ids = std::vector<uint32_t>;
using Spans = std::vector<TokenSpan>;

TEST(Tokenizer, GreedyLongestPieces) {
  const Parsed tokenizer(small_spec());
  EXPECT_EQ(encode(*tokenizer, "unaffable").ids, (Ids{2, 5, 6, 7, 3}));
  EXPECT_EQ(encode(*tokenizer, "unaffabl").ids, (Ids{2, 1, 3}));
  EXPECT_EQ(encode(*tokenizer, "Hello, WORLD!").ids, (Ids{2, 8, 1, 9, 10, 3}));
  EXPECT_EQ(encode(*tokenizer, "a_long_piece_of_more_than_16_bytes").ids.size(), 17u);  // '_' is punctuation
}

TEST(Tokenizer, EmptyTexts) {
  const Parsed tokenizer(small_spec());
  for (const std::string_view text : {std::string_view(), std::string_view(" \t\n"), std::string_view("\0", 1),
                                      std::string_view("\xFF"), std::string_view("\xCC\x81\xE2\x80\x8D")}) {
    const Encoded got = encode(*tokenizer, text);
    EXPECT_EQ(got.ids, (Ids{2, 3}));
    EXPECT_EQ(got.spans, (Spans{{0, 0}, {0, 0}}));
    EXPECT_EQ(got.stats.total_tokens, 2u);
    EXPECT_EQ(got.stats.bytes_used, 0u);
    EXPECT_FALSE(got.stats.truncated);
  }
  EXPECT_EQ(encode(*tokenizer, {nullptr, 0}).ids, (Ids{2, 3}));
}

TEST(Tokenizer, SpansAreBytesOfTheOriginal) {
  const Parsed tokenizer(small_spec());
  // A malformed byte is dropped; É loses its accent; the ideograph stands alone.
  const Encoded got = encode(*tokenizer,
                             "\xFF h\x80"
                             "ello \xC3\x89\xCC\x81 x\xE4\xB8\xAD");
  EXPECT_EQ(got.ids, (Ids{2, 8, 17, 19, 16, 3}));
  EXPECT_EQ(got.spans, (Spans{{0, 0}, {2, 8}, {9, 11}, {14, 15}, {15, 18}, {0, 0}}));
  EXPECT_EQ(got.stats.bytes_used, 18u);
}

TEST(Tokenizer, SpecialTokensInTheText) {
  const Parsed tokenizer(small_spec());
  EXPECT_EQ(encode(*tokenizer, "a[SEP]b [MASK]").ids, (Ids{2, 12, 3, 14, 4, 3}));
  EXPECT_EQ(encode(*tokenizer, "[sep]").ids, (Ids{2, 1, 1, 1, 3}));
  EXPECT_EQ(encode(*tokenizer, "a[SEP]b [MASK]").spans, (Spans{{0, 0}, {0, 1}, {1, 6}, {6, 7}, {8, 14}, {0, 0}}));
}

TEST(Tokenizer, TruncationKeepsTheTemplate) {
  const Parsed tokenizer(small_spec());
  const std::string_view text = "hello unaffable world";
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 7}).ids, (Ids{2, 8, 5, 6, 7, 9, 3}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 4}).ids, (Ids{2, 8, 5, 3}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 2}).ids, (Ids{2, 3}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 1}).code, Code::invalid_argument);
  const Encoded got = encode(*tokenizer, text, {.max_tokens = 4});
  EXPECT_EQ(got.stats.total_tokens, 7u);
  EXPECT_TRUE(got.stats.truncated);
  EXPECT_EQ(got.stats.bytes_used, 8u);
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 1, .add_special = false}).ids, (Ids{8}));
  EXPECT_EQ(encode(*tokenizer, text, {.max_tokens = 0, .add_special = false}).ids, (Ids{}));
}

TEST(Tokenizer, AppendsAndRestoresOnError) {
  const Parsed tokenizer(small_spec());
  EncodeScratch scratch;
  Array<uint32_t> ids;
  ASSERT_TRUE(tokenizer->encode("a", {}, scratch, ids, nullptr, nullptr).ok());
  ASSERT_TRUE(tokenizer->encode("b", {.add_special = false}, scratch, ids, nullptr, nullptr).ok());
  EXPECT_EQ(Ids(ids.begin(), ids.end()), (Ids{2, 12, 3, 14}));
  EXPECT_EQ(tokenizer->encode("b", {.max_tokens = 0}, scratch, ids, nullptr, nullptr).code(), Code::invalid_argument);
  EXPECT_EQ(ids.size(), 4u);
}

TEST(Tokenizer, TextOverTheLimit) {
  const Parsed tokenizer(small_spec());
  // The size alone decides; the bytes behind it are not read.
  const char byte = 'a';
  EXPECT_EQ(encode(*tokenizer, {&byte, Tokenizer::kMaxTextBytes + 1}).code, Code::text_too_long);
}

TEST(Tokenizer, Properties) {
  TokenizerSpec spec = small_spec();
  spec.added_tokens.push_back(special(21, "new"));
  const Parsed tokenizer(spec);
  ASSERT_EQ(tokenizer.code(), Code::ok);
  EXPECT_EQ(tokenizer->vocab_size(), 22u);
  EXPECT_EQ(tokenizer->token(6), "##aff");
  EXPECT_EQ(tokenizer->token(20), spec.pieces[20]);
  EXPECT_EQ(tokenizer->token(21), "new");
  EXPECT_EQ(tokenizer->token(22), "");
  EXPECT_EQ(tokenizer->token(UINT32_MAX), "");
  EXPECT_EQ(tokenizer->kind(), TokenizerKind::wordpiece);
  EXPECT_STREQ(tokenizer->kind_name(), "wordpiece");
  EXPECT_TRUE(tokenizer->lowercase());
  EXPECT_EQ(tokenizer->special_count(), 2u);
}

TEST(Tokenizer, LongWordsAreUnknown) {
  TokenizerSpec spec = small_spec();
  spec.max_input_chars_per_word = 3;
  const Parsed tokenizer(spec);
  EXPECT_EQ(encode(*tokenizer, "aaa").ids, (Ids{2, 12, 13, 13, 3}));
  EXPECT_EQ(encode(*tokenizer, "aaaa").ids, (Ids{2, 1, 3}));
  // Characters count, not bytes.
  spec.normalizer[0].flags &= ~bert_strip_accents;
  spec.pieces[5] = "\xC3\xA9";
  spec.pieces[6] = "##\xC3\xA9";
  const Parsed accents(spec);
  EXPECT_EQ(encode(*accents, "\xC3\xA9\xC3\xA9\xC3\xA9").ids, (Ids{2, 5, 6, 6, 3}));
}

// The longest match agrees with a plain scan of the vocabulary, for pieces around the hash's block of 16 bytes.
TEST(Tokenizer, LongestMatchAgreesWithAScan) {
  std::mt19937 random(3);
  TokenizerSpec spec = small_spec();
  spec.pieces.resize(12);
  std::vector<std::string> sorted(spec.pieces);
  while (spec.pieces.size() < 400) {
    std::string piece(random() % 2 == 0 ? "##" : "");
    const size_t length = 1 + random() % (random() % 4 == 0 ? 70 : 6);
    while (piece.size() < length) piece += "ab\xC3\xA9"[random() % 2];
    if (random() % 3 == 0) piece += "\xC3\xA9";
    if (std::find(spec.pieces.begin(), spec.pieces.end(), piece) == spec.pieces.end()) spec.pieces.push_back(piece);
  }
  spec.normalizer[0].flags &= ~bert_strip_accents;
  spec.max_input_chars_per_word = 1000;
  const Parsed tokenizer(spec);
  ASSERT_EQ(tokenizer.code(), Code::ok) << tokenizer.result.error().message;
  size_t known = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string word;
    for (size_t n = 1 + random() % 6; n != 0; --n) {
      std::string part = spec.pieces[12 + random() % (spec.pieces.size() - 12)];
      if (part.starts_with("##")) part.erase(0, 2);
      word += part;
    }
    Ids want = {2};
    size_t pos = 0;
    while (pos < word.size()) {
      size_t best = 0;
      uint32_t best_id = 0;
      for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
        std::string_view piece = spec.pieces[id];
        if (pos != 0) {
          if (!piece.starts_with("##")) continue;
          piece.remove_prefix(2);
        }
        if (piece.size() > best && std::string_view(word).substr(pos).starts_with(piece)) {
          best = piece.size();
          best_id = id;
        }
      }
      if (best == 0) break;
      want.push_back(best_id);
      pos += best;
    }
    if (pos < word.size()) want = {2, 1};
    known += pos == word.size();
    want.push_back(3);
    ASSERT_EQ(encode(*tokenizer, word).ids, want) << word;
  }
  EXPECT_GT(known, 1000u);
}

TEST(Tokenizer, SharedByThreads) {
  const Parsed tokenizer(small_spec());
  const Ids want = encode(*tokenizer, "unaffable [MASK] hello w\xC3\xB6rld").ids;
  std::vector<std::thread> threads;
  std::vector<int> wrong(8, 0);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) count += encode(*tokenizer, "unaffable [MASK] hello w\xC3\xB6rld").ids != want;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

double cpu_seconds(const Tokenizer& tokenizer, std::string_view text) {
  double best = 1e9;
  EncodeScratch scratch;
  Array<uint32_t> ids;
  Array<TokenSpan> spans;
  for (int round = 0; round < 3; ++round) {  // the first one warms the buffers
    ids.clear();
    spans.clear();
    timespec start, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    EXPECT_TRUE(tokenizer.encode(text, {}, scratch, ids, &spans, nullptr).ok());
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    const double seconds =
        static_cast<double>(end.tv_sec - start.tv_sec) + static_cast<double>(end.tv_nsec - start.tv_nsec) * 1e-9;
    best = std::min(best, seconds);
  }
  return best;
}

// Twice the text takes about twice the time: no text makes any stage quadratic. ONEPASS_LINEAR_MIB sets the size.
TEST(Tokenizer, LinearTime) {
  const char* size = std::getenv("ONEPASS_LINEAR_MIB");
  const size_t n = size == nullptr ? size_t{1} << 18 : std::strtoull(size, nullptr, 10) << 20;
  TokenizerSpec spec = small_spec();
  spec.added_tokens.push_back(special(21, " "));
  spec.added_tokens.back().rstrip = spec.added_tokens.back().lstrip = true;
  spec.added_tokens.push_back(special(22, "q" + std::string(1000, 'a')));
  spec.added_tokens.push_back(special(23, std::string(1000, 'a') + "q"));
  spec.added_tokens.push_back(special(24, "bbbb"));
  spec.added_tokens.back().normalized = true;
  spec.added_tokens.back().single_word = true;
  spec.max_input_chars_per_word = 1024;
  const Parsed adversarial(spec);
  ASSERT_EQ(adversarial.code(), Code::ok);
  const Parsed plain(small_spec());
  // One unit of each text, repeated.
  const std::string units[] = {"a",
                               "b",
                               "ab",
                               " ",
                               "a ",
                               "\xCC\x81",
                               "\xCC\x96\xCC\x81",
                               "\xE1\xAD\x84\xCC\x81",
                               "\xE4\xB8\xAD",
                               "\xFF",
                               "\xF0\x9F",
                               "[SEP]",
                               "[",
                               "[MASK",
                               "\xEA\xB0\x81",
                               "\xCE\x90",
                               "!",
                               std::string(1023, 'a') + " ",
                               "\xE2\x80\x8D",
                               std::string("\0", 1)};
  for (const std::string& unit : units) {
    std::string text;
    while (text.size() < 2 * n) text += unit;
    for (const Parsed* tokenizer : {&plain, &adversarial}) {
      double ratio = 1e9;
      for (int attempt = 0; attempt < 5 && ratio > 2.3; ++attempt) {
        const double half = cpu_seconds(**tokenizer, std::string_view(text).substr(0, n / unit.size() * unit.size()));
        const double whole = cpu_seconds(**tokenizer, text);
        ratio = whole / half;
        if (size != nullptr) {
          std::printf("%-8s %s ratio %.2f, %.1f ns a byte\n", testing::PrintToString(unit.substr(0, 6)).c_str(),
                      tokenizer == &plain ? "plain" : "added", ratio, whole / static_cast<double>(text.size()) * 1e9);
        }
      }
      EXPECT_LE(ratio, 2.3) << testing::PrintToString(unit.substr(0, 20));
    }
  }
}

}  // namespace
}  // namespace onepass::test
