// WordPiece: a word is covered from its start by the longest pieces, or becomes the unknown token.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/text/vocab.h"

namespace onepass {

constexpr uint32_t kMaxInputChars = 1024;

struct WordPiece {
  Vocab vocab;
  uint32_t unk_id = 0;
  uint32_t max_input_chars_per_word = 0;  // a longer word is unknown
};

}  // namespace onepass
