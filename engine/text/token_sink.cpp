#include "engine/text/token_sink.h"

namespace onepass {

namespace {

// The library writes a space as U+0120 in the tokens of bytes, and counts that character as white space.
constexpr uint32_t kByteLevelSpace = 0x120;

bool is_space(uint32_t c) noexcept { return c == kByteLevelSpace || (char_info(c).flags & char_space) != 0; }

}  // namespace

// Follows process_offsets of the library: characters of white space that the token has are taken from the span,
// whatever the text has there.
TokenSpan TokenSink::trimmed(const Place& at, uint32_t begin, uint32_t end) noexcept {
  size_t leading = 0;
  size_t trailing = 0;
  if (at.spaces == Spaces::of_added) {
    const std::string_view text(view_->data + at.begin, at.end - at.begin);
    for (size_t pos = 0; pos < text.size(); ++leading) {
      const ValidChar c = decode_valid(text.data() + pos);
      if (!is_space(c.code_point)) break;
      pos += c.length;
    }
    for (size_t pos = text.size(); pos > 0; ++trailing) {
      const size_t previous = previous_char(text, pos);
      if (!is_space(decode_valid(text.data() + previous).code_point)) break;
      pos = previous;
    }
  } else {
    const std::string_view text =
        at.spaces == Spaces::of_bytes ? content_ : std::string_view(view_->data + at.begin, at.end - at.begin);
    while (leading < text.size() && text[leading] == ' ') ++leading;
    while (trailing < text.size() && text[text.size() - 1 - trailing] == ' ') ++trailing;
  }
  if (trim_.keep_prefix_space && leading == 1 && (at.first || begin == 0)) leading = 0;
  for (; leading > 0 && begin < end; --leading) begin += decode_valid(repaired_.data() + begin).length;
  if (trailing > 0) {
    uint32_t to = end;
    for (; trailing > 0 && to > 0; --trailing) to = static_cast<uint32_t>(previous_char(repaired_, to));
    if (trailing == 0) end = to > begin ? to : begin;
  }
  // The places in the original: a character of the repaired text is one character or one malformed sequence there.
  const uint32_t from =
      begin < repaired_.size() ? repaired_runs_.source(begin) : static_cast<uint32_t>(original_.size());
  if (end == begin) return {from, from};
  const uint32_t last = repaired_runs_.source(static_cast<uint32_t>(previous_char(repaired_, end)));
  return {from, last + decode_utf8(original_, last).length};
}

}  // namespace onepass
