// The kinds of tokenizer that a model file may hold.
#pragma once

#include <cstdint>

namespace onepass {

// Stable numbers, stored in files; only ever appended to.
enum class TokenizerKind : uint32_t {
  none = 0,  // the model has no tokenizer section: it takes token ids
  wordpiece = 1,
};

}  // namespace onepass
