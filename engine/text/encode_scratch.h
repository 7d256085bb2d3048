// The buffers that Tokenizer::encode works in. A session keeps one and reuses it: buffers only grow, so that after
// the longest text nothing is allocated.
#pragma once

#include <cstdint>

#include "engine/core/array.h"

namespace onepass {

// From position `at` of a derived text on, up to the next run, position p comes from source position
// source + (p - at). Holds for the first byte of every character.
struct AlignmentRun {
  uint32_t at;
  uint32_t source;
};

// A text derived from a source, in valid UTF-8, and where its characters come from. Sources never fall.
struct DerivedText {
  Array<char> bytes;  // followed by kTextPadding readable bytes within the array's size
  size_t size = 0;
  Array<AlignmentRun> runs;
};

// Vocab reads the text in words of this many bytes.
constexpr size_t kTextPadding = 16;

// Characters of a run of combining marks that wait to be put in canonical order.
struct PendingMarks {
  Array<uint32_t> items;    // packed: see bert_normalizer.cpp
  Array<uint32_t> sorted;   // of a long run
  Array<uint32_t> sources;  // where the run's source characters begin
};

// An added token that begins at this place.
struct AddedMatch {
  uint32_t begin;
  uint32_t pattern;
};

struct EncodeScratch {
  DerivedText repaired;    // the text with U+FFFD for malformed sequences; unused for valid UTF-8
  DerivedText normalized;  // of one segment between added tokens
  PendingMarks marks;
  Array<AddedMatch> matches;             // in the text
  Array<AddedMatch> normalized_matches;  // in the normalised segment
};

}  // namespace onepass
