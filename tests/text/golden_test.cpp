// Ids and byte offsets equal those of the reference library, recorded by tools/dev/tokenizer_oracle.py fixtures,
// bpe_fixtures.py and unigram_fixtures.py.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "engine/core/utf8.h"
#include "engine/text/split_pattern.h"
#include "tests/text/sections.h"

namespace onepass::test {
namespace {

std::vector<uint8_t> read_fixture(const std::string& name) {
  const char* folder = std::getenv("ONEPASS_FIXTURES");
  const std::string path = std::string(folder == nullptr ? "tests/fixtures" : folder) + "/text/" + name;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    ADD_FAILURE() << "cannot open " << path;
    return {};
  }
  std::vector<uint8_t> bytes;
  for (int c; (c = std::fgetc(file)) != EOF;) bytes.push_back(static_cast<uint8_t>(c));
  std::fclose(file);
  return bytes;
}

struct GoldenText {
  std::string text;
  std::vector<uint32_t> ids;
  std::vector<TokenSpan> spans;
};

struct Golden {
  std::vector<uint8_t> section;
  std::vector<GoldenText> texts;
};

uint64_t leb128(Cursor& in) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const uint8_t byte = in.u8();
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
}

Golden load(const std::string& name) {
  const std::vector<uint8_t> bytes = read_fixture(name);
  Cursor in(bytes);
  Golden golden;
  const auto section = in.bytes(in.u32());
  golden.section.assign(section.begin(), section.end());
  golden.texts.resize(in.u32());
  for (GoldenText& entry : golden.texts) {
    const auto text = in.bytes(leb128(in));
    entry.text.assign(text.begin(), text.end());
    uint32_t previous = 0;
    for (uint64_t tokens = leb128(in); tokens != 0; --tokens) {
      entry.ids.push_back(static_cast<uint32_t>(leb128(in)));
      const uint64_t zigzag = leb128(in);
      const auto begin = previous + static_cast<uint32_t>((zigzag & 1) != 0 ? ~(zigzag >> 1) : zigzag >> 1);
      previous = begin + static_cast<uint32_t>(leb128(in));
      entry.spans.push_back({begin, previous});
    }
  }
  EXPECT_TRUE(in.ok()) << name;
  EXPECT_EQ(in.remaining(), 0u) << name;
  return golden;
}

class GoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, IdsAndOffsetsEqualTheReference) {
  const Golden golden = load(GetParam());
  ASSERT_GE(golden.texts.size(), 400u);
  const Parsed tokenizer(golden.section);
  ASSERT_EQ(tokenizer.code(), Code::ok) << tokenizer.result.error().message;
  size_t tokens = 0;
  EncodeScratch scratch;  // one for all, so that a buffer's old content shows
  for (const GoldenText& entry : golden.texts) {
    Array<uint32_t> ids;
    Array<TokenSpan> spans;
    EncodeStats stats;
    ASSERT_TRUE(tokenizer->encode(entry.text, {}, scratch, ids, &spans, &stats).ok());
    ASSERT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), entry.ids) << testing::PrintToString(entry.text);
    ASSERT_EQ(std::vector<TokenSpan>(spans.begin(), spans.end()), entry.spans) << testing::PrintToString(entry.text);
    ASSERT_EQ(stats.total_tokens, ids.size());
    tokens += ids.size();
  }
  EXPECT_GE(tokens, 4 * golden.texts.size());
}

// Truncation equals tokenise-all-then-truncate, for every length.
TEST_P(GoldenTest, EveryTruncationIsAPrefix) {
  const Golden golden = load(GetParam());
  const Parsed tokenizer(golden.section);
  ASSERT_EQ(tokenizer.code(), Code::ok);
  // How many tokens the template has, and of those, before the text.
  const size_t around = tokenizer->special_count();
  const std::vector<uint32_t> empty = encode(*tokenizer, "").ids;
  const std::vector<uint32_t> probe = encode(*tokenizer, "a").ids;
  size_t before = 0;
  while (before < around && probe[before] == empty[before]) ++before;
  const size_t after = around - before;
  for (size_t t = 0; t < golden.texts.size(); t += 16) {
    const GoldenText& entry = golden.texts[t];
    const size_t total = entry.ids.size();
    for (size_t max = around; max <= total + 1; ++max) {
      const Encoded got = encode(*tokenizer, entry.text, {.max_tokens = max});
      ASSERT_EQ(got.code, Code::ok);
      std::vector<uint32_t> want = entry.ids;
      uint32_t used = 0;
      const auto end = want.end() - static_cast<ptrdiff_t>(after);
      if (max < total) want.erase(end - static_cast<ptrdiff_t>(total - max), end);
      if (want.size() > around) used = entry.spans[want.size() - after - 1].end;
      ASSERT_EQ(got.ids, want) << testing::PrintToString(entry.text) << " max " << max;
      ASSERT_EQ(got.stats.total_tokens, total);
      ASSERT_EQ(got.stats.truncated, max < total);
      ASSERT_EQ(got.stats.bytes_used, used) << testing::PrintToString(entry.text) << " max " << max;
    }
  }
}

// The added tokens of a section, as docs/tokenizers.md lays them out.
std::vector<uint32_t> added_ids(std::span<const uint8_t> section) {
  Cursor in(section);
  (void)in.bytes(12);
  const uint32_t added = in.u32();
  (void)in.u32();
  const uint32_t normalizers = in.u32(), pre_tokenizers = in.u32();
  (void)in.u32();
  const auto skip = [&](size_t integers, size_t strings) {
    (void)in.bytes(4 * integers);
    for (size_t i = 0; i < strings; ++i) (void)in.bytes(in.u32());
  };
  for (uint32_t i = 0; i < normalizers; ++i) skip(2, 2);
  for (uint32_t i = 0; i < pre_tokenizers; ++i) skip(3, 1);
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < added; ++i) {
    ids.push_back(in.u32());
    (void)in.u32();
  }
  EXPECT_TRUE(in.ok());
  return ids;
}

// Blocks of letters, each of another script.
constexpr struct {
  uint32_t first, last;
} kScripts[] = {
    {0x61, 0x7A},       {0x370, 0x3FF},     {0x400, 0x52F},     {0x530, 0x58F},     {0x590, 0x5FF},
    {0x600, 0x6FF},     {0x700, 0x74F},     {0x780, 0x7BF},     {0x7C0, 0x7FF},     {0x900, 0x97F},
    {0x980, 0x9FF},     {0xA00, 0xA7F},     {0xA80, 0xAFF},     {0xB00, 0xB7F},     {0xB80, 0xBFF},
    {0xC00, 0xC7F},     {0xC80, 0xCFF},     {0xD00, 0xD7F},     {0xD80, 0xDFF},     {0xE00, 0xE7F},
    {0xE80, 0xEFF},     {0xF00, 0xFFF},     {0x1000, 0x109F},   {0x10A0, 0x10FF},   {0x1100, 0x11FF},
    {0x1200, 0x139F},   {0x13A0, 0x13FF},   {0x1780, 0x17FF},   {0x1800, 0x18AF},   {0x1B00, 0x1B7F},
    {0x3040, 0x309F},   {0x30A0, 0x30FF},   {0x3100, 0x312F},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
    {0x10000, 0x100FF}, {0x10400, 0x1044F}, {0x11000, 0x1114F}, {0x11300, 0x1137F}, {0x1E900, 0x1E95F},
};

// The texts of a fixture are the hard ones that they are meant to be.
TEST_P(GoldenTest, TheTextsAreHard) {
  const Golden golden = load(GetParam());
  std::set<uint32_t> met;  // ids of some bytes of a text
  std::set<size_t> scripts;
  size_t invalid = 0, joiners = 0, marks = 0, controls = 0;
  for (const GoldenText& entry : golden.texts) {
    for (size_t t = 0; t < entry.ids.size(); ++t) {
      if (entry.spans[t].begin != entry.spans[t].end) met.insert(entry.ids[t]);
    }
    for (size_t pos = 0; pos < entry.text.size();) {
      const Utf8Char c = decode_utf8(entry.text, pos);
      pos += c.length;
      invalid += !c.valid;
      joiners += c.code_point == 0x200D;
      marks += c.code_point >= 0x300 && c.code_point < 0x370;
      controls += c.code_point < 0x20;
      for (size_t i = 0; i < std::size(kScripts); ++i) {
        if (c.code_point >= kScripts[i].first && c.code_point <= kScripts[i].last) scripts.insert(i);
      }
    }
  }
  EXPECT_GE(scripts.size(), 30u);
  EXPECT_GE(invalid, 10u);
  EXPECT_GE(joiners, 10u);
  EXPECT_GE(marks, 10u);
  EXPECT_GE(controls, 10u);
  for (const uint32_t id : added_ids(golden.section)) EXPECT_TRUE(met.contains(id)) << "added token " << id;
}

constexpr const char* kWords[] = {"words_gpt2.bin", "words_llama3.bin", "words_qwen2.bin", "words_o200k.bin",
                                  "words_tekken.bin"};
INSTANTIATE_TEST_SUITE_P(Words, GoldenTest, testing::ValuesIn(kWords),
                         [](const auto& info) { return std::string(info.param + 6, std::strlen(info.param) - 10); });
INSTANTIATE_TEST_SUITE_P(Bpe, GoldenTest,
                         testing::Values("bpe_roberta.bin", "bpe_llama3.bin", "bpe_qwen2.bin", "bpe_o200k.bin",
                                         "bpe_smollm2.bin", "bpe_modernbert.bin", "bpe_llama2.bin", "bpe_phi3.bin",
                                         "bpe_gemma3.bin"),
                         [](const auto& info) { return std::string(info.param + 4, std::strlen(info.param) - 8); });
INSTANTIATE_TEST_SUITE_P(Unigram, GoldenTest,
                         testing::Values("unigram_deberta.bin", "unigram_xlm_roberta.bin", "unigram_albert.bin",
                                         "unigram_t5.bin", "unigram_bytes.bin"),
                         [](const auto& info) { return std::string(info.param + 8, std::strlen(info.param) - 12); });
INSTANTIATE_TEST_SUITE_P(Wordpiece, GoldenTest,
                         testing::Values("wordpiece_uncased.bin", "wordpiece_cased.bin", "wordpiece_plain.bin"),
                         [](const auto& info) { return std::string(info.param + 10, std::strlen(info.param) - 14); });

// The fixtures can tell: a tokenizer with one flag changed differs from them.
TEST(Golden, RejectsAWrongFlag) {
  Golden golden = load("wordpiece_uncased.bin");
  for (unsigned flag = 0; flag < 4; ++flag) {
    std::vector<uint8_t> section = golden.section;
    section[36] = static_cast<uint8_t>(section[36] ^ (1u << flag));  // the flags of the first normaliser step
    const Parsed tokenizer(section);
    ASSERT_EQ(tokenizer.code(), Code::ok);
    size_t different = 0;
    for (const GoldenText& entry : golden.texts) different += encode(*tokenizer, entry.text).ids != entry.ids;
    EXPECT_GT(different, 20u) << "flag " << flag;
  }
}

// The same for the expression that cuts the text: every other one differs.
TEST(Golden, RejectsAWrongPattern) {
  constexpr size_t kValue = 40;  // of the first pre-tokeniser step, where there is no normaliser
  for (const char* name : kWords) {
    const Golden golden = load(name);
    for (uint8_t pattern = 1; pattern <= static_cast<uint8_t>(SplitPattern::last); ++pattern) {
      if (pattern == golden.section[kValue]) continue;
      std::vector<uint8_t> section = golden.section;
      section[kValue] = pattern;
      const Parsed tokenizer(section);
      ASSERT_EQ(tokenizer.code(), Code::ok);
      size_t different = 0;
      for (const GoldenText& entry : golden.texts) different += encode(*tokenizer, entry.text).spans != entry.spans;
      EXPECT_GT(different, 15u) << name << " with pattern " << int{pattern};
    }
  }
}

// Any change of one byte, and any truncation, of a small section is refused or safe to use.
TEST(Golden, DamagedSectionsAreRefusedOrSafe) {
  const std::vector<uint8_t> section = serialize_tokenizer(small_spec());
  const std::string text = "un[MASK]affable HELLO w\xC3\xB6rld! \xE4\xB8\xAD # \xFF";
  size_t accepted = 0;
  for (size_t size = 0; size < section.size(); ++size) {
    const Parsed cut(std::vector<uint8_t>(section.begin(), section.begin() + static_cast<ptrdiff_t>(size)), 1000);
    EXPECT_NE(cut.code(), Code::ok) << size;
  }
  for (size_t at = 0; at < section.size(); ++at) {
    for (unsigned change = 0; change < 10; ++change) {
      std::vector<uint8_t> bytes = section;
      bytes[at] = static_cast<uint8_t>(change < 8 ? bytes[at] ^ (1u << change) : change == 8 ? 0 : 0xFF);
      const Parsed damaged(bytes, 1000);
      if (damaged.code() != Code::ok) continue;
      ++accepted;
      const Encoded got = encode(*damaged, text);
      EXPECT_EQ(got.code, Code::ok);
      for (const uint32_t id : got.ids) EXPECT_LT(id, damaged->vocab_size());
    }
  }
  EXPECT_GT(accepted, 0u);  // a letter of a piece may change
}

}  // namespace
}  // namespace onepass::test
