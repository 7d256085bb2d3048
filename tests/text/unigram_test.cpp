// Unigram: paths, ties, unknown runs, byte fallback, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/text/charsmap_blob.h"
#include "tests/text/sections.h"

namespace onepass::test {
namespace {

using Scored = std::vector<std::pair<std::string, double>>;

TokenizerSpec unigram_spec(const Scored& pieces, uint32_t unk_id = 0) {
  TokenizerSpec spec;
  spec.kind = TokenizerKind::unigram;
  for (const auto& [piece, score] : pieces) {
    spec.pieces.push_back(piece);
    spec.scores.push_back(score);
  }
  spec.unk_id = unk_id;
  spec.single_template = {{true, 0}};
  return spec;
}

// The ids of a text without normaliser and pre-tokeniser.
std::vector<uint32_t> ids_of(const TokenizerSpec& spec, const std::string& text) {
  const Parsed tokenizer(spec);
  EXPECT_EQ(tokenizer.code(), Code::ok) << tokenizer.result.error().message;
  if (tokenizer.code() != Code::ok) return {};
  return encode(*tokenizer, text).ids;
}

using Ids = std::vector<uint32_t>;

// The example in the documentation of the library's Unigram.
const Scored kExample = {{"<unk>", 0.0}, {"a", 0.0},  {"b", 0.0},   {"c", 0.0},    {"d", 0.0},
                         {"cd", 1.0},    {"ab", 2.0}, {"abc", 5.0}, {"abcd", 10.0}};

TEST(Unigram, TheLibrarysExample) {
  EXPECT_EQ(ids_of(unigram_spec(kExample), "abcdacdxx"), (Ids{8, 1, 5, 0}));
  const Parsed tokenizer(unigram_spec(kExample));
  const Encoded got = encode(*tokenizer, "abcdacdxx");
  EXPECT_EQ(got.spans, (std::vector<TokenSpan>{{0, 4}, {4, 5}, {5, 7}, {7, 9}}));
}

TEST(Unigram, OfEqualSumsTheLongerLastPieceWins) {
  EXPECT_EQ(ids_of(unigram_spec({{"u", -1}, {"a", -1}, {"aa", -1}}), "aaa"), (Ids{1, 2}));
  EXPECT_EQ(ids_of(unigram_spec({{"u", -1}, {"a", -1}, {"aa", -2}}), "aa"), (Ids{2}));
  EXPECT_EQ(ids_of(unigram_spec({{"u", -1}, {"a", -1}, {"b", -1}, {"ab", -2.5}}), "ab"), (Ids{1, 2}));
}

TEST(Unigram, AnUnknownRunIsOneToken) {
  const TokenizerSpec spec = unigram_spec({{"<unk>", 0}, {"a", -1}, {"\xC3\xA9", -2}});
  EXPECT_EQ(ids_of(spec,
                   "a\xE4\xB8\xAD\xF0\x9F\x98\x80"
                   "a\xC3\xA9z"),
            (Ids{1, 0, 1, 2, 0}));
  // The unknown piece itself joins the run.
  EXPECT_EQ(ids_of(spec, "x<unk>y"), (Ids{0}));
  EXPECT_EQ(ids_of(spec, "a<unk>a"), (Ids{1, 0, 1}));
}

// Two unknown characters at 90 each are better than the piece at 150, but the library looks the run up.
TEST(Unigram, AnUnknownRunMayBeAPiece) {
  EXPECT_EQ(ids_of(unigram_spec({{"<unk>", 100}, {"xy", 150}}), "xy"), (Ids{1}));
  EXPECT_EQ(ids_of(unigram_spec({{"<unk>", 100}, {"xy", 150}}), "xyz"), (Ids{0}));
}

TEST(Unigram, ByteFallback) {
  Scored pieces = {{"<unk>", 0}, {"a", -1}, {"<0xC3>", 0}, {"<0xA9>", 0}, {"<0x7A>", 0}};
  TokenizerSpec spec = unigram_spec(pieces);
  EXPECT_EQ(ids_of(spec, "a\xC3\xA9"), (Ids{1, 0}));
  spec.byte_fallback = true;
  EXPECT_EQ(ids_of(spec,
                   "a\xC3\xA9z"
                   "a"),
            (Ids{1, 2, 3, 4, 1}));
  EXPECT_EQ(ids_of(spec, "\xC3\xAA"), (Ids{0}));  // a byte without a piece: the whole run is unknown
  const Parsed tokenizer(spec);
  EXPECT_EQ(encode(*tokenizer, "a\xC3\xA9").spans, (std::vector<TokenSpan>{{0, 1}, {1, 3}, {1, 3}}));
}

TEST(Unigram, ALiteralPieceIsNotTheModels) {
  TokenizerSpec spec = unigram_spec({{"<unk>", 0}, {"a", -1}});
  spec.added_tokens = {special(2, "aa")};
  spec.added_tokens[0].single_word = true;
  EXPECT_EQ(ids_of(spec, "aaa aa"), (Ids{1, 1, 1, 0, 2}));
}

// Every path of short words, against sums over all of them.
TEST(Unigram, FindsTheBestOfAllPaths) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Scored pieces = {{"<unk>", -20}};
    for (const char* piece : {"a", "b", "ab", "ba", "aab", "abab", "bb", "aaaa", "b\xC3\xA9", "\xC3\xA9"}) {
      if (random() % 4 != 0) pieces.emplace_back(piece, -double(random() % 1000) / 64);
    }
    const Parsed tokenizer(unigram_spec(pieces));
    ASSERT_EQ(tokenizer.code(), Code::ok);
    double lowest = 0;
    for (const auto& [piece, score] : pieces) lowest = std::fmin(lowest, score);
    for (int word = 0; word < 20; ++word) {
      std::string text;
      for (size_t n = 1 + random() % 9; n > 0; --n) text += random() % 5 == 0 ? "\xC3\xA9" : random() % 2 ? "a" : "b";
      // best[i]: of text[i, end), from the right; sums of multiples of 1/64 are exact in any order.
      std::vector<double> best(text.size() + 1, -1e300);
      best[text.size()] = 0;
      for (size_t i = text.size(); i-- > 0;) {
        if ((static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) continue;
        const size_t length = static_cast<uint8_t>(text[i]) < 0x80 ? 1 : 2;
        bool single = false;
        for (const auto& [piece, score] : pieces) {
          if (text.compare(i, piece.size(), piece) != 0) continue;
          best[i] = std::fmax(best[i], score + best[i + piece.size()]);
          single |= piece.size() == length;
        }
        if (!single) best[i] = std::fmax(best[i], lowest - 10 + best[i + length]);
      }
      double sum = 0;
      const Encoded got = encode(*tokenizer, text);
      uint32_t end = 0;
      for (size_t i = 0; i < got.ids.size(); ++i) {
        ASSERT_EQ(got.spans[i].begin, end);
        end = got.spans[i].end;
        const std::string part = text.substr(got.spans[i].begin, end - got.spans[i].begin);
        if (got.ids[i] != 0) {
          ASSERT_EQ(pieces[got.ids[i]].first, part);
          sum += pieces[got.ids[i]].second;
        } else {
          for (const char c : part) sum += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? lowest - 10 : 0;
        }
      }
      ASSERT_EQ(end, text.size());
      ASSERT_EQ(sum, best[0]) << text;
    }
  }
}

// Pieces enough to fill blocks of the trie, all tails and all beginnings found again.
TEST(Unigram, FindsEveryPieceOfALargeVocabulary) {
  std::mt19937 random(3);
  Scored pieces = {{"<unk>", 0}};
  std::vector<std::string> contents;
  for (int i = 0; i < 30000; ++i) {
    std::string piece;
    for (size_t n = 1 + random() % 12; n > 0; --n)
      piece += static_cast<char>(random() % 3 ? 'a' + random() % 4 : random() % 128);
    contents.push_back(piece);
  }
  contents.push_back(std::string(4096, 'q'));
  contents.push_back(std::string(4095, 'q') + "r");
  std::sort(contents.begin(), contents.end());
  contents.erase(std::unique(contents.begin(), contents.end()), contents.end());
  // The longer, the better: a text that is a piece is that piece.
  for (const std::string& piece : contents) pieces.emplace_back(piece, double(piece.size() * piece.size()));
  const Parsed tokenizer(unigram_spec(pieces));
  ASSERT_EQ(tokenizer.code(), Code::ok) << tokenizer.result.error().message;
  for (uint32_t id = 1; id < pieces.size(); ++id) ASSERT_EQ(encode(*tokenizer, pieces[id].first).ids, Ids{id}) << id;
}

struct SpecCase {
  const char* name;
  Code code;
  void (*change)(TokenizerSpec&);
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

const SpecCase kSpecCases[] = {
    {"valid", Code::ok, [](TokenizerSpec&) {}},
    {"unknown token out of range", Code::bad_value, [](TokenizerSpec& s) { s.unk_id = 9; }},
    {"unknown token is literal", Code::bad_value,
     [](TokenizerSpec& s) {
       s.added_tokens = {special(9, "new")};
       s.unk_id = 9;
     }},
    {"unknown token is empty", Code::bad_value, [](TokenizerSpec& s) { s.pieces[0].clear(); }},
    {"score infinite", Code::non_finite, [](TokenizerSpec& s) { s.scores[3] = kInfinity; }},
    {"score minus infinite", Code::non_finite, [](TokenizerSpec& s) { s.scores[3] = -kInfinity; }},
    {"score NaN", Code::non_finite, [](TokenizerSpec& s) { s.scores[3] = std::nan(""); }},
    {"score too great", Code::limit_exceeded, [](TokenizerSpec& s) { s.scores[3] = 1.1e18; }},
    {"score too low", Code::limit_exceeded, [](TokenizerSpec& s) { s.scores[3] = -1.1e18; }},
    {"greatest score", Code::ok, [](TokenizerSpec& s) { s.scores[3] = 1e18; }},
    {"score of a literal piece", Code::bad_value,
     [](TokenizerSpec& s) {
       s.added_tokens = {special(9, "new")};
       s.scores.push_back(1);
     }},
    {"a literal piece", Code::ok, [](TokenizerSpec& s) { s.added_tokens = {special(9, "new")}; }},
    {"score of an empty piece", Code::bad_value, [](TokenizerSpec& s) { s.pieces[5].clear(); }},
    {"an empty piece", Code::ok,
     [](TokenizerSpec& s) {
       s.pieces[4].clear();
       s.scores[4] = 0;
     }},
    {"equal pieces", Code::duplicate_name, [](TokenizerSpec& s) { s.pieces[5] = "ab"; }},
    {"longest piece", Code::ok, [](TokenizerSpec& s) { s.pieces[5].assign(4096, 'a'); }},
    {"piece too long", Code::limit_exceeded, [](TokenizerSpec& s) { s.pieces[5].assign(4097, 'a'); }},
    {"character map", Code::ok,
     [](TokenizerSpec& s) {
       s.normalizer = {{NormalizerKind::precompiled, 0, charsmap_blob({{"a", "b"}}), ""}};
     }},
    {"no character map", Code::truncated,
     [](TokenizerSpec& s) {
       s.normalizer = {{NormalizerKind::precompiled, 0, "", ""}};
     }},
    {"character map with flags", Code::unknown_flags,
     [](TokenizerSpec& s) {
       s.normalizer = {{NormalizerKind::precompiled, 1, charsmap_blob({{"a", "b"}}), ""}};
     }},
    {"character map with content", Code::bad_value,
     [](TokenizerSpec& s) {
       s.normalizer = {{NormalizerKind::precompiled, 0, charsmap_blob({{"a", "b"}}), "x"}};
     }},
};

TEST(Unigram, MalformedSpecs) {
  for (const SpecCase& c : kSpecCases) {
    TokenizerSpec spec = unigram_spec(kExample);
    c.change(spec);
    const Parsed got(spec);
    EXPECT_EQ(code_name(got.code()), std::string(code_name(c.code))) << c.name;
    if (got.code() != Code::ok) {
      EXPECT_NE(got.result.error().message[0], '\0') << c.name;
    }
  }
}

// A path would end inside a character and leave its score for another word.
TEST(Unigram, PiecesThatAreNotUtf8) {
  const std::pair<size_t, const char*> cases[] = {{3, "\xC3"}, {4, "\xA9"}, {5, "a\xE2\x96"}, {8, "\xFF"}};
  for (const auto& [id, content] : cases) {
    TokenizerSpec spec = unigram_spec(kExample);
    ASSERT_LT(id, spec.pieces.size());
    spec.pieces[id] = content;
    EXPECT_STREQ(code_name(Parsed(spec).code()), "bad_utf8") << id;
  }
  // Two halves of a character side by side.
  TokenizerSpec spec = unigram_spec(kExample);
  spec.pieces[3] = "\xC3";
  spec.pieces[4] = "\xA9";
  EXPECT_STREQ(code_name(Parsed(spec).code()), "bad_utf8");
}

TEST(Unigram, UnknownFlags) {
  std::vector<uint8_t> section = serialize_tokenizer(unigram_spec(kExample));
  const size_t flags = section.size() - 9 * 8 - 8;
  set_u32(section, flags, 2);
  EXPECT_EQ(Parsed(section).code(), Code::unknown_flags);
  set_u32(section, flags, 1);
  EXPECT_EQ(Parsed(section).code(), Code::ok);
}

// Any change of one byte, and any truncation, is refused or safe to use.
TEST(Unigram, DamagedSectionsAreRefusedOrSafe) {
  TokenizerSpec spec = unigram_spec(kExample);
  spec.normalizer = {{NormalizerKind::strip, 3, "", ""}};
  spec.pre_tokenizer = {{PreTokenizerKind::metaspace, metaspace_split | metaspace_prepend_always, 0, "\xE2\x96\x81"}};
  const std::vector<uint8_t> section = serialize_tokenizer(spec);
  size_t accepted = 0;
  for (size_t size = 0; size < section.size(); ++size) {
    EXPECT_NE(Parsed({section.begin(), section.begin() + static_cast<std::ptrdiff_t>(size)}, 1000).code(), Code::ok);
  }
  for (size_t at = 0; at < section.size(); ++at) {
    for (unsigned change = 0; change < 10; ++change) {
      std::vector<uint8_t> bytes = section;
      bytes[at] = static_cast<uint8_t>(change < 8 ? bytes[at] ^ (1u << change) : change == 8 ? 0 : 0xFF);
      const Parsed damaged(bytes, 1000);
      if (damaged.code() != Code::ok) continue;
      ++accepted;
      const Encoded got = encode(*damaged, "abcd \xC3\xA9xx  cdab");
      EXPECT_EQ(got.code, Code::ok);
      for (const uint32_t id : got.ids) EXPECT_LT(id, damaged->vocab_size());
    }
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace onepass::test
