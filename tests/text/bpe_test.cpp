// BPE: merges against a plain implementation, unknown characters, words of any length.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "tests/text/bpe_sections.h"

namespace onepass::test {
namespace {

using Ids = std::vector<uint32_t>;
using Spans = std::vector<TokenSpan>;

// As the textbook has it: the pair of the lowest rank, the leftmost of equals, until there is none.
Ids plain_merge(const TokenizerSpec& spec, Ids ids) {
  std::map<std::pair<uint32_t, uint32_t>, size_t> ranks;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    ranks[{spec.merges[rank].left, spec.merges[rank].right}] = rank;
  }
  for (;;) {
    size_t best = SIZE_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = ranks.find({ids[i], ids[i + 1]});
      if (found != ranks.end() && found->second < best) {
        best = found->second;
        at = i;
      }
    }
    if (best == SIZE_MAX) return ids;
    ids[at] = spec.merges[best].result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

std::vector<std::pair<std::string, std::string>> random_merges(std::mt19937& random, size_t count) {
  std::vector<std::string> pieces = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < count) {
    const std::string left = pieces[random() % pieces.size()];
    const std::string right = pieces[random() % pieces.size()];
    if (left.size() + right.size() > 40) continue;
    merges.emplace_back(left, right);
    pieces.push_back(left + right);
  }
  return merges;
}

// Words around the bound between the two ways of merging, and pieces that several merges make.
TEST(Bpe, MergesAsTheTextbookDoes) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    TokenizerSpec spec = byte_spec(random_merges(random, 1 + random() % 60));
    if (round % 3 == 0) std::shuffle(spec.merges.begin(), spec.merges.end(), random);
    const Parsed tokenizer(spec);
    ASSERT_EQ(tokenizer.code(), Code::ok);
    for (int i = 0; i < 60; ++i) {
      const size_t lengths[] = {1, 2, 5, 31, 32, 33, 34, 64, 100, 700};
      std::string word(lengths[random() % 10], 'a');
      for (char& c : word) c = static_cast<char>('a' + random() % 3);
      Ids bytes;
      for (const char c : word) bytes.push_back(static_cast<uint8_t>(c));
      const Encoded got = encode(*tokenizer, word);
      ASSERT_EQ(got.ids, plain_merge(spec, bytes)) << word;
      uint32_t end = 0;
      for (size_t t = 0; t < got.ids.size(); ++t) {
        ASSERT_EQ(got.spans[t].begin, end);
        end = got.spans[t].end;
        ASSERT_EQ(word.substr(got.spans[t].begin, end - got.spans[t].begin), spec.pieces[got.ids[t]]);
      }
      ASSERT_EQ(end, word.size());
    }
  }
}

TEST(Bpe, LastOfEqualMergesCounts) {
  TokenizerSpec spec = byte_spec({{"a", "b"}, {"b", "c"}});
  EXPECT_EQ(encode(*Parsed(spec), "abc").ids, (Ids{256, 'c'}));
  spec.merges.push_back(spec.merges[0]);
  EXPECT_EQ(encode(*Parsed(spec), "abc").ids, (Ids{'a', 257}));
}

// A piece that its own merges do not make is no token of its word, unless merges are ignored.
TEST(Bpe, WholePieces) {
  TokenizerSpec spec = byte_spec({{"a", "b"}, {"b", "c"}, {"a", "bc"}});
  EXPECT_EQ(encode(*Parsed(spec), "abc").ids, (Ids{256, 'c'}));
  EXPECT_EQ(encode(*Parsed(spec), "ab").ids, (Ids{256}));
  spec.bpe_flags |= bpe_ignore_merges;
  EXPECT_EQ(encode(*Parsed(spec), "abc").ids, (Ids{258}));
  EXPECT_EQ(encode(*Parsed(spec), "abc abc").ids, (Ids{258, ' ', 256, 'c'}));
}

TEST(Bpe, SpansOfBytesCoverTheirCharacters) {
  const Parsed tokenizer(byte_spec({{"\xC3", "\xA9"}, {"\x98", "\x80"}}));
  const Encoded got = encode(*tokenizer, "\xC3\xA9\xF0\x9F\x98\x80z");
  EXPECT_EQ(got.ids, (Ids{256, 0xF0, 0x9F, 257, 'z'}));
  EXPECT_EQ(got.spans, (Spans{{0, 2}, {2, 6}, {2, 6}, {2, 6}, {6, 7}}));
  EXPECT_EQ(tokenizer->token(257), "\x98\x80");
}

// The library drops a byte without a token, and the places behind it fall short by its two-byte character.
TEST(Bpe, DroppedBytes) {
  TokenizerSpec spec = byte_spec({});
  spec.byte_ids[4] = kNoPiece;
  const Encoded got = encode(*Parsed(spec), "!\x04!!");
  EXPECT_EQ(got.ids, (Ids{'!', '!', '!'}));
  EXPECT_EQ(got.spans, (Spans{{0, 1}, {1, 2}, {1, 2}}));
}

TEST(Bpe, UnknownCharacters) {
  const std::string mark = "\xE2\x96\x81";
  TokenizerSpec spec = character_spec({{mark, "a"}}, bpe_has_unk);
  const uint32_t a = 2;
  EXPECT_EQ(encode(*Parsed(spec), "a AB").ids, (Ids{28, 1, 0, 0}));
  EXPECT_EQ(encode(*Parsed(spec), "a AB").spans, (Spans{{0, 1}, {1, 2}, {2, 3}, {3, 4}}));
  spec.bpe_flags |= bpe_fuse_unk;
  EXPECT_EQ(encode(*Parsed(spec), "xABa").ids, (Ids{1, a + 'x' - 'a', 0, a}));
  EXPECT_EQ(encode(*Parsed(spec), "xABa").spans, (Spans{{0, 1}, {0, 1}, {1, 3}, {3, 4}}));
}

TEST(Bpe, ByteFallback) {
  const std::string mark = "\xE2\x96\x81";
  const TokenizerSpec spec = character_spec({{mark, "a"}}, bpe_has_unk | bpe_byte_fallback | bpe_fuse_unk);
  const Encoded got = encode(*Parsed(spec), "a \xC3\xA9");
  EXPECT_EQ(got.ids, (Ids{2 + 256 + 26, 1, 2 + 0xC3, 2 + 0xA9}));
  EXPECT_EQ(got.spans, (Spans{{0, 1}, {1, 2}, {2, 4}, {2, 4}}));
}

// Cutting before marks changes nothing: a merge that joins them keeps its characters together.
TEST(Bpe, CutsBeforeMarks) {
  const std::string mark = "\xE2\x96\x81";
  std::mt19937 random(9);
  for (const bool joined : {false, true}) {
    std::vector<std::pair<std::string, std::string>> merges = {
        {mark, "a"}, {mark, mark}, {"a", "b"}, {mark + "a", "b"}};
    if (joined) merges.emplace_back("x", mark + "a");
    const TokenizerSpec spec = character_spec(merges, bpe_has_unk);
    std::map<std::string, uint32_t> ids;
    for (uint32_t id = 0; id < spec.pieces.size(); ++id) ids[spec.pieces[id]] = id;
    const Parsed tokenizer(spec);
    ASSERT_EQ(tokenizer.code(), Code::ok);
    for (int i = 0; i < 3000; ++i) {
      std::string text(1 + random() % 12, 'a');
      for (char& c : text) c = "abx  "[random() % 5];
      Ids first = {ids[mark]};
      for (const char c : text) first.push_back(c == ' ' ? ids[mark] : ids[std::string(1, c)]);
      ASSERT_EQ(encode(*tokenizer, text).ids, plain_merge(spec, first)) << text << joined;
    }
  }
}

TEST(Bpe, PrefixSpaceAndTrimming) {
  TokenizerSpec spec = byte_spec({{" ", "a"}, {" ", " "}});
  spec.pre_tokenizer.insert(spec.pre_tokenizer.begin(), {PreTokenizerKind::prefix_space, 0, 0, ""});
  EXPECT_EQ(encode(*Parsed(spec), "a a").ids, (Ids{256, 256}));
  EXPECT_EQ(encode(*Parsed(spec), "a a").spans, (Spans{{0, 1}, {1, 3}}));
  spec.trim_offsets = true;
  EXPECT_EQ(encode(*Parsed(spec), "a a").spans, (Spans{{1, 1}, {2, 3}}));
  spec.trim_prefix_space = true;
  EXPECT_EQ(encode(*Parsed(spec), "a a").spans, (Spans{{0, 1}, {2, 3}}));
  EXPECT_EQ(encode(*Parsed(spec), "   a").spans, (Spans{{2, 2}, {3, 4}}));
}

struct BpeCase {
  const char* name;
  Code code;
  std::function<void(TokenizerSpec&)> change;
};
const BpeCase kBpeCases[] = {
    {"valid", Code::ok, [](TokenizerSpec&) {}},
    {"unknown flag", Code::unknown_flags, [](TokenizerSpec& s) { s.bpe_flags |= 1u << 6; }},
    {"unknown token out of range", Code::bad_value,
     [](TokenizerSpec& s) {
       s.bpe_flags |= bpe_has_unk;
       s.unk_id = 1000;
     }},
    {"byte out of range", Code::bad_value, [](TokenizerSpec& s) { s.byte_ids[7] = 1000; }},
    {"byte without a token", Code::ok, [](TokenizerSpec& s) { s.byte_ids[7] = kNoPiece; }},
    {"byte without a token to fall back to", Code::bad_value,
     [](TokenizerSpec& s) {
       s.bpe_flags = bpe_byte_fallback;
       s.byte_ids[7] = kNoPiece;
     }},
    {"bytes of characters", Code::bad_value, [](TokenizerSpec& s) { s.bpe_flags = 0; }},
    {"merge makes an unknown piece", Code::bad_value, [](TokenizerSpec& s) { s.merges[0].result = 258; }},
    {"no merges", Code::ok, [](TokenizerSpec& s) { s.merges.clear(); }},
    {"empty piece", Code::ok, [](TokenizerSpec& s) { s.pieces[257].clear(); }},
};

TEST(Bpe, MalformedSpecs) {
  for (const BpeCase& c : kBpeCases) {
    TokenizerSpec spec = byte_spec({{"a", "b"}, {"ab", "c"}});
    c.change(spec);
    EXPECT_EQ(code_name(Parsed(spec).code()), std::string(code_name(c.code))) << c.name;
  }
}

// Any change of one byte, and any truncation, is refused or safe to use: the tables are trusted with nothing.
TEST(Bpe, DamagedSectionsAreRefusedOrSafe) {
  for (const bool characters : {false, true}) {
    const TokenizerSpec spec = characters ? character_spec({{"\xE2\x96\x81", "a"}, {"a", "b"}}, bpe_has_unk)
                                          : byte_spec({{"a", "b"}, {"ab", "c"}});
    const std::vector<uint8_t> section = serialize_tokenizer(spec);
    const std::string text = "ab abc\xC3\xA9 \xFF" + std::string(40, 'a') + "bcab!";
    for (size_t size = 0; size < section.size(); ++size) {
      const Parsed cut(std::vector<uint8_t>(section.begin(), section.begin() + static_cast<ptrdiff_t>(size)));
      ASSERT_NE(cut.code(), Code::ok) << size;
    }
    size_t accepted = 0;
    for (size_t at = 0; at < section.size(); ++at) {
      for (const int change : {0x01, 0x80, 0xFF}) {
        std::vector<uint8_t> bytes = section;
        bytes[at] = static_cast<uint8_t>(bytes[at] ^ change);
        const Parsed damaged(std::move(bytes));
        if (damaged.code() != Code::ok) continue;
        ++accepted;
        const Encoded got = encode(*damaged, text);
        ASSERT_EQ(got.code, Code::ok);
        for (const uint32_t id : got.ids) ASSERT_LT(id, damaged->vocab_size());
        for (const TokenSpan& span : got.spans) ASSERT_TRUE(span.begin <= span.end && span.end <= text.size());
      }
    }
    EXPECT_GT(accepted, 100u);
  }
}

}  // namespace
}  // namespace onepass::test
