#include "engine/text/charsmap.h"

#include <cstring>

#include "engine/text/grapheme.h"
#include "engine/text/little_endian.h"
#include "engine/text/normalizer_rows.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

constexpr std::string_view kWhere = "tokenizer";
constexpr size_t kMaxCluster = 6;  // bytes; a cluster of as many is taken apart

constexpr uint32_t label_of(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
constexpr bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
constexpr uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }
constexpr uint32_t value_of(uint32_t unit) { return unit & ~(1u << 31); }

bool starts_char(char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }

// Writes the output characters and, one step behind, their alignment. `place` is how far the library has walked in
// the text by its own count: a character kept or replaced takes the next one, and one that is inserted is aligned with
// the one before. Removed characters are added to what the last character takes, which makes an inserted character one
// that replaces; before the first character, they are not counted at all.
class AlignedWriter {
 public:
  AlignedWriter(std::string_view text, DerivedText& out) noexcept : text_(text), writer_(out) {}

  // The place of the library is that of the reader.
  bool in_step(size_t pos) const noexcept { return place_ == pos; }

  bool copy(size_t begin, size_t end) noexcept {
    any_ = true;
    if (!settle() || !writer_.copy(text_.substr(begin, end - begin), place_)) return false;
    place_ += end - begin;
    return true;
  }
  // Unchanged, but the library is behind.
  bool copy_behind(size_t begin, size_t end) noexcept { return replace(text_.substr(begin, end - begin), 1); }
  bool replace(std::string_view by, size_t old_chars) noexcept {
    size_t taken = 0;
    for (size_t pos = 0; pos < by.size();) {
      size_t next = pos + 1;
      while (next < by.size() && !starts_char(by[next])) ++next;
      if (!settle()) return false;
      any_ = true;
      if (taken < old_chars) {
        if (!writer_.put_all(by.substr(pos, next - pos), place_)) return false;
        take(1);
        ++taken;
      } else {
        inserted_ = by.substr(pos, next - pos);
      }
      pos = next;
    }
    if (taken < old_chars && any_) {
      if (!inserted_.empty()) {
        const std::string_view last = inserted_;
        inserted_ = {};
        if (!writer_.put_all(last, place_)) return false;
      }
      take(old_chars - taken);
    }
    return true;
  }
  bool finish() noexcept { return settle() && writer_.finish(); }

 private:
  bool settle() noexcept {
    if (inserted_.empty()) return true;
    const std::string_view last = inserted_;
    inserted_ = {};
    return writer_.put_all(last, previous_char(text_, place_));
  }
  void take(size_t chars) noexcept {
    for (; chars != 0; --chars) {
      do {
        ++place_;
      } while (place_ < text_.size() && !starts_char(text_[place_]));
    }
  }

  std::string_view text_;
  TextWriter writer_;
  std::string_view inserted_;  // a character inserted last, whose alignment is still open; a part of a replacement
  size_t place_ = 0;
  bool any_ = false;
};

}  // namespace

Charsmap::Charsmap(std::string_view blob) noexcept
    : units_(reinterpret_cast<const uint8_t*>(blob.data()) + 4), count_(load_u32(units_ - 4) / 4) {
  replacements_ = blob.substr(4 + size_t{4} * count_);
  root_ = offset_of(unit(0));
}

uint32_t Charsmap::unit(uint32_t at) const noexcept { return load_u32(units_ + size_t{4} * at); }

Status Charsmap::check(std::string_view blob, uint64_t offset) noexcept {
  const size_t size = blob.size() < 4 ? 0 : load_u32(reinterpret_cast<const uint8_t*>(blob.data()));
  if (blob.size() < 4 || size > blob.size() - 4) {
    return make_error(Code::truncated, offset, kWhere, "a character map of %zu bytes ends in its trie", blob.size());
  }
  if (size == 0 || size % 4 != 0) {
    return make_error(Code::bad_value, offset, kWhere, "a character map with a trie of %zu bytes", size);
  }
  const Charsmap map(blob);
  const std::string_view replacements = map.replacements_;
  const uint64_t pool = offset + 4 + size;
  if (!is_valid_utf8(replacements)) {
    return make_error(Code::bad_utf8, pool, kWhere, "the replacements of the character map are not valid UTF-8");
  }
  for (size_t begin = 0; begin < replacements.size();) {
    size_t end = replacements.find('\0', begin);
    if (end == std::string_view::npos) end = replacements.size();
    if (end - begin > kMaxCharsmapReplacement) {
      return make_error(Code::limit_exceeded, pool + begin, kWhere,
                        "a replacement of %zu bytes in the character map; the limit is %zu", end - begin,
                        kMaxCharsmapReplacement);
    }
    begin = end + 1;
  }
  for (uint32_t at = 0; at < map.count_; ++at) {
    const uint32_t unit = map.unit(at);
    if ((unit >> 31) != 0 || !has_leaf(unit)) continue;
    const uint32_t leaf = at ^ offset_of(unit);
    const size_t value = leaf < map.count_ ? value_of(map.unit(leaf)) : SIZE_MAX;
    if (value > replacements.size() || (value < replacements.size() && !starts_char(replacements[value]))) {
      return make_error(Code::bad_value, offset + 4 + uint64_t{4} * at, kWhere,
                        "unit %u of the character map has no replacement", at);
    }
  }
  return {};
}

bool Charsmap::find(const char* text, size_t size, std::string_view* replacement) const noexcept {
  uint32_t at = root_;
  for (size_t i = 0; i < size; ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    at ^= c;
    if (c == 0 || at >= count_) return false;
    const uint32_t here = unit(at);
    if (label_of(here) != c) return false;
    at ^= offset_of(here);
    if (has_leaf(here)) {
      const size_t begin = value_of(unit(at));
      *replacement = replacements_.substr(begin, replacements_.find('\0', begin) - begin);
      return true;
    }
  }
  return false;
}

bool Charsmap::normalize(std::string_view text, DerivedText& out, bool* changed) const noexcept {
  AlignedWriter writer(text, out);
  *changed = false;
  GraphemeBreaker breaker;
  size_t kept = 0;  // text[kept, pos) is to be copied as it is
  const auto copy_kept = [&](size_t end) noexcept {
    if (kept == end) return true;
    if (writer.in_step(kept)) return writer.copy(kept, end);
    for (size_t next; kept < end; kept = next) {
      next = kept + decode_valid(text.data() + kept).length;
      if (!writer.copy_behind(kept, next)) return false;
    }
    return true;
  };
  // False when out of memory. `chars` counts those of text[begin, end).
  const auto map = [&](size_t begin, size_t end, size_t chars, bool* found) noexcept {
    std::string_view replacement;
    *found = find(text.data() + begin, end - begin, &replacement);
    if (!*found) return true;
    *changed = true;
    if (!copy_kept(begin) || !writer.replace(replacement, chars)) return false;
    kept = end;
    return true;
  };
  for (size_t pos = 0; pos < text.size();) {
    const auto is_ascii = [&](size_t at) { return static_cast<uint8_t>(text[at]) < 0x80; };
    bool found = false;
    if (is_ascii(pos) && (pos + 1 == text.size() || (is_ascii(pos + 1) && text[pos] != '\r'))) {
      if (!map(pos, pos + 1, 1, &found)) return false;
      ++pos;
      continue;
    }
    const ValidChar first = decode_valid(text.data() + pos);
    size_t end = pos + first.length;
    size_t chars = 1;
    breaker.start(grapheme_class(first.code_point));
    while (end < text.size()) {
      const ValidChar next = decode_valid(text.data() + end);
      if (!breaker.join(grapheme_class(next.code_point))) break;
      end += next.length;
      ++chars;
    }
    if (end - pos < kMaxCluster && !map(pos, end, chars, &found)) return false;
    if (!found && chars > 1) {
      for (size_t at = pos; at < end;) {
        const size_t next = at + decode_valid(text.data() + at).length;
        if (!map(at, next, 1, &found)) return false;
        at = next;
      }
    }
    pos = end;
  }
  if (!*changed) return true;
  return copy_kept(text.size()) && writer.finish();
}

Change normalize_precompiled(const NormalizerStep& step, std::string_view text, EncodeScratch&,
                             DerivedText& out) noexcept {
  bool changed;
  if (!Charsmap(step.pattern).normalize(text, out, &changed)) return Change::no_memory;
  return changed ? Change::done : Change::none;
}

}  // namespace onepass
