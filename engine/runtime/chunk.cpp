#include "engine/runtime/chunk.h"

#include <algorithm>

namespace onepass {

namespace {

unsigned byte_at(std::string_view text, size_t at) noexcept {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

bool is_continuation(std::string_view text, size_t at) noexcept { return (byte_at(text, at) & 0xC0) == 0x80; }

// The beginning of the character that holds byte `at`; `at` itself where the bytes are no UTF-8.
size_t character_begin(std::string_view text, size_t at) noexcept {
  size_t begin = at;
  while (begin != 0 && at - begin < 3 && is_continuation(text, begin)) --begin;
  return is_continuation(text, begin) ? at : begin;
}

size_t next_character(std::string_view text, size_t at) noexcept {
  size_t end = at + 1;
  while (end < text.size() && end - at < 4 && is_continuation(text, end)) ++end;
  return end;
}

// A character of up to three bytes, its bytes as a number; 0 beyond the end.
unsigned character_at(std::string_view text, size_t at) noexcept {
  if (at >= text.size()) return 0;
  unsigned code = 0;
  for (size_t i = at, end = next_character(text, at); i < end; ++i) code = code << 8 | byte_at(text, i);
  return code;
}

// U+0009..000D, U+0020, U+00A0, U+3000, U+2028, U+2029.
bool is_space(unsigned c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0xC2A0 || c == 0xE38080 || c == 0xE280A8 || c == 0xE280A9;
}

bool space_at(std::string_view text, size_t at) noexcept { return is_space(character_at(text, at)); }
// Requires at != 0.
bool space_before(std::string_view text, size_t at) noexcept { return space_at(text, character_begin(text, at - 1)); }

// Terminators that need no space behind them: U+3002, U+FF01, U+FF1F.
bool is_wide_stop(unsigned c) noexcept { return c == 0xE38082 || c == 0xEFBC81 || c == 0xEFBC9F; }

// . ! ? and U+2026.
bool is_stop(unsigned c) noexcept { return c == '.' || c == '!' || c == '?' || c == 0xE280A6 || is_wide_stop(c); }

// ) ] } " ' and U+2019, U+201D, U+00BB, U+300D.
bool is_closing(unsigned c) noexcept {
  return c == ')' || c == ']' || c == '}' || c == '"' || c == '\'' || c == 0xE28099 || c == 0xE2809D || c == 0xC2BB ||
         c == 0xE3808D;
}

// A word or more ends at `at`. Requires at != 0.
bool word_ends(std::string_view text, size_t at) noexcept {
  if (at == text.size()) return true;
  return space_at(text, at) && !space_before(text, at);
}

// Requires at != 0.
bool sentence_ends(std::string_view text, size_t at) noexcept {
  size_t last = character_begin(text, at - 1);
  // A run of closing marks is looked at as far as one is ever written, which bounds the time of hostile texts.
  for (int i = 0; i < 8 && last != 0 && is_closing(character_at(text, last)); ++i)
    last = character_begin(text, last - 1);
  const unsigned c = character_at(text, last);
  if (is_wide_stop(c)) return !is_closing(character_at(text, at)) && !is_stop(character_at(text, at));
  if (!word_ends(text, at)) return false;
  return is_stop(c) || (byte_at(text, at) == '\n' && byte_at(text, at + 1) == '\n');
}

size_t skip_spaces(std::string_view text, size_t at) noexcept {
  while (at < text.size() && space_at(text, at)) at = next_character(text, at);
  return at;
}

}  // namespace

size_t chunk_end(std::string_view text, size_t begin, size_t limit) noexcept {
  const size_t middle = begin + (limit - begin) / 2;
  for (size_t at = limit; at > middle; --at) {
    if (!is_continuation(text, at) && sentence_ends(text, at)) return at;
  }
  for (size_t at = limit; at > begin; --at) {
    if (!is_continuation(text, at) && word_ends(text, at) && !space_before(text, at)) return at;
  }
  const size_t whole = limit == text.size() ? limit : character_begin(text, limit);
  return whole > begin ? whole : next_character(text, begin);
}

size_t chunk_begin(std::string_view text, size_t from, size_t end) noexcept {
  const size_t middle = from + (end - from + 1) / 2;
  size_t word = end;
  for (size_t at = from; at < end && (at < middle || word == end); ++at) {
    if (at == 0 || is_continuation(text, at) || space_at(text, at)) continue;
    const bool after_space = space_before(text, at);
    if (after_space) word = std::min(word, at);
    if (at >= middle) continue;
    size_t before = at;
    while (before > from && space_before(text, before)) before = character_begin(text, before - 1);
    if (before != 0 && (after_space || before == at) && sentence_ends(text, before)) return at;
  }
  return word < end ? word : skip_spaces(text, end);
}

Status Chunker::next(EncodeScratch& scratch, Array<TokenSpan>& spans, Array<uint32_t>& ids, Chunk& chunk) noexcept {
  const size_t before = ids.size();
  EncodeStats stats;
  const auto encode = [&](size_t bytes) noexcept -> Status {
    spans.clear();
    if (!ids.resize(before))
      return make_error(Code::out_of_memory, Error::no_offset, "text", "no memory for its tokens");
    return tokenizer_->encode({text_.data() + begin_, bytes}, {.max_tokens = options_.max_tokens}, scratch, ids, &spans,
                              &stats);
  };
  // As much of the text as the chunk may need and not all of it, which would take quadratic time.
  size_t window = std::min(text_.size() - begin_, std::max<size_t>(256, 8 * options_.max_tokens));
  for (;; window = std::min(text_.size() - begin_, 2 * window)) {
    ONEPASS_TRY(encode(window));
    if (stats.truncated || window == text_.size() - begin_) break;
  }
  size_t end = begin_ + window;
  // Fewer bytes may have more tokens, though hardly ever: a word that is cut is another word.
  for (int tries = 0; stats.truncated && tries < 8; ++tries) {
    end = chunk_end(text_, begin_, begin_ + std::clamp<size_t>(stats.bytes_used, 1, end - begin_));
    ONEPASS_TRY(encode(end - begin_));
  }
  chunk = {begin_, end, static_cast<uint32_t>(ids.size() - before), 0};
  size_t shared = 0, from = end;
  for (size_t t = spans.size(); t-- > 0;) {
    if (spans[t].end == 0) continue;  // of the template
    const size_t at = begin_ + spans[t].begin;
    chunk.new_tokens += at >= read_;
    if (shared < options_.overlap) {
      ++shared;
      from = at;
    }
  }
  read_ = end;
  if (skip_spaces(text_, end) == text_.size()) {
    done_ = true;
    return {};
  }
  // A chunk begins at least half a chunk behind the one before, so that the whole takes linear time.
  const size_t next = chunk_begin(text_, std::max(from, begin_ + (end - begin_ + 1) / 2), end);
  begin_ = next > begin_ ? next : end;
  return {};
}

}  // namespace onepass
