// TokenSink: takes the tokens of a text in order, keeps the first ones, counts all, and finds their spans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/utf8.h"
#include "engine/text/derived_text.h"
#include "engine/text/token_span.h"
#include "engine/text/unicode.h"

namespace onepass {

// How the spans of tokens lose the white space at their ends: trim_offsets of ByteLevel and RobertaProcessing.
struct TrimRule {
  bool trim = false;
  bool keep_prefix_space = false;  // a single space before the first word stays: add_prefix_space put it there
};

class TokenSink {
 public:
  // Keeps at most `limit` tokens. `spans` may be null. `repaired` is `original` with U+FFFD for malformed sequences,
  // and has no runs where that is the same.
  TokenSink(std::string_view original, const TextView& repaired, TrimRule trim, size_t limit, Array<uint32_t>& ids,
            Array<TokenSpan>* spans) noexcept
      : original_(original),
        repaired_(repaired.text()),
        repaired_runs_(repaired.runs),
        trim_(trim),
        limit_(limit),
        ids_(ids),
        spans_(spans) {}

  // The tokens that follow are parts of the view, which stays as it is until leave_view.
  void set_view(const TextView& view) noexcept {
    if (view_ == &view) return;
    leave_view();
    view_ = &view;
    runs_ = AlignmentCursor(view.runs);
  }
  void leave_view() noexcept {
    if (pending_) bytes_used_ = span_of(last_).end;
    pending_ = false;
    view_ = nullptr;
  }

  // A token for [begin, end) of the current view. False when out of memory.
  bool add(uint32_t id, size_t begin, size_t end) noexcept { return add_token(id, begin, end, Spaces::of_text); }
  // The same for an added token, of which trimming takes all white space.
  bool add_added(uint32_t id, size_t begin, size_t end) noexcept { return add_token(id, begin, end, Spaces::of_added); }
  // The same for a piece of bytes that are not those of the range.
  bool add_shifted(uint32_t id, size_t begin, size_t end, std::string_view piece) noexcept {
    content_ = piece;
    return add_token(id, begin, end, Spaces::of_bytes);
  }

  size_t total() const noexcept { return total_; }
  bool truncated() const noexcept { return total_ > limit_; }
  // After leave_view.
  size_t bytes_used() const noexcept { return bytes_used_; }

 private:
  enum class Spaces : uint8_t { of_text, of_added, of_bytes };  // what tells the white space that trimming takes
  struct Place {
    uint32_t begin;
    uint32_t end;
    Spaces spaces;
    bool first;
  };

  bool add_token(uint32_t id, size_t begin, size_t end, Spaces spaces) noexcept {
    ++total_;
    if (total_ > limit_) return true;
    last_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end), spaces, total_ == 1};
    pending_ = true;
    return ids_.push_back(id) && (spans_ == nullptr || spans_->push_back(span_of(last_)));
  }

  // From the first byte of the first character's source to the last byte of the last one's. Tokens of bytes may begin
  // and end inside a character.
  TokenSpan span_of(const Place& at) noexcept {
    if (at.begin >= at.end) return {0, 0};
    const char* text = view_->data;
    uint32_t first_char = at.begin;
    while (first_char > 0 && (static_cast<uint8_t>(text[first_char]) & 0xC0) == 0x80) --first_char;
    const auto last_char = static_cast<uint32_t>(previous_char({text, at.end}, at.end));
    uint32_t first = runs_.source(first_char);
    const uint32_t last = runs_.source(last_char);
    if (!trim_.trim) {
      first = repaired_runs_.source(first);
      const uint32_t from = repaired_runs_.source(last);
      return {first, from + decode_utf8(original_, from).length};
    }
    return trimmed(at, first, last + decode_valid(repaired_.data() + last).length);
  }

  TokenSpan trimmed(const Place& at, uint32_t begin, uint32_t end) noexcept;

  std::string_view original_;
  std::string_view repaired_;
  AlignmentCursor repaired_runs_;
  TrimRule trim_;
  size_t limit_;
  Array<uint32_t>& ids_;
  Array<TokenSpan>* spans_;
  const TextView* view_ = nullptr;
  AlignmentCursor runs_;
  std::string_view content_;
  Place last_ = {};
  bool pending_ = false;
  size_t total_ = 0;
  size_t bytes_used_ = 0;
};

}  // namespace onepass
