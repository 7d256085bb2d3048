// The model of a tokenizer: its pieces and what its kind adds.
#pragma once

#include "engine/text/bpe.h"
#include "engine/text/pieces.h"
#include "engine/text/unigram.h"
#include "engine/text/wordpiece.h"

namespace onepass {

struct TokenizerModel {
  Pieces pieces;
  WordPiece wordpiece;  // kind wordpiece
  Unigram unigram;      // kind unigram
  Bpe bpe;              // kind bpe
};

}  // namespace onepass
