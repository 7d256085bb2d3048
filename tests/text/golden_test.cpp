// Ids and byte offsets equal those of the reference library, recorded by tools/dev/tokenizer_oracle.py fixtures.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

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
  ASSERT_GE(golden.texts.size(), 800u);
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
  EXPECT_GE(tokens, 8 * golden.texts.size());
}

// Truncation equals tokenise-all-then-truncate, for every length.
TEST_P(GoldenTest, EveryTruncationIsAPrefix) {
  const Golden golden = load(GetParam());
  const Parsed tokenizer(golden.section);
  ASSERT_EQ(tokenizer.code(), Code::ok);
  for (size_t t = 0; t < golden.texts.size(); t += 16) {
    const GoldenText& entry = golden.texts[t];
    const size_t total = entry.ids.size();
    for (size_t max = 2; max <= total + 1; ++max) {
      const Encoded got = encode(*tokenizer, entry.text, {.max_tokens = max});
      ASSERT_EQ(got.code, Code::ok);
      std::vector<uint32_t> want = entry.ids;
      uint32_t used = 0;
      if (max < total) want.erase(want.end() - 1 - static_cast<ptrdiff_t>(total - max), want.end() - 1);
      if (want.size() > 2) used = entry.spans[want.size() - 2].end;
      ASSERT_EQ(got.ids, want) << testing::PrintToString(entry.text) << " max " << max;
      ASSERT_EQ(got.stats.total_tokens, total);
      ASSERT_EQ(got.stats.truncated, max < total);
      ASSERT_EQ(got.stats.bytes_used, used) << testing::PrintToString(entry.text) << " max " << max;
    }
  }
}

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
