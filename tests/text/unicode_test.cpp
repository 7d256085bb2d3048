// Character properties: facts of the tables, and what must hold for every code point.
#include <gtest/gtest.h>

#include "engine/core/utf8.h"
#include "engine/text/unicode.h"

namespace onepass::test {
namespace {

// Of the properties that BERT uses.
uint32_t flags(uint32_t c) { return char_info(c).flags & 0x7F; }
uint32_t classes(uint32_t c) { return char_info(c).flags & ~0x7Fu; }

TEST(Unicode, Facts) {
  EXPECT_EQ(flags('a'), char_word);
  EXPECT_EQ(char_info('A').lower_delta, 32);
  EXPECT_EQ(flags('_'), char_word | char_punctuation);
  EXPECT_EQ(flags('$'), char_punctuation);
  EXPECT_EQ(flags(' '), char_space);
  EXPECT_EQ(flags('\t'), char_space);
  EXPECT_EQ(flags(0x0B), char_removed | char_space);
  EXPECT_EQ(flags(0), char_removed);
  EXPECT_EQ(flags(0xFFFD), char_removed);
  EXPECT_EQ(flags(0x200D), char_removed | char_word);  // \w has Join_Control
  EXPECT_EQ(flags(0x4E2D), char_ideograph | char_word);
  EXPECT_EQ(flags(0x2B81F) & char_ideograph, char_ideograph);
  EXPECT_EQ(flags(0x2B820) & char_ideograph, 0);  // the library begins the next block at 2B920
  EXPECT_EQ(flags(0x2B91F) & char_ideograph, 0);
  EXPECT_EQ(flags(0x2B920) & char_ideograph, char_ideograph);
  EXPECT_EQ(flags(0x301), char_mark | char_word);
  EXPECT_EQ(char_info(0x301).combining_class, 230);
  EXPECT_EQ(flags(0x61D) & char_punctuation, 0);                 // punctuation since Unicode 14
  EXPECT_EQ(flags(0x1DF6) & char_mark, 0);                       // a mark since Unicode 10
  EXPECT_EQ(0x10D50 + char_info(0x10D50).lower_delta, 0x10D70);  // lower case since Unicode 16
}

TEST(Unicode, ClassesOfRegularExpressions) {
  constexpr uint32_t kInert = uint32_t{char_nfc_inert} | char_nfkc_inert;
  EXPECT_EQ(classes('a'), char_letter | char_lower | kInert);
  EXPECT_EQ(classes('A'), char_letter | char_upper | kInert);
  EXPECT_EQ(classes('7'), char_number | char_numeric | kInert);
  EXPECT_EQ(classes(0x4E2D), char_letter | char_upper | char_lower | kInert);  // Lo
  EXPECT_EQ(classes(0x301), char_upper | char_lower | char_combining);         // a mark
  EXPECT_EQ(classes(0xBD), char_number | char_numeric | char_compatibility | char_nfc_inert);
  EXPECT_EQ(classes(0x1161), char_letter | char_upper | char_lower);  // composes with what is before it
  EXPECT_EQ(classes(0x212B), char_letter | char_upper);               // becomes U+00C5
}

TEST(Unicode, Compositions) {
  EXPECT_EQ(compose('e', 0x301), 0xE9u);
  EXPECT_EQ(compose(0x1100, 0x1161), 0xAC00u);
  EXPECT_EQ(compose(0xAC00, 0x11A8), 0xAC01u);
  EXPECT_EQ(compose(0xAC01, 0x11A8), 0u);
  EXPECT_EQ(compose(0xAC00, 0x11A7), 0u);
  EXPECT_EQ(compose(0x11099, 0x110BA), 0x1109Au);
  EXPECT_EQ(compose(0x915, 0x93C), 0u);  // excluded from composition
  EXPECT_EQ(compose('a', 'b'), 0u);
}

TEST(Unicode, CompatibilityDecompositions) {
  uint32_t out[kMaxCompatDecomposition];
  ASSERT_EQ(decompose_compat(0xFB01, out), 2u);
  EXPECT_EQ(out[0], uint32_t{'f'});
  EXPECT_EQ(out[1], uint32_t{'i'});
  EXPECT_EQ(decompose_compat(0xFDFA, out), 18u);
  ASSERT_EQ(decompose_compat(0x1D400, out), 1u);
  EXPECT_EQ(out[0], uint32_t{'A'});
  EXPECT_EQ(decompose_compat('a', out), 0u);
}

TEST(Unicode, Decompositions) {
  uint32_t out[kMaxDecomposition];
  ASSERT_EQ(decompose(0xE9, out), 2u);
  EXPECT_EQ(out[0], uint32_t{'e'});
  EXPECT_EQ(out[1], 0x301u);
  ASSERT_EQ(decompose(0xAC01, out), 3u);
  EXPECT_EQ(out[0], 0x1100u);
  EXPECT_EQ(out[1], 0x1161u);
  EXPECT_EQ(out[2], 0x11A8u);
  EXPECT_EQ(decompose(0xAC00, out), 2u);
  ASSERT_EQ(decompose(0x2F800, out), 1u);
  EXPECT_EQ(out[0], 0x4E3Du);
  ASSERT_EQ(decompose(0x2F803, out), 1u);
  EXPECT_EQ(out[0], 0x20122u);
  ASSERT_EQ(decompose(0x1D160, out), 3u);
  EXPECT_EQ(out[0], 0x1D158u);
}

TEST(Unicode, EveryCodePoint) {
  size_t decomposing = 0;
  size_t cased = 0;
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const CharInfo& info = char_info(c);
    const auto lower = static_cast<int64_t>(c) + info.lower_delta;
    ASSERT_TRUE(lower >= 0 && lower <= 0x10FFFF && (lower < 0xD800 || lower >= 0xE000)) << c;
    cased += info.lower_delta != 0;
    if ((info.flags & char_decomposes) == 0) continue;
    ++decomposing;
    uint32_t out[kMaxDecomposition];
    const size_t count = decompose(c, out);
    ASSERT_GE(count, 1u) << c;
    ASSERT_LE(count, kMaxDecomposition) << c;
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(flags(out[i]) & char_decomposes, 0) << c;
      // A decomposition is in canonical order.
      const uint8_t now = char_info(out[i]).combining_class;
      ASSERT_TRUE(i == 0 || now == 0 || char_info(out[i - 1]).combining_class <= now) << c;
    }
  }
  EXPECT_EQ(decomposing, 13232u);
  EXPECT_EQ(cased, 1487u);
}

TEST(Unicode, ValidPrefix) {
  EXPECT_EQ(valid_utf8_prefix(""), 0u);
  EXPECT_EQ(valid_utf8_prefix("plain text, longer than a word"), 30u);
  EXPECT_EQ(valid_utf8_prefix("12345678\xE4\xB8\xAD"), 11u);
  EXPECT_EQ(valid_utf8_prefix("12345678\xE4\xB8"), 8u);
  EXPECT_EQ(valid_utf8_prefix("a\xC0\x80"), 1u);
  EXPECT_EQ(valid_utf8_prefix("\xED\xA0\x80"), 0u);
}

TEST(Unicode, DecodeValidIsTheInverseOfEncode) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    char text[5] = {'x'};
    const size_t length = encode_utf8(c, text + 1);
    const ValidChar got = decode_valid(text + 1);
    ASSERT_EQ(got.code_point, c);
    ASSERT_EQ(got.length, length);
    ASSERT_EQ(previous_char({text, length + 1}, length + 1), 1u);
  }
}

}  // namespace
}  // namespace onepass::test
