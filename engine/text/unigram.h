// Unigram: the pieces of a word with the greatest sum of scores, as the tokenizers library finds it: sums from the left
// in double precision, where two are equal the one found first, that is with the longer last piece. A character that is
// no piece by itself may be unknown, at a score 10 below the lowest of all pieces.
#pragma once

#include <cstdint>

#include "engine/core/array.h"
#include "engine/text/piece_trie.h"

namespace onepass {

// The greatest score, up or down; the sums of a longest text stay finite.
constexpr double kMaxUnigramScore = 1e18;

// What the kind stores beside its pieces.
struct Unigram {
  bool byte_fallback = false;  // an unknown run becomes the pieces <0x00> to <0xFF> of its bytes, where all are there
  uint32_t unk_id = 0;
  double unk_score = 0;
  Array<double> scores;  // by id
  PieceTrie trie;
  uint32_t byte_ids[256] = {};  // kNoPiece where there is none
  size_t window = 0;            // scores that a word needs at a time: a power of two above the longest piece
};

}  // namespace onepass
