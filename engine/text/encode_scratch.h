// The buffers that Tokenizer::encode works in. A session keeps one and reuses it: buffers only grow, so that after
// the longest text nothing is allocated.
#pragma once

#include <cstdint>

#include "engine/core/array.h"
#include "engine/text/derived_text.h"

namespace onepass {

// Characters that wait to be put in canonical order, or composed.
struct PendingMarks {
  Array<uint32_t> items;     // packed: see canonical_order.h
  Array<uint32_t> sorted;    // of a long run
  Array<uint32_t> sources;   // where the source characters begin
  Array<uint32_t> composed;  // code points, and how many source characters each stands for, in turns
};

// An added token that begins at this place.
struct AddedMatch {
  uint32_t begin;
  uint32_t pattern;
};

// A symbol of a long word that BPE merges: a piece, the rank of the merge with the symbol behind it, the end in the
// word, and its neighbours.
struct BpeSymbol {
  uint32_t id;
  uint32_t rank;
  uint32_t end;
  uint32_t previous;
  uint32_t next;
};
struct BpeScratch {
  Array<BpeSymbol> symbols;
  Array<uint64_t> heap;
};

// Pre-tokenizer steps that rewrite the text, in one tokenizer.
constexpr size_t kMaxRewrites = 2;

// What Unigram works in.
struct UnigramScratch {
  Array<double> best;    // by position, modulo the window: of the best path that ends there; unreached between words
  Array<uint32_t> last;  // by position in a word: the last piece of that path, packed
};

struct EncodeScratch {
  DerivedText repaired;       // the text with U+FFFD for malformed sequences; unused for valid UTF-8
  DerivedText normalized[2];  // of one segment between added tokens: what a normaliser step reads and writes
  DerivedText words[kMaxRewrites];
  Array<AlignmentRun> runs;
  PendingMarks marks;
  UnigramScratch unigram;
  BpeScratch bpe;
  Array<AddedMatch> matches;             // in the text
  Array<AddedMatch> normalized_matches;  // in the normalised segment
};

}  // namespace onepass
