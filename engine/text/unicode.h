// Character properties as the tokenizers see them, measured on the Hugging Face tokenizers library
// (tools/dev/unicode_tables.py), because identity with it is the requirement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace onepass {

enum CharFlag : uint16_t {
  char_removed = 1 << 0,      // control, format and private-use characters, NUL, U+FFFD: clean_text drops them
  char_space = 1 << 1,        // White_Space
  char_ideograph = 1 << 2,    // what handle_chinese_chars puts spaces around
  char_mark = 1 << 3,         // nonspacing marks: strip_accents drops them
  char_punctuation = 1 << 4,  // a word of its own
  char_word = 1 << 5,         // \w
  char_decomposes = 1 << 6,   // has a canonical decomposition
  // As the regular expressions of Split see them.
  char_letter = 1 << 7,          // \p{L}
  char_upper = 1 << 8,           // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
  char_lower = 1 << 9,           // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
  char_number = 1 << 10,         // \p{N}
  char_numeric = 1 << 11,        // what Digits sets apart
  char_combining = 1 << 12,      // what StripAccents drops
  char_compatibility = 1 << 13,  // has a compatibility decomposition that is not canonical
  char_nfc_inert = 1 << 14,      // NFC leaves it alone, and no composition reaches across the place before it
  char_nfkc_inert = 1 << 15,     // the same for NFKC
};

struct CharInfo {
  int32_t lower_delta;  // lower case = code point + this; U+0130 alone becomes two characters, U+0069 U+0307
  uint16_t flags;       // of CharFlag
  uint8_t combining_class;
};

constexpr uint32_t kCapitalIWithDot = 0x130;
constexpr uint32_t kCombiningDotAbove = 0x307;

// `code_point` <= 0x10FFFF.
const CharInfo& char_info(uint32_t code_point) noexcept;

constexpr size_t kMaxDecomposition = 4;
constexpr size_t kMaxCompatDecomposition = 18;

// Full canonical decomposition of a character with char_decomposes; returns its length.
size_t decompose(uint32_t code_point, uint32_t out[kMaxDecomposition]) noexcept;

// Full compatibility decomposition of a character with char_compatibility; returns its length.
size_t decompose_compat(uint32_t code_point, uint32_t out[kMaxCompatDecomposition]) noexcept;

// The canonical composition of two characters, or 0.
uint32_t compose(uint32_t first, uint32_t second) noexcept;

// Length of the longest prefix that is valid UTF-8.
size_t valid_utf8_prefix(std::string_view text) noexcept;

// One character of text known to be valid UTF-8.
struct ValidChar {
  uint32_t code_point;
  uint32_t length;
};
inline ValidChar decode_valid(const char* text) noexcept {
  const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(text[i])}; };
  const uint32_t b0 = byte(0);
  if (b0 < 0x80) return {b0, 1};
  if (b0 < 0xE0) return {(b0 & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (b0 < 0xF0) return {(b0 & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(b0 & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}
// Start of the character that ends before text[end], end > 0, in valid UTF-8.
inline size_t previous_char(std::string_view text, size_t end) noexcept {
  do {
    --end;
  } while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace onepass
