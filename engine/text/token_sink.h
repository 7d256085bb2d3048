// TokenSink: takes the tokens of a text in order, keeps the first ones, counts all, and finds their spans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/core/array.h"
#include "engine/core/utf8.h"
#include "engine/text/encode_scratch.h"
#include "engine/text/token_span.h"
#include "engine/text/unicode.h"

namespace onepass {

// Positions of a derived text in its source. Without runs the two are the same text.
class AlignmentCursor {
 public:
  AlignmentCursor() noexcept = default;
  explicit AlignmentCursor(std::span<const AlignmentRun> runs) noexcept : runs_(runs) {}

  // `at` is the start of a character. Quick when `at` rises little from call to call.
  uint32_t source(uint32_t at) noexcept {
    if (runs_.empty()) return at;
    if (at < runs_[run_].at || after(run_, at)) seek(at);
    return runs_[run_].source + (at - runs_[run_].at);
  }

 private:
  bool after(size_t run, uint32_t at) const noexcept { return run + 1 < runs_.size() && runs_[run + 1].at <= at; }
  void seek(uint32_t at) noexcept {
    for (int steps = 0; steps < 8 && at >= runs_[run_].at; ++steps) {
      if (!after(run_, at)) return;
      ++run_;
    }
    size_t low = 0;
    size_t high = runs_.size();
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (runs_[middle].at <= at ? low : high) = middle;
    }
    run_ = low;
  }

  std::span<const AlignmentRun> runs_;
  size_t run_ = 0;
};

class TokenSink {
 public:
  // Keeps at most `limit` tokens. `spans` may be null. `repaired` has no runs where `original` is valid UTF-8.
  TokenSink(std::string_view original, std::span<const AlignmentRun> repaired, size_t limit, Array<uint32_t>& ids,
            Array<TokenSpan>* spans) noexcept
      : original_(original), repaired_(repaired), limit_(limit), ids_(ids), spans_(spans) {}

  // The tokens that follow are parts of `text`, aligned to the repaired text by `runs` (none: it is that text).
  void set_text(const char* text, std::span<const AlignmentRun> runs) noexcept {
    finish_text();
    text_ = text;
    runs_ = AlignmentCursor(runs);
  }
  void finish_text() noexcept {
    if (pending_) bytes_used_ = span_of(last_.begin, last_.end).end;
    pending_ = false;
  }

  // A token for text[begin, end) of the current text. False when out of memory.
  bool add(uint32_t id, size_t begin, size_t end) noexcept {
    ++total_;
    if (total_ > limit_) return true;
    last_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    pending_ = true;
    return ids_.push_back(id) && (spans_ == nullptr || spans_->push_back(span_of(last_.begin, last_.end)));
  }

  size_t total() const noexcept { return total_; }
  bool truncated() const noexcept { return total_ > limit_; }
  // After finish_text.
  size_t bytes_used() const noexcept { return bytes_used_; }

 private:
  uint32_t source(uint32_t at) noexcept { return repaired_.source(runs_.source(at)); }

  // From the first byte of the first character's source to the last byte of the last one's.
  TokenSpan span_of(uint32_t begin, uint32_t end) noexcept {
    if (begin >= end) return {0, 0};
    const uint32_t first = source(begin);
    const auto last_char = static_cast<uint32_t>(previous_char({text_, end}, end));
    const uint32_t last = source(last_char);
    return {first, last + decode_utf8(original_, last).length};
  }

  std::string_view original_;
  AlignmentCursor repaired_;
  size_t limit_;
  Array<uint32_t>& ids_;
  Array<TokenSpan>* spans_;
  const char* text_ = nullptr;
  AlignmentCursor runs_;
  TokenSpan last_ = {};
  bool pending_ = false;
  size_t total_ = 0;
  size_t bytes_used_ = 0;
};

}  // namespace onepass
