// The normaliser steps that look at one character or one literal text at a time.
#include "engine/text/normalizer_rows.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

Change done(bool ok) noexcept { return ok ? Change::done : Change::no_memory; }

bool is_upper_ascii(char c) noexcept { return c >= 'A' && c <= 'Z'; }

// What Nmt makes of a character; UINT32_MAX for nothing.
uint32_t nmt_image(uint32_t c) noexcept {
  if ((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) {
    return UINT32_MAX;
  }
  const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  return space ? ' ' : c;
}

}  // namespace

Change normalize_lowercase(const NormalizerStep&, std::string_view text, EncodeScratch&, DerivedText& out) noexcept {
  size_t pos = 0;
  while (pos < text.size() && !is_upper_ascii(text[pos]) && static_cast<uint8_t>(text[pos]) < 0x80) ++pos;
  if (pos == text.size()) return Change::none;
  TextWriter writer(out);
  if (!writer.copy(part(text, 0, pos), 0)) return Change::no_memory;
  while (pos < text.size()) {
    if (static_cast<uint8_t>(text[pos]) < 0x80) {
      if (!writer.align(pos) || !writer.reserve(text.size() - pos)) return Change::no_memory;
      char* to = writer.end();
      const size_t begin = pos;
      for (; pos < text.size() && static_cast<uint8_t>(text[pos]) < 0x80; ++pos) {
        *to++ = static_cast<char>(is_upper_ascii(text[pos]) ? text[pos] + 32 : text[pos]);
      }
      writer.advance(pos - begin);
      continue;
    }
    const ValidChar c = decode_valid(text.data() + pos);
    const bool ok = c.code_point == kCapitalIWithDot
                        ? writer.put('i', pos) && writer.put(kCombiningDotAbove, pos)
                        : writer.put(c.code_point + static_cast<uint32_t>(char_info(c.code_point).lower_delta), pos);
    if (!ok) return Change::no_memory;
    pos += c.length;
  }
  return done(writer.finish());
}

Change normalize_strip_accents(const NormalizerStep&, std::string_view text, EncodeScratch&,
                               DerivedText& out) noexcept {
  TextWriter writer(out);
  size_t kept = 0;  // text[kept, pos) waits to be copied
  bool dropped = false;
  for (size_t pos = 0; pos < text.size();) {
    if (static_cast<uint8_t>(text[pos]) < 0x80) {
      ++pos;
      continue;
    }
    const ValidChar c = decode_valid(text.data() + pos);
    if ((char_info(c.code_point).flags & char_combining) != 0) {
      if (!writer.copy(part(text, kept, pos), kept)) return Change::no_memory;
      kept = pos + c.length;
      dropped = true;
    }
    pos += c.length;
  }
  if (!dropped) return Change::none;
  return done(writer.copy(part(text, kept, text.size()), kept) && writer.finish());
}

Change normalize_replace(const NormalizerStep& step, std::string_view text, EncodeScratch&, DerivedText& out) noexcept {
  size_t match = text.find(step.pattern);
  if (match == std::string_view::npos) return Change::none;
  const size_t last_char = previous_char(step.pattern, step.pattern.size());
  TextWriter writer(out);
  size_t pos = 0;
  for (; match != std::string_view::npos; match = text.find(step.pattern, pos)) {
    if (!writer.copy(part(text, pos, match), pos) || !writer.put_all(step.content, match + last_char)) {
      return Change::no_memory;
    }
    pos = match + step.pattern.size();
  }
  return done(writer.copy(part(text, pos, text.size()), pos) && writer.finish());
}

Change normalize_replace_spaces(const NormalizerStep& step, std::string_view text, EncodeScratch&,
                                DerivedText& out) noexcept {
  size_t match = text.find("  ");
  if (match == std::string_view::npos) return Change::none;
  TextWriter writer(out);
  size_t pos = 0;
  for (; match != std::string_view::npos; match = text.find("  ", pos)) {
    size_t end = match + 2;
    while (end < text.size() && text[end] == ' ') ++end;
    if (!writer.copy(part(text, pos, match), pos) || !writer.put_all(step.content, end - 1)) {
      return Change::no_memory;
    }
    pos = end;
  }
  return done(writer.copy(part(text, pos, text.size()), pos) && writer.finish());
}

Change normalize_prepend(const NormalizerStep& step, std::string_view text, EncodeScratch&, DerivedText& out) noexcept {
  if (text.empty() || step.content.empty()) return Change::none;
  TextWriter writer(out);
  return done(writer.put_all(step.content, 0) && writer.copy(text, 0) && writer.finish());
}

Change normalize_strip(const NormalizerStep& step, std::string_view text, EncodeScratch&, DerivedText& out) noexcept {
  const auto space_at = [&](size_t pos) {
    return (char_info(decode_valid(text.data() + pos).code_point).flags & char_space) != 0;
  };
  size_t begin = 0;
  size_t end = text.size();
  if ((step.flags & 1) != 0) {
    while (begin < end && space_at(begin)) begin += decode_valid(text.data() + begin).length;
  }
  if ((step.flags & 2) != 0) {
    while (end > begin && space_at(previous_char(text, end))) end = previous_char(text, end);
  }
  if (end - begin == text.size()) return Change::none;
  TextWriter writer(out);
  return done(writer.copy(part(text, begin, end), begin) && writer.finish());
}

Change normalize_nmt(const NormalizerStep&, std::string_view text, EncodeScratch&, DerivedText& out) noexcept {
  TextWriter writer(out);
  for (size_t pos = 0; pos < text.size();) {
    const ValidChar c = decode_valid(text.data() + pos);
    const uint32_t image = nmt_image(c.code_point);
    if (image != UINT32_MAX && !writer.put(image, pos)) return Change::no_memory;
    pos += c.length;
  }
  return done(writer.finish());
}

}  // namespace onepass
