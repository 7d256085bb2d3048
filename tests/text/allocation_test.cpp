// Memory: every allocation failed in turn gives out_of_memory and no partial result; a warm scratch allocates nothing.
// This program replaces the runtime's allocator, so it holds nothing else.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/text/sections.h"

namespace {
size_t allocations = 0;
size_t fail_at = SIZE_MAX;
size_t live = 0;
}  // namespace

namespace onepass {

void* allocate_aligned(size_t bytes) noexcept {
  if (allocations++ == fail_at) return nullptr;
  ++live;
  return std::aligned_alloc(64, (bytes + 64) / 64 * 64);
}
void free_aligned(void* block) noexcept {
  live -= block != nullptr;
  std::free(block);
}

namespace test {
namespace {

TokenizerSpec spec_with_added_tokens() {
  TokenizerSpec spec = small_spec();
  spec.added_tokens.push_back({21, "Tok", false, true, true, true, false});
  spec.added_tokens.push_back({22, "new", true, false, false, false, false});
  return spec;
}

// Malformed bytes, marks out of order, added tokens of both sets, ideographs.
std::string busy_text() {
  std::string text = "a\xFF [MASK] h\xC3\xA9llo Tok new \xE4\xB8\xAD un";
  for (int i = 0; i < 50; ++i) text += "\xCC\x81\xCC\x96";
  for (int i = 0; i < 100; ++i) text += " world!";
  return text;
}

TEST(Allocation, EveryFailureOfParse) {
  const std::vector<uint8_t> section = serialize_tokenizer(spec_with_added_tokens());
  allocations = 0;
  { ASSERT_TRUE(Tokenizer::parse(section, 100).ok()); }
  const size_t needed = allocations;
  ASSERT_GT(needed, 10u);
  ASSERT_EQ(live, 0u);
  for (size_t i = 0; i < needed; ++i) {
    allocations = 0;
    fail_at = i;
    const Code code = Tokenizer::parse(section, 100).code();
    fail_at = SIZE_MAX;
    EXPECT_EQ(code, Code::out_of_memory) << i;
    EXPECT_EQ(live, 0u) << i;
  }
}

TEST(Allocation, EveryFailureOfEncode) {
  const Parsed tokenizer(spec_with_added_tokens());
  ASSERT_EQ(tokenizer.code(), Code::ok);
  const std::string text = busy_text();
  const size_t before = live;
  size_t failures = 0;
  for (bool done = false; !done; ++failures) {
    {
      EncodeScratch scratch;
      Array<uint32_t> ids;
      Array<TokenSpan> spans;
      ASSERT_TRUE(ids.push_back(7) && spans.push_back({8, 9}));
      allocations = 0;
      fail_at = failures;
      const Code code = tokenizer->encode(text, {}, scratch, ids, &spans, nullptr).code();
      fail_at = SIZE_MAX;
      done = code == Code::ok;
      if (!done) {
        EXPECT_EQ(code, Code::out_of_memory);
        EXPECT_EQ(ids.size(), 1u);
        EXPECT_EQ(spans.size(), 1u);
        // The same scratch serves the next call.
        ASSERT_TRUE(tokenizer->encode(text, {}, scratch, ids, &spans, nullptr).ok());
        EXPECT_GT(ids.size(), 200u);
      }
    }
    EXPECT_EQ(live, before);
  }
  EXPECT_GT(failures, 10u);
}

TEST(Allocation, NoneAfterWarmUp) {
  const Parsed tokenizer(spec_with_added_tokens());
  const std::string text = busy_text();
  EncodeScratch scratch;
  Array<uint32_t> ids;
  Array<TokenSpan> spans;
  ASSERT_TRUE(tokenizer->encode(text, {}, scratch, ids, &spans, nullptr).ok());
  allocations = 0;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    ids.clear();
    spans.clear();
    ASSERT_TRUE(tokenizer->encode(std::string_view(text).substr(0, cut), {}, scratch, ids, &spans, nullptr).ok());
  }
  EXPECT_EQ(allocations, 0u);
}

}  // namespace
}  // namespace test
}  // namespace onepass
