// WordPiece with BERT's normaliser and pre-tokeniser: words are cut at white space and around punctuation, and each
// is covered from its start by the longest pieces, or becomes the unknown token.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/text/bert_normalizer.h"

namespace onepass {

constexpr uint32_t kMaxInputChars = 1024;

// What the kind stores beside its pieces.
struct WordPiece {
  BertNormalizer normalizer;
  uint32_t unk_id = 0;
  uint32_t max_input_chars_per_word = 0;  // a longer word is unknown
  std::string_view continuing_prefix;
};

}  // namespace onepass
