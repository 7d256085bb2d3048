// UTF-8 as bytes that may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace onepass {

// text[begin, end) without the exception that substr would need.
inline std::string_view part(std::string_view text, size_t begin, size_t end) noexcept {
  return {text.data() + begin, end - begin};
}

struct Utf8Char {
  uint32_t code_point;  // U+FFFD for a malformed sequence
  uint32_t length;      // bytes consumed, >= 1
  bool valid;
};

// Decodes one character at text[pos], pos < text.size(). A malformed sequence consumes its maximal
// subpart (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"), as WHATWG and
// Python's errors="replace" do.
Utf8Char decode_utf8(std::string_view text, size_t pos) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

// A name in a file (rule G9): 1..255 bytes of valid UTF-8 without NUL.
bool is_valid_name(std::string_view name) noexcept;

// Writes `code_point` (a scalar value) to out[0..4) and returns its length.
size_t encode_utf8(uint32_t code_point, char* out) noexcept;

}  // namespace onepass
