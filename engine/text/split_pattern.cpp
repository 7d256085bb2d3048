#include "engine/text/split_pattern.h"

#include "engine/text/unicode.h"

namespace onepass {

namespace {

constexpr const char* kExpressions[] = {
    nullptr,
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

constexpr uint32_t kSpaceLetterNumber = char_space | char_letter | char_number;

struct AsciiFlags {
  uint16_t of[128];
};
constexpr AsciiFlags make_ascii_flags() {
  AsciiFlags map{};
  for (unsigned c = 0; c < 128; ++c) {
    unsigned flags = 0;
    if (c == 0x20 || (c >= 0x09 && c <= 0x0D)) flags = char_space;
    if (c >= '0' && c <= '9') flags = char_number;
    if (c >= 'A' && c <= 'Z') flags = uint32_t{char_letter} | char_upper;
    if (c >= 'a' && c <= 'z') flags = uint32_t{char_letter} | char_lower;
    map.of[c] = static_cast<uint16_t>(flags);
  }
  return map;
}
constexpr AsciiFlags kAscii = make_ascii_flags();

struct Scanner {
  const char* text;
  size_t end;

  uint32_t flags(size_t pos, size_t* next) const noexcept {
    const auto byte = static_cast<uint8_t>(text[pos]);
    if (byte < 0x80) {
      *next = pos + 1;
      return kAscii.of[byte];
    }
    const ValidChar c = decode_valid(text + pos);
    *next = pos + c.length;
    return char_info(c.code_point).flags;
  }
  // The end of the run of characters from `pos` on that have one of `any`.
  size_t run(size_t pos, uint32_t any) const noexcept {
    for (size_t next; pos < end; pos = next) {
      if ((flags(pos, &next) & any) == 0) break;
    }
    return pos;
  }
  size_t run_of_rest(size_t pos) const noexcept {  // [^\s\p{L}\p{N}]*
    for (size_t next; pos < end; pos = next) {
      if ((flags(pos, &next) & kSpaceLetterNumber) != 0) break;
    }
    return pos;
  }
  bool newline(size_t pos) const noexcept { return text[pos] == '\r' || text[pos] == '\n'; }

  // 's|'t|'re|'ve|'m|'ll|'d from the apostrophe at `pos` on, or `pos`.
  size_t contraction(size_t pos, bool any_case) const noexcept {
    if (pos + 1 >= end || text[pos] != '\'') return pos;
    const auto letter = [&](size_t at) {
      const char c = at < end ? text[at] : '\0';
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = letter(pos + 1);
    const char second = letter(pos + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return pos + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return pos + 3;
    if (first == 'l' && second == 'l') return pos + 3;
    // U+017F folds to s.
    if (any_case && pos + 2 < end && first == '\xC5' && text[pos + 2] == '\xBF') return pos + 3;
    return pos;
  }

  // \s+(?!\S)|\s+ where text[begin, run_end) is a run of white space.
  size_t spaces(size_t begin, size_t run_end) const noexcept {
    if (run_end == end) return run_end;
    const size_t last = previous_char({text, run_end}, run_end);
    return last == begin ? run_end : last;
  }
  // \s*[\r\n]+|\s+(?!\S)|\s+
  size_t spaces_and_lines(size_t begin) const noexcept {
    const size_t run_end = run(begin, char_space);
    for (size_t pos = run_end; pos > begin; --pos) {
      if (newline(pos - 1)) return pos;
    }
    return spaces(begin, run_end);
  }

  size_t gpt2(size_t begin) const noexcept {
    size_t next;
    const size_t short_form = contraction(begin, false);
    if (short_form != begin) return short_form;
    size_t word = begin;
    if (text[begin] == ' ' && begin + 1 < end) word = begin + 1;
    const uint32_t kind = flags(word, &next);
    if ((kind & char_space) == 0) {
      if ((kind & char_letter) != 0) return run(next, char_letter);
      if ((kind & char_number) != 0) return run(next, char_number);
      return run_of_rest(next);
    }
    return spaces(begin, run(begin, char_space));
  }

  //  ?[^\s\p{L}\p{N}]+[\r\n]* (with `slash`, [\r\n/]*), or `begin`.
  size_t rest_and_lines(size_t begin, bool slash) const noexcept {
    size_t next;
    size_t word = begin;
    if (text[begin] == ' ' && begin + 1 < end) word = begin + 1;
    if ((flags(word, &next) & kSpaceLetterNumber) != 0) return begin;
    size_t pos = run_of_rest(next);
    while (pos < end && (newline(pos) || (slash && text[pos] == '/'))) ++pos;
    return pos;
  }

  size_t numbers(size_t begin, int most) const noexcept {
    size_t pos = begin;
    for (size_t next; most > 0 && pos < end; --most, pos = next) {
      if ((flags(pos, &next) & char_number) == 0) break;
    }
    return pos;
  }

  size_t llama(size_t begin, int digits) const noexcept {
    size_t next;
    const uint32_t kind = flags(begin, &next);
    if ((kind & char_letter) != 0) return run(next, char_letter);
    if ((kind & char_number) != 0) return numbers(begin, digits);
    const size_t short_form = contraction(begin, true);
    if (short_form != begin) return short_form;
    if (!newline(begin) && next < end) {
      size_t after;
      if ((flags(next, &after) & char_letter) != 0) return run(after, char_letter);
    }
    const size_t rest = rest_and_lines(begin, false);
    return rest != begin ? rest : spaces_and_lines(begin);
  }

  // upper*lower+ from `begin` on, with upper = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], lower = [\p{Ll}\p{Lm}\p{Lo}\p{M}];
  // `begin` where it does not match. upper* gives back until lower+ has its first character.
  size_t upper_then_lower(size_t begin) const noexcept {
    size_t pos = begin;
    size_t both_end = begin;  // end of the last character of the run that is upper and lower
    for (size_t next; pos < end; pos = next) {
      const uint32_t kind = flags(pos, &next);
      if ((kind & char_upper) == 0) break;
      if ((kind & char_lower) != 0) both_end = next;
    }
    const size_t lower_end = run(pos, char_lower);
    return lower_end != pos ? lower_end : both_end;
  }
  // upper+lower*, or `begin`.
  size_t upper_and_lower(size_t begin) const noexcept {
    const size_t upper_end = run(begin, char_upper);
    return upper_end == begin ? begin : run(upper_end, char_lower);
  }

  size_t cased(size_t begin, int digits, bool contractions) const noexcept {
    size_t next;
    const uint32_t kind = flags(begin, &next);
    if ((kind & char_number) == 0) {
      const bool prefix = (kind & char_letter) == 0 && !newline(begin);
      for (const bool second : {false, true}) {
        const auto match = [&](size_t from) {
          const size_t to = second ? upper_and_lower(from) : upper_then_lower(from);
          return to != from && contractions ? contraction(to, true) : to;
        };
        if (prefix && next < end) {
          const size_t to = match(next);
          if (to != next) return to;
        }
        if ((kind & (uint32_t{char_upper} | char_lower)) != 0) {
          const size_t to = match(begin);
          if (to != begin) return to;
        }
      }
    } else {
      return numbers(begin, digits);
    }
    const size_t rest = rest_and_lines(begin, true);
    return rest != begin ? rest : spaces_and_lines(begin);
  }
};

}  // namespace

const char* expression_of(SplitPattern pattern) noexcept { return kExpressions[static_cast<uint32_t>(pattern)]; }

size_t match_end(SplitPattern pattern, const char* text, size_t begin, size_t end) noexcept {
  const Scanner scanner{text, end};
  switch (pattern) {
    case SplitPattern::gpt2:
      return scanner.gpt2(begin);
    case SplitPattern::llama3:
      return scanner.llama(begin, 3);
    case SplitPattern::qwen2:
      return scanner.llama(begin, 1);
    case SplitPattern::o200k:
      return scanner.cased(begin, 3, true);
    case SplitPattern::tekken:
      return scanner.cased(begin, 1, false);
  }
  return end;
}

}  // namespace onepass
