// Splitter: what becomes of the matches and the rest of a text that is cut by a pattern, as SplitDelimiterBehavior of
// the tokenizers library.
#pragma once

#include <cstddef>

#include "engine/text/pre_tokenizer.h"

namespace onepass {

// Takes parts that cover a text in order, each a match or not, and gives words: on_word(begin, end), which returns
// false to stop. Parts are not empty.
template <class OnWord>
class Splitter {
 public:
  Splitter(Behaviour behaviour, OnWord on_word) : behaviour_(behaviour), on_word_(on_word) {}

  bool add(size_t begin, size_t end, bool match) {
    switch (behaviour_) {
      case Behaviour::removed:
        return match || on_word_(begin, end);
      case Behaviour::isolated:
        return on_word_(begin, end);
      case Behaviour::contiguous:
        if (pending_ && match == previous_match_) {
          end_ = end;
          return true;
        }
        return hold(begin, end, match);
      case Behaviour::merged_with_previous:
        if (pending_ && match && !previous_match_) {
          end_ = end;
          previous_match_ = true;
          return true;
        }
        return hold(begin, end, match);
      case Behaviour::merged_with_next:
      default:
        if (!match && pending_ && previous_match_) begin = take();
        return match ? hold(begin, end, true) : finish() && on_word_(begin, end);
    }
  }
  bool finish() {
    if (!pending_) return true;
    pending_ = false;
    return on_word_(begin_, end_);
  }

 private:
  bool hold(size_t begin, size_t end, bool match) {
    if (!finish()) return false;
    pending_ = true;
    begin_ = begin;
    end_ = end;
    previous_match_ = match;
    return true;
  }
  size_t take() {
    pending_ = false;
    return begin_;
  }

  const Behaviour behaviour_;
  OnWord on_word_;
  bool pending_ = false;
  bool previous_match_ = false;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace onepass
