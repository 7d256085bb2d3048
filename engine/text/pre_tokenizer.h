// Pre-tokeniser: the steps that cut a normalised text into the words that the model sees, as the file lists them.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/encode_scratch.h"
#include "engine/text/kind_row.h"

namespace onepass {

// Stable numbers, stored in files; only ever appended to.
enum class PreTokenizerKind : uint32_t {
  bert = 1,              // white space removed, every punctuation character alone
  whitespace = 2,        // \w+|[^\w\s]+
  whitespace_split = 3,  // white space removed
  punctuation = 4,       // flags: behaviour
  digits = 5,            // flags: behaviour
  metaspace = 6,         // flags: of MetaspaceFlag; value: the replacement character; text: it, in UTF-8
  prefix_space = 7,      // a space before a word that has none: add_prefix_space of ByteLevel
  pattern = 8,           // value: of SplitPattern; every match is a word
  literal = 9,           // flags: behaviour and split_invert; text: the literal
};

// What becomes of a match. As stored in the low bits of flags.
enum class Behaviour : uint32_t { removed = 0, isolated, contiguous, merged_with_previous, merged_with_next, count };
constexpr uint32_t split_behaviour_mask = 7;
constexpr uint32_t split_invert = 8;  // what lies between the matches counts as the match

enum MetaspaceFlag : uint32_t {
  metaspace_prepend_always = 1,
  metaspace_prepend_first = 2,  // only where the word begins the original text
  metaspace_split = 4,
};

constexpr uint32_t kMaxPreTokenizerSteps = 8;

struct PreTokenizerStep {
  PreTokenizerKind kind;
  uint32_t flags;
  uint32_t value;
  std::string_view text;
  uint32_t rewrite;  // of a step that rewrites: its buffer in the scratch
};

// Takes the words.
struct WordTarget {
  const KindRow& row;
  const TokenizerModel& model;
  EncodeScratch& scratch;
  TokenSink& sink;
};

class PreTokenizer {
 public:
  // Reads `count` steps. The section's bytes outlive the PreTokenizer.
  Status read(Cursor& cursor, uint32_t count) noexcept;

  // Gives the words of view.text[begin, end) to the model in order. False when out of memory.
  bool run(const TextView& view, size_t begin, size_t end, const WordTarget& to) const noexcept {
    return run_step(0, view, begin, end, to);
  }

 private:
  bool run_step(size_t step, const TextView& view, size_t begin, size_t end, const WordTarget& to) const noexcept;
  bool metaspace(size_t step, const TextView& view, size_t begin, size_t end, const WordTarget& to) const noexcept;
  bool prefix_space(size_t step, const TextView& view, size_t begin, size_t end, const WordTarget& to) const noexcept;

  Array<PreTokenizerStep> steps_;
};

}  // namespace onepass
