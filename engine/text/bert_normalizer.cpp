// BERT's normaliser, as BertNormalizer of the tokenizers library: clean the text, set ideographs apart, strip
// accents (canonical decomposition without nonspacing marks), lower the case.
#include "engine/text/canonical_order.h"
#include "engine/text/normalizer_rows.h"
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

class BertNormalizer {
 public:
  BertNormalizer(uint32_t flags, PendingMarks& marks, DerivedText& out)
      : clean_text_((flags & bert_clean_text) != 0),
        handle_chinese_chars_((flags & bert_handle_chinese_chars) != 0),
        strip_accents_((flags & bert_strip_accents) != 0),
        lowercase_((flags & bert_lowercase) != 0),
        marks_(marks),
        out_(out) {}

  bool run(std::string_view text) {
    marks_.items.clear();
    marks_.sources.clear();
    const uint8_t* map = kAsciiMaps[clean_text_][lowercase_].to;
    size_t pos = 0;
    while (pos < text.size()) {
      if (map[static_cast<uint8_t>(text[pos])] != kSlow) {
        if (!flush_marks() || !out_.align(pos) || !out_.reserve(text.size() - pos)) return false;
        char* to = out_.end();
        const size_t begin = pos;
        while (pos < text.size()) {
          const uint8_t c = map[static_cast<uint8_t>(text[pos])];
          if (c == kSlow) break;
          *to++ = static_cast<char>(c);
          ++pos;
        }
        out_.advance(pos - begin);
        continue;
      }
      const ValidChar c = decode_valid(text.data() + pos);
      if (!add(c.code_point, static_cast<uint32_t>(pos))) return false;
      pos += c.length;
    }
    return flush_marks() && out_.finish();
  }

 private:
  bool put(uint32_t code_point, uint32_t source) { return out_.put(code_point, source); }

  bool put_lowered(uint32_t code_point, const CharInfo& info, uint32_t source) {
    if (!lowercase_) return put(code_point, source);
    if (code_point == kCapitalIWithDot) return put('i', source) && put(kCombiningDotAbove, source);
    return put(code_point + static_cast<uint32_t>(info.lower_delta), source);
  }

  bool add(uint32_t code_point, uint32_t source) {
    const CharInfo& info = char_info(code_point);
    if (clean_text_ && (info.flags & (char_removed | char_space)) != 0) {
      return (info.flags & char_removed) != 0 || (flush_marks() && put(' ', source));
    }
    if (handle_chinese_chars_ && (info.flags & char_ideograph) != 0) {
      return flush_marks() && put(' ', source) && add_stripped(code_point, info, source) && flush_marks() &&
             put(' ', source);
    }
    return add_stripped(code_point, info, source);
  }

  bool add_stripped(uint32_t code_point, const CharInfo& info, uint32_t source) {
    if (!strip_accents_) return put_lowered(code_point, info, source);
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
      const uint32_t item = code_point | uint32_t{info.combining_class} << kMarkClassShift | (first ? kMarkFirst : 0);
      return marks_.items.push_back(item) && (!first || marks_.sources.push_back(source));
    }
    if (!flush_marks()) return false;
    last_source_ = source;
    return (info.flags & char_mark) != 0 || put_lowered(code_point, info, source);
  }

  bool flush_marks() {
    const size_t count = marks_.items.size();
    if (count == 0) return true;
    if (!order_marks(marks_.items, 0, marks_.sorted)) return false;
    const uint32_t* items = marks_.items.data();
    size_t next_source = 0;
    for (size_t i = 0; i < count; ++i) {
      if ((items[i] & kMarkFirst) != 0) last_source_ = marks_.sources[next_source++];
      const uint32_t code_point = items[i] & kMarkCodePoint;
      const CharInfo& info = char_info(code_point);
      if ((info.flags & char_mark) != 0) continue;
      if (!put_lowered(code_point, info, last_source_)) return false;
    }
    marks_.items.clear();
    marks_.sources.clear();
    return true;
  }

  const bool clean_text_;
  const bool handle_chinese_chars_;
  const bool strip_accents_;
  const bool lowercase_;
  PendingMarks& marks_;
  TextWriter out_;
  uint32_t last_source_ = 0;
};

}  // namespace

Change normalize_bert(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                      DerivedText& out) noexcept {
  return BertNormalizer(step.flags, scratch.marks, out).run(text) ? Change::done : Change::no_memory;
}

}  // namespace onepass
