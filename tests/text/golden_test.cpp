// Ids and byte offsets equal those of the reference library, recorded by tools/dev/tokenizer_oracle.py fixtures,
// bpe_fixtures.py and unigram_fixtures.py.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

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
