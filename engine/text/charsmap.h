// The precompiled character map of SentencePiece: a double-array trie over UTF-8 from characters to their
// replacements, applied as the Precompiled normaliser of the tokenizers library does.
//
//   u32 bytes of the trie; u32 units[]; the replacements, UTF-8, each ended by NUL. All integers are little-endian.
//   A unit: bits 0-7 its label, bit 8 whether a value hangs below it, bits 10-31 the offset to its children (times 256
//   if bit 9 is set), by exclusive or. A value: bit 31, and below it the place of the replacement.
//
// A cluster of fewer than six bytes is replaced as a whole by what its shortest mapped prefix maps to; otherwise each
// of its characters that is mapped is. The library's way of aligning the result is part of the contract: characters
// removed at the very beginning leave all later ones aligned with earlier places.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/core/result.h"
#include "engine/text/derived_text.h"

namespace onepass {

// Longest replacement in bytes: a text grows by no more than this factor.
constexpr size_t kMaxCharsmapReplacement = 64;

class Charsmap {
 public:
  Charsmap() noexcept = default;
  // `blob` has been checked.
  explicit Charsmap(std::string_view blob) noexcept;

  // Errors: truncated, bad_value, bad_utf8, limit_exceeded; `offset` is the blob's place in the file. After it, no
  // look-up leaves the blob, whatever the trie says.
  static Status check(std::string_view blob, uint64_t offset) noexcept;

  // The replacement of the shortest prefix of text[0, size) that has one. False if none has.
  bool find(const char* text, size_t size, std::string_view* replacement) const noexcept;
  // The same for one ASCII character.
  bool maps(char ascii) const noexcept {
    std::string_view replacement;
    return find(&ascii, 1, &replacement);
  }

  // Writes the changed text with its runs relative to `text` (valid UTF-8); *changed is false, and `out` undefined, if
  // nothing is mapped. False when out of memory.
  bool normalize(std::string_view text, DerivedText& out, bool* changed) const noexcept;

 private:
  uint32_t unit(uint32_t at) const noexcept;

  const uint8_t* units_ = nullptr;
  uint32_t count_ = 0;
  uint32_t root_ = 0;  // where the root's children lie
  std::string_view replacements_;
};

}  // namespace onepass
