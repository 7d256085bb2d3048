// Edits: fuzz input as changes to a good document, so that a run without a corpus reaches the rules behind the grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace onepass::test {

// Applies edits {u16 position, u8 bytes to remove, u8 bytes to insert, those bytes} until the input ends.
// Positions are taken modulo the length. At most `max_edits`, so that the result stays near the document.
inline std::string apply_edits(std::string_view document, std::span<const uint8_t> input, size_t max_edits = 8) {
  std::string text(document);
  size_t pos = 0;
  for (size_t n = 0; n < max_edits && input.size() - pos >= 4; ++n) {
    const size_t at = (input[pos] | size_t{input[pos + 1]} << 8) % (text.size() + 1);
    const size_t remove = input[pos + 2] % 64;
    size_t insert = input[pos + 3] % 64;
    pos += 4;
    if (insert > input.size() - pos) insert = input.size() - pos;
    text.replace(at, remove, reinterpret_cast<const char*>(input.data()) + pos, insert);
    pos += insert;
  }
  return text;
}

}  // namespace onepass::test
