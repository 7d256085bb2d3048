// The kinds of tokenizer that a model file may hold.
#pragma once

#include <cstdint>

namespace onepass {

// The version of the tokenizer section that this library writes and reads. Version 1 had WordPiece alone.
constexpr uint32_t kTokenizerVersion = 2;

// Stable numbers, stored in files; only ever appended to.
enum class TokenizerKind : uint32_t {
  none = 0,  // the model has no tokenizer section: it takes token ids
  wordpiece = 1,
  bpe = 2,
  unigram = 3,
};

}  // namespace onepass
