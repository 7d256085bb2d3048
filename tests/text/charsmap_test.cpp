// The character map: what is replaced, where that comes from, and what a hostile one does.
#include "engine/text/charsmap.h"

#include <gtest/gtest.h>

#include "engine/text/grapheme.h"
#include "tests/text/charsmap_blob.h"

namespace onepass::test {
namespace {

struct Mapped {
  std::string text;
  std::vector<uint32_t> sources;  // of every character
};

Mapped apply(const std::string& blob, const std::string& text) {
  EXPECT_EQ(Charsmap::check(blob, 0).code(), Code::ok);
  DerivedText out;
  bool changed = false;
  EXPECT_TRUE(Charsmap(blob).normalize(text, out, &changed));
  Mapped got;
  got.text = changed ? std::string(out.bytes.data(), out.size) : text;
  AlignmentCursor cursor(changed ? out.runs.span() : std::span<const AlignmentRun>());
  for (size_t i = 0; i < got.text.size(); ++i) {
    if ((static_cast<uint8_t>(got.text[i]) & 0xC0) != 0x80)
      got.sources.push_back(cursor.source(static_cast<uint32_t>(i)));
  }
  return got;
}

struct Case {
  const char* name;
  std::string text;
  std::string want;
  std::vector<uint32_t> sources;
};

// The results of tokenizers 0.23.3 (Precompiled, with the alignment of every character) under this map.
const std::map<std::string, std::string> kRules = {
    {"\t", " "},
    {"\r", " "},
    {"\x01", ""},
    {"\xE2\x84\xA2", "TM"},
    {"e\xCC\x81", "\xC3\xA9"},
    {"\xC2\xA0", " "},
    {"\xEF\xBC\xA1", "A"},
    {"\xC2\xBD",
     "1\xE2\x81\x84"
     "2"},
    {"\xE0\xA4\x95", "k"},
};

const Case kCases[] = {
    {"nothing", "ab", "ab", {0, 1}},
    {"empty", "", "", {}},
    {"one for one", "a\tb", "a b", {0, 1, 2}},
    {"a longer one", "x\xEF\xBC\xA1y", "xAy", {0, 1, 4}},
    {"two for one",
     "a\xE2\x84\xA2"
     "b",
     "aTMb",
     {0, 1, 1, 4}},
    {"three for one",
     "\xC2\xBD!",
     "1\xE2\x81\x84"
     "2!",
     {0, 0, 0, 2}},
    {"removed",
     "a\x01"
     "b",
     "ab",
     {0, 2}},
    {"removed at the end", "ab\x01", "ab", {0, 1}},
    {"removed after an inserted one", "\xE2\x84\xA2\x01g", "TMg", {0, 3, 4}},
    {"removed twice after an inserted one", "\xE2\x84\xA2\x01\x01g", "TMg", {0, 3, 5}},
    {"removed at the beginning: one behind",
     "\x01"
     "abc",
     "abc",
     {0, 1, 2}},
    {"behind, by characters", "\x01\xC3\xA4z\xE2\x84\xA2!", "\xC3\xA4zTM!", {0, 1, 3, 3, 4}},
    {"all removed", "\x01\x01", "", {}},
    {"a cluster as a whole", "e\xCC\x81!", "\xC3\xA9!", {0, 3}},
    {"a cluster by its shortest prefix", "\xC2\xA0\xCC\x81!", " !", {0, 4}},
    {"a line end is one cluster", "\r\nx", " x", {0, 2}},
    {"a cluster of six bytes is taken apart", "e\xCC\x81\xE2\x80\x8D!", "e\xCC\x81\xE2\x80\x8D!", {0, 1, 3, 6}},
    {"a long cluster's characters are mapped", "\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\x95", "k\xE0\xA5\x8Dk", {0, 3, 6}},
    {"a short one of the same", "\xE0\xA4\x95\xCC\x81", "k", {0}},
    {"NUL ends a look-up", std::string("a\0\tb", 4), std::string("a\0 b", 4), {0, 1, 2, 3}},
};

TEST(Charsmap, ReplacesAndAlignsAsTheLibrary) {
  const std::string blob = charsmap_blob(kRules);
  for (const Case& c : kCases) {
    const Mapped got = apply(blob, c.text);
    EXPECT_EQ(got.text, c.want) << c.name;
    EXPECT_EQ(got.sources, c.sources) << c.name;
  }
}

// Cuts a text of code points into clusters, given by their lengths.
std::vector<size_t> clusters(std::u32string_view text) {
  std::vector<size_t> lengths;
  GraphemeBreaker breaker;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t c = grapheme_class(text[i]);
    if (i > 0 && breaker.join(c)) {
      ++lengths.back();
    } else {
      breaker.start(c);
      lengths.push_back(1);
    }
  }
  return lengths;
}

// Examples of UAX 29 and its test file, GraphemeBreakTest.txt.
TEST(Grapheme, Clusters) {
  using Lengths = std::vector<size_t>;
  EXPECT_EQ(clusters(U"ab"), (Lengths{1, 1}));
  EXPECT_EQ(clusters(U"a\u0308\u0308b"), (Lengths{3, 1}));
  EXPECT_EQ(clusters(U"\r\n\n"), (Lengths{2, 1}));
  EXPECT_EQ(clusters(U"\n\u0308"), (Lengths{1, 1}));
  EXPECT_EQ(clusters(U"\u1100\u1160\u11A8\u1100"), (Lengths{3, 1}));
  EXPECT_EQ(clusters(U"\uAC01\u11A8\u1160"), (Lengths{2, 1}));
  EXPECT_EQ(clusters(U"\u0600a"), (Lengths{2}));
  EXPECT_EQ(clusters(U"a\u0903b"), (Lengths{2, 1}));
  EXPECT_EQ(clusters(U"\U0001F468\u200D\U0001F469\u200D\U0001F466!"), (Lengths{5, 1}));
  EXPECT_EQ(clusters(U"\U0001F6D1\u0308\u200D\U0001F6D1"), (Lengths{4}));
  EXPECT_EQ(clusters(U"a\u200D\U0001F6D1"), (Lengths{2, 1}));
  EXPECT_EQ(clusters(U"\u0915\u094D\u0937\u093F"), (Lengths{4}));
  EXPECT_EQ(clusters(U"\u0915\u0937"), (Lengths{1, 1}));
  EXPECT_EQ(clusters(U"\u200Ba"), (Lengths{1, 1}));
}

struct BlobCase {
  const char* name;
  Code code;
  std::string blob;
};

std::string words(std::initializer_list<uint32_t> values, const std::string& pool) {
  std::string blob;
  for (const uint32_t value : values) {
    for (int i = 0; i < 4; ++i) blob.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
  return blob + pool;
}

TEST(Charsmap, MalformedBlobs) {
  const std::string pool("x\0", 2);
  const BlobCase cases[] = {
      {"empty", Code::truncated, ""},
      {"no whole size", Code::truncated, "\4\0"},
      {"trie past the end", Code::truncated, words({8, 0}, "")},
      {"greatest size", Code::truncated, words({0xFFFFFFFF, 0}, pool)},
      {"no trie", Code::bad_value, words({0}, pool)},
      {"half a unit", Code::bad_value, words({6, 0, 0}, pool)},
      {"pool not UTF-8", Code::bad_utf8, words({4, 0}, "\xFF")},
      {"pool cut in a character", Code::bad_utf8, words({4, 0}, "\xE2\x84")},
      {"replacement too long", Code::limit_exceeded, words({4, 0}, std::string(65, 'a'))},
      {"longest replacement", Code::ok, words({4, 0}, std::string(64, 'a') + '\0' + std::string(64, 'b'))},
      {"value past the trie", Code::bad_value, words({4, 0x100 | 1u << 10}, pool)},
      {"value past the pool", Code::bad_value, words({8, 0x100 | 1u << 10, 1u << 31 | 3}, pool)},
      {"value at the pool's end", Code::ok, words({8, 0x100 | 1u << 10, 1u << 31 | 2}, pool)},
      {"value inside a character", Code::bad_value, words({8, 0x100 | 1u << 10, 1u << 31 | 1}, "\xC3\xA9")},
      {"children past the trie", Code::ok, words({4, 0xFFFFFE00}, pool)},
      {"a trie of its own", Code::ok, words({8, 'a', 'a'}, pool)},
  };
  for (const BlobCase& c : cases) {
    const Status status = Charsmap::check(c.blob, 1000);
    EXPECT_EQ(code_name(status.code()), std::string(code_name(c.code))) << c.name;
    if (!status.ok()) {
      EXPECT_GE(status.error().offset, 1000u) << c.name;
      EXPECT_LE(status.error().offset, 1000 + c.blob.size()) << c.name;
      continue;
    }
    DerivedText out;
    bool changed;
    EXPECT_TRUE(Charsmap(c.blob).normalize("aab\r\n\xC3\xA9\xE2\x84\xA2", out, &changed)) << c.name;
  }
}

// Every byte of a map changed: refused, or safe to use.
TEST(Charsmap, DamagedBlobsAreRefusedOrSafe) {
  const std::string blob = charsmap_blob({{"a", "x"}, {"b\xCC\x81", ""}, {"\xC3\xA9", "e"}});
  size_t accepted = 0;
  for (size_t at = 0; at < blob.size(); ++at) {
    for (unsigned change = 0; change < 10; ++change) {
      std::string bytes = blob;
      bytes[at] = static_cast<char>(change < 8 ? bytes[at] ^ (1 << change) : change == 8 ? 0 : 0xFF);
      if (!Charsmap::check(bytes, 0).ok()) continue;
      ++accepted;
      DerivedText out;
      bool changed;
      EXPECT_TRUE(Charsmap(bytes).normalize("ab\xCC\x81\xC3\xA9 aa", out, &changed));
    }
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace onepass::test
