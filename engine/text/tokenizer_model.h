// The model of a tokenizer: its vocabulary and what its kind adds.
#pragma once

#include "engine/text/vocab.h"
#include "engine/text/wordpiece.h"

namespace onepass {

struct TokenizerModel {
  Vocab vocab;
  WordPiece wordpiece;  // kind wordpiece
};

}  // namespace onepass
