// Added tokens: the matcher against a plain search, and the flags.
#include <gtest/gtest.h>

#include <random>

#include "engine/text/added_tokens.h"
#include "tests/text/sections.h"

namespace onepass::test {
namespace {

TEST(PatternMatcher, LongestPatternAtEveryPosition) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    const auto letters = [&](size_t most) {
      std::string text(1 + random() % most, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);
      return text;
    };
    std::vector<std::string> patterns(1 + random() % 8);
    for (std::string& pattern : patterns) pattern = letters(5);
    const std::vector<std::string_view> views(patterns.begin(), patterns.end());
    PatternMatcher matcher;
    ASSERT_TRUE(matcher.build(views));
    const std::string text = letters(40);
    Array<AddedMatch> got;
    ASSERT_TRUE(matcher.find(text, got));
    size_t next = 0;
    for (size_t i = text.size(); i-- > 0;) {
      uint32_t best = UINT32_MAX;
      for (uint32_t p = 0; p < patterns.size(); ++p) {
        const bool matches = std::string_view(text).substr(i).starts_with(patterns[p]);
        if (matches && (best == UINT32_MAX || patterns[p].size() > patterns[best].size())) best = p;
      }
      if (best == UINT32_MAX) continue;
      ASSERT_LT(next, got.size()) << text;
      ASSERT_EQ(got[next].begin, i) << text;
      ASSERT_EQ(got[next].pattern, best) << text;
      ++next;
    }
    ASSERT_EQ(next, got.size()) << text;
  }
}

TEST(PatternMatcher, NoPatterns) {
  PatternMatcher matcher;
  ASSERT_TRUE(matcher.build({}));
  EXPECT_TRUE(matcher.empty());
  Array<AddedMatch> got;
  ASSERT_TRUE(got.push_back({1, 1}));
  ASSERT_TRUE(matcher.find("abc", got));
  EXPECT_TRUE(got.empty());
}

struct FlagCase {
  const char* name;
  bool single_word, lstrip, rstrip, normalized;
  const char* text;
  std::vector<uint32_t> ids;
  std::vector<TokenSpan> spans;
};

// 21 is the added token "Tok"; 12 is "a", 14 "b", 1 the unknown token. Recorded from the reference.
const FlagCase kFlagCases[] = {
    {"plain", false, false, false, false, "aTok b", {12, 21, 14}, {{0, 1}, {1, 4}, {5, 6}}},
    {"plain is exact", false, false, false, false, "a tok b", {12, 1, 14}, {{0, 1}, {2, 5}, {6, 7}}},
    {"single word",
     true,
     false,
     false,
     false,
     "aTok Tok,Tok b",
     {1, 21, 1, 21, 14},
     {{0, 4}, {5, 8}, {8, 9}, {9, 12}, {13, 14}}},
    {"lstrip", false, true, false, false, "a \xE3\x80\x80Tok b", {12, 21, 14}, {{0, 1}, {1, 8}, {9, 10}}},
    {"rstrip", false, false, true, false, "aTok \t b", {12, 21, 14}, {{0, 1}, {1, 7}, {7, 8}}},
    {"both take the space once", false, true, true, false, "Tok Tok", {21, 21}, {{0, 4}, {4, 7}}},
    {"normalized", false, false, false, true, "a T\xC3\xB3K b", {12, 21, 14}, {{0, 1}, {2, 6}, {7, 8}}},
};

TEST(AddedTokens, Flags) {
  for (const FlagCase& c : kFlagCases) {
    TokenizerSpec spec = small_spec();
    spec.added_tokens.push_back({21, "Tok", c.single_word, c.lstrip, c.rstrip, c.normalized, false});
    const Parsed tokenizer(spec);
    ASSERT_EQ(tokenizer.code(), Code::ok) << c.name;
    const Encoded got = encode(*tokenizer, c.text, {.add_special = false});
    EXPECT_EQ(got.ids, c.ids) << c.name;
    EXPECT_EQ(got.spans, c.spans) << c.name;
  }
}

TEST(AddedTokens, LeftmostThenLongest) {
  TokenizerSpec spec = small_spec();
  const char* contents[] = {"abc", "bcdefg", "ab", "abcd"};
  for (uint32_t i = 0; i < 4; ++i) spec.added_tokens.push_back(special(21 + i, contents[i]));
  const Parsed tokenizer(spec);
  EXPECT_EQ(encode(*tokenizer, "abcdefg", {.add_special = false}).ids, (std::vector<uint32_t>{24, 1}));
  EXPECT_EQ(encode(*tokenizer, "abbcdefg", {.add_special = false}).ids, (std::vector<uint32_t>{23, 22}));
}

TEST(AddedTokens, FirstOfEqualNormalisedContents) {
  TokenizerSpec spec = small_spec();
  spec.added_tokens.push_back({21, "foo", false, false, false, true, false});
  spec.added_tokens.push_back({22, "FOO", false, false, false, true, true});
  const Parsed tokenizer(spec);
  ASSERT_EQ(tokenizer.code(), Code::ok);
  EXPECT_EQ(encode(*tokenizer, "Foo FOO", {.add_special = false}).ids, (std::vector<uint32_t>{21, 21}));
}

}  // namespace
}  // namespace onepass::test
