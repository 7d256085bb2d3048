#include "engine/text/bert_normalizer.h"

#include <cstring>

#include "engine/core/utf8.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

// What ASCII text needs, by byte: the byte it becomes, or kSlow for everything that is not one kept ASCII byte.
constexpr uint8_t kSlow = 0x80;

struct AsciiMap {
  uint8_t to[256];
};

constexpr AsciiMap make_ascii_map(bool clean, bool lower) {
  AsciiMap map{};
  for (unsigned c = 0; c < 256; ++c) {
    unsigned to = c < 0x80 ? c : kSlow;
    if (clean && (c < 0x20 || c == 0x7F)) to = c == '\t' || c == '\n' || c == '\r' ? ' ' : kSlow;
    if (lower && c >= 'A' && c <= 'Z') to = c + 32;
    map.to[c] = static_cast<uint8_t>(to);
  }
  return map;
}

constexpr AsciiMap kAsciiMaps[2][2] = {{make_ascii_map(false, false), make_ascii_map(false, true)},
                                       {make_ascii_map(true, false), make_ascii_map(true, true)}};

// An item of PendingMarks: the character, its combining class, and whether it is the first of its source character.
// The library aligns the i-th first character of a reordered run with the run's i-th source character, and the
// others with the one before them; hence the separate list of sources.
constexpr uint32_t kClassShift = 21;
constexpr uint32_t kFirst = 1u << 29;
constexpr uint32_t kCodePointMask = (1u << kClassShift) - 1;
uint32_t class_of(uint32_t item) { return item >> kClassShift & 0xFF; }

constexpr size_t kInsertionSortLimit = 24;

class Normalizer {
 public:
  Normalizer(const BertNormalizer& options, PendingMarks& marks, DerivedText& out)
      : options_(options), marks_(marks), out_(out) {}

  bool run(std::string_view text, uint32_t origin) {
    out_.size = 0;
    out_.runs.clear();
    marks_.items.clear();
    marks_.sources.clear();
    const uint8_t* map = kAsciiMaps[options_.clean_text][options_.lowercase].to;
    size_t pos = 0;
    while (pos < text.size()) {
      if (map[static_cast<uint8_t>(text[pos])] != kSlow) {
        if (!flush_marks() || !align(origin + static_cast<uint32_t>(pos)) || !reserve(text.size() - pos)) return false;
        char* to = out_.bytes.data() + out_.size;
        const size_t begin = pos;
        while (pos < text.size()) {
          const uint8_t c = map[static_cast<uint8_t>(text[pos])];
          if (c == kSlow) break;
          *to++ = static_cast<char>(c);
          ++pos;
        }
        out_.size += pos - begin;
        continue;
      }
      const ValidChar c = decode_valid(text.data() + pos);
      if (!add(c.code_point, origin + static_cast<uint32_t>(pos))) return false;
      pos += c.length;
    }
    if (!flush_marks() || !reserve(0)) return false;
    std::memset(out_.bytes.data() + out_.size, 0, kTextPadding);
    return true;
  }

 private:
  // Room for `bytes` more and the padding.
  bool reserve(size_t bytes) {
    const size_t need = out_.size + bytes + kTextPadding;
    return need <= out_.bytes.size() || out_.bytes.resize_uninitialized(need + need / 2);
  }

  bool align(uint32_t source) {
    const auto at = static_cast<uint32_t>(out_.size);
    if (!out_.runs.empty()) {
      const AlignmentRun& last = out_.runs[out_.runs.size() - 1];
      if (source - last.source == at - last.at) return true;
    }
    return out_.runs.push_back({at, source});
  }

  bool put(uint32_t code_point, uint32_t source) {
    if (!align(source) || !reserve(4)) return false;
    out_.size += encode_utf8(code_point, out_.bytes.data() + out_.size);
    return true;
  }

  bool put_lowered(uint32_t code_point, const CharInfo& info, uint32_t source) {
    if (!options_.lowercase) return put(code_point, source);
    if (code_point == kCapitalIWithDot) return put('i', source) && put(kCombiningDotAbove, source);
    return put(code_point + static_cast<uint32_t>(info.lower_delta), source);
  }

  bool add(uint32_t code_point, uint32_t source) {
    const CharInfo& info = char_info(code_point);
    if (options_.clean_text && (info.flags & (char_removed | char_space)) != 0) {
      return (info.flags & char_removed) != 0 || (flush_marks() && put(' ', source));
    }
    if (options_.handle_chinese_chars && (info.flags & char_ideograph) != 0) {
      return flush_marks() && put(' ', source) && add_stripped(code_point, info, source) && flush_marks() &&
             put(' ', source);
    }
    return add_stripped(code_point, info, source);
  }

  bool add_stripped(uint32_t code_point, const CharInfo& info, uint32_t source) {
    if (!options_.strip_accents) return put_lowered(code_point, info, source);
    if ((info.flags & char_decomposes) == 0) return add_ordered(code_point, info, source, true);
    uint32_t parts[kMaxDecomposition];
    const size_t count = decompose(code_point, parts);
    for (size_t i = 0; i < count; ++i) {
      if (!add_ordered(parts[i], char_info(parts[i]), source, i == 0)) return false;
    }
    return true;
  }

  bool add_ordered(uint32_t code_point, const CharInfo& info, uint32_t source, bool first) {
    if (info.combining_class != 0) {
      const uint32_t item = code_point | uint32_t{info.combining_class} << kClassShift | (first ? kFirst : 0);
      return marks_.items.push_back(item) && (!first || marks_.sources.push_back(source));
    }
    if (!flush_marks()) return false;
    last_source_ = source;
    return (info.flags & char_mark) != 0 || put_lowered(code_point, info, source);
  }

  bool flush_marks() {
    const size_t count = marks_.items.size();
    if (count == 0) return true;
    const uint32_t* items = marks_.items.data();
    if (count > kInsertionSortLimit) {
      if (!sort_by_counting()) return false;
      items = marks_.sorted.data();
    } else if (count > 1) {
      sort_by_insertion();
    }
    size_t next_source = 0;
    for (size_t i = 0; i < count; ++i) {
      if ((items[i] & kFirst) != 0) last_source_ = marks_.sources[next_source++];
      const uint32_t code_point = items[i] & kCodePointMask;
      const CharInfo& info = char_info(code_point);
      if ((info.flags & char_mark) != 0) continue;
      if (!put_lowered(code_point, info, last_source_)) return false;
    }
    marks_.items.clear();
    marks_.sources.clear();
    return true;
  }

  // Both sorts are stable, as canonical ordering is.
  void sort_by_insertion() {
    uint32_t* items = marks_.items.data();
    for (size_t i = 1; i < marks_.items.size(); ++i) {
      const uint32_t item = items[i];
      size_t j = i;
      for (; j > 0 && class_of(items[j - 1]) > class_of(item); --j) items[j] = items[j - 1];
      items[j] = item;
    }
  }
  bool sort_by_counting() {
    size_t starts[256] = {};
    for (const uint32_t item : marks_.items) ++starts[class_of(item)];
    size_t sum = 0;
    for (size_t& start : starts) {
      const size_t n = start;
      start = sum;
      sum += n;
    }
    if (!marks_.sorted.resize_uninitialized(marks_.items.size())) return false;
    for (const uint32_t item : marks_.items) marks_.sorted[starts[class_of(item)]++] = item;
    return true;
  }

  const BertNormalizer& options_;
  PendingMarks& marks_;
  DerivedText& out_;
  uint32_t last_source_ = 0;
};

}  // namespace

bool normalize_bert(const BertNormalizer& normalizer, std::string_view text, uint32_t origin, PendingMarks& marks,
                    DerivedText& out) noexcept {
  return Normalizer(normalizer, marks, out).run(text, origin);
}

}  // namespace onepass
