// Added tokens: contents that become one id wherever they stand in a text, before the model sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/cursor.h"
#include "engine/core/result.h"
#include "engine/text/encode_scratch.h"
#include "engine/text/pieces.h"
#include "engine/text/unicode.h"

namespace onepass {

constexpr uint32_t kMaxAddedTokens = 1u << 16;
// Of all contents together; the automaton takes about 20 times that.
constexpr size_t kMaxAddedBytes = size_t{1} << 20;

// As stored in a model file.
enum AddedTokenFlag : uint32_t {
  added_single_word = 1 << 0,  // only where no word character touches it
  added_lstrip = 1 << 1,       // takes the white space before it
  added_rstrip = 1 << 2,       // takes the white space after it
  added_normalized = 1 << 3,   // its normalised content is sought in the normalised text
  added_special = 1 << 4,      // no part of a text's meaning; kept for who turns ids back into text
  added_all_flags = (1 << 5) - 1,
};

struct AddedToken {
  std::string_view content;
  uint32_t id;
  uint32_t flags;
};

// Finds the longest of a set of patterns at every position of a text: one right-to-left pass of an Aho-Corasick
// automaton over the reversed patterns, so that no text makes it look at a byte more than twice on average.
class PatternMatcher {
 public:
  // Of equal patterns the first counts. No pattern is empty. False when out of memory.
  bool build(std::span<const std::string_view> patterns) noexcept;
  bool empty() const noexcept { return begin_.empty(); }
  // matches = every position at which a pattern begins, from right to left. False when out of memory.
  bool find(std::string_view text, Array<AddedMatch>& matches) const noexcept;
  size_t length(uint32_t pattern) const noexcept { return lengths_[pattern]; }  // bytes

 private:
  uint32_t child(uint32_t node, uint8_t byte) const noexcept;

  // Nodes in breadth-first order, so that the children of a node are [begin_[node], begin_[node + 1]), by byte.
  Array<uint32_t> begin_;
  Array<uint8_t> byte_;    // on the edge to a node
  Array<uint32_t> fail_;   // node of the longest proper suffix
  Array<uint32_t> match_;  // the longest pattern that ends a path to the node (reversed: begins there), + 1, or 0
  Array<uint32_t> lengths_;
  uint32_t root_[256] = {};  // children of node 0, or 0
};

class AddedTokens {
 public:
  // Reads `count` records, each an id and flags; the contents are the pieces of the ids.
  Status read(Cursor& cursor, uint32_t count, const Pieces& pieces) noexcept;

  size_t size() const noexcept { return tokens_.size(); }
  std::span<const AddedToken> tokens() const noexcept { return tokens_.span(); }

  // Builds the two matchers. `normalized` has the normalised content of every token with added_normalized, at the
  // token's index; where those are equal, the first token counts (the library picks one at random, anew in every run).
  Status index(std::span<const std::string_view> normalized) noexcept;

  // The tokens sought in the text as it is, and in the normalised text: a matcher with the token of each pattern.
  struct Set {
    PatternMatcher matcher;
    Array<uint32_t> tokens;
  };
  const Set& plain() const noexcept { return sets_[0]; }
  const Set& normalized() const noexcept { return sets_[1]; }

  // Cuts `text` (valid UTF-8) at the tokens of `set`, in order: on_text(begin, end) for what lies between, and
  // on_token(token, begin, end). Both return false to stop, which makes the result false, as lack of memory does.
  // Follows AddedVocabulary::find_matches of the library; like there, white space that rstrip took may be taken again.
  template <class OnText, class OnToken>
  bool split(const Set& set, std::string_view text, Array<AddedMatch>& matches, OnText on_text,
             OnToken on_token) const noexcept;

 private:
  Array<AddedToken> tokens_;
  Set sets_[2];
};

template <class OnText, class OnToken>
bool AddedTokens::split(const Set& set, std::string_view text, Array<AddedMatch>& matches, OnText on_text,
                        OnToken on_token) const noexcept {
  const auto flags_at = [&](size_t pos) { return char_info(decode_valid(text.data() + pos).code_point).flags; };
  if (!set.matcher.find(text, matches)) return false;
  size_t done = 0;        // on_text and on_token have had text[0, done)
  size_t search = 0;      // the next match begins here or later
  size_t spaces_end = 0;  // of the white space that rstrip last walked over
  for (size_t i = matches.size(); i-- > 0;) {
    size_t begin = matches[i].begin;
    if (begin < search) continue;
    const AddedToken& token = tokens_[set.tokens[matches[i].pattern]];
    size_t end = begin + set.matcher.length(matches[i].pattern);
    search = end;
    if ((token.flags & added_single_word) != 0) {
      if (begin != 0 && (flags_at(previous_char(text, begin)) & char_word) != 0) continue;
      if (end != text.size() && (flags_at(end) & char_word) != 0) continue;
    }
    if ((token.flags & added_lstrip) != 0) {
      while (begin > done) {
        const size_t previous = previous_char(text, begin);
        if (previous < done || (flags_at(previous) & char_space) == 0) break;
        begin = previous;
      }
      if (begin < done) begin = done;
    }
    if ((token.flags & added_rstrip) != 0) {
      if (end < spaces_end) end = spaces_end;
      while (end < text.size() && (flags_at(end) & char_space) != 0) end += decode_valid(text.data() + end).length;
      spaces_end = end;
    }
    if (done < begin && !on_text(done, begin)) return false;
    if (!on_token(token, begin, end)) return false;
    done = end;
  }
  return done >= text.size() || on_text(done, text.size());
}

}  // namespace onepass
