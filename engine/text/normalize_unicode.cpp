// NFC, NFD, NFKC and NFKD, with the library's tables and its alignment of what is reordered or composed.
#include <algorithm>

#include "engine/text/canonical_order.h"
#include "engine/text/normalizer_rows.h"
#include "engine/text/unicode.h"

namespace onepass {

namespace {

class UnicodeNormalizer {
 public:
  UnicodeNormalizer(NormalizerKind kind, PendingMarks& marks, DerivedText& out)
      : compatibility_(kind == NormalizerKind::nfkc || kind == NormalizerKind::nfkd),
        compose_(kind == NormalizerKind::nfc || kind == NormalizerKind::nfkc),
        marks_(marks),
        out_(out) {}

  // A character that the normalisation leaves alone whatever stands before it.
  bool inert(uint32_t code_point) const noexcept {
    const CharInfo& info = char_info(code_point);
    if (compose_) return (info.flags & (compatibility_ ? char_nfkc_inert : char_nfc_inert)) != 0;
    const uint32_t changes = char_decomposes | (compatibility_ ? uint32_t{char_compatibility} : 0);
    return info.combining_class == 0 && (info.flags & changes) == 0;
  }

  bool run(std::string_view text, size_t first) {
    // What stands before a character that is not inert may compose with it: everything from `waiting` on.
    size_t copied = 0;
    for (size_t pos = first; pos < text.size();) {
      const size_t waiting = pos > copied ? previous_char(text, pos) : pos;
      if (!out_.copy(part(text, copied, waiting), copied)) return false;
      marks_.items.clear();
      marks_.sources.clear();
      order_from_ = 0;
      pos = waiting;
      do {
        const ValidChar c = decode_valid(text.data() + pos);
        if (pos != waiting && inert(c.code_point)) break;
        if (!add(c.code_point, static_cast<uint32_t>(pos))) return false;
        pos += c.length;
      } while (pos < text.size());
      if (!order() || !(compose_ ? write_composed() : write_items())) return false;
      copied = pos;
      pos = skip_inert(text, pos);
      if (pos == text.size()) return out_.copy(part(text, copied, text.size()), copied) && out_.finish();
    }
    return out_.copy(part(text, copied, text.size()), copied) && out_.finish();
  }

  // The first character from `pos` on that is not inert, or the end.
  size_t skip_inert(std::string_view text, size_t pos) const noexcept {
    while (pos < text.size()) {
      if (static_cast<uint8_t>(text[pos]) < 0x80) {
        ++pos;
        continue;
      }
      const ValidChar c = decode_valid(text.data() + pos);
      if (!inert(c.code_point)) break;
      pos += c.length;
    }
    return pos;
  }

 private:
  bool order() { return order_marks(marks_.items, order_from_, marks_.sorted); }

  bool add(uint32_t code_point, uint32_t source) {
    uint32_t parts[kMaxCompatDecomposition] = {code_point};
    size_t count = 1;
    const uint32_t flags = char_info(code_point).flags;
    if (compatibility_ && (flags & char_compatibility) != 0) {
      count = decompose_compat(code_point, parts);
    } else if ((flags & char_decomposes) != 0) {
      count = decompose(code_point, parts);
    }
    for (size_t i = 0; i < count; ++i) {
      const uint32_t combining_class = char_info(parts[i]).combining_class;
      if (combining_class == 0 && !order()) return false;
      if (!marks_.items.push_back(parts[i] | combining_class << kMarkClassShift | (i == 0 ? kMarkFirst : 0))) {
        return false;
      }
      if (combining_class == 0) order_from_ = marks_.items.size();
    }
    return marks_.sources.push_back(source);
  }

  // `consumed` source characters come next: one that consumes none is aligned with the one before.
  bool write(uint32_t code_point, size_t consumed) {
    const size_t at = consumed == 0 && next_source_ > 0 ? next_source_ - 1 : next_source_;
    const uint32_t source = marks_.sources[std::min(at, marks_.sources.size() - 1)];
    next_source_ += consumed;
    return out_.put(code_point, source);
  }

  bool write_items() {
    next_source_ = 0;
    for (const uint32_t item : marks_.items) {
      if (!write(item & kMarkCodePoint, (item & kMarkFirst) != 0 ? 1 : 0)) return false;
    }
    return true;
  }

  // A composite stands for the source characters of its parts, but takes them from where it stands, as in the library.
  bool write_composed() {
    next_source_ = 0;
    Array<uint32_t>& buffer = marks_.composed;
    buffer.clear();
    uint32_t starter = 0;
    size_t starter_consumed = 0;
    bool has_starter = false;
    uint32_t last_class = 0;  // of the buffered marks; 0 when there are none
    const auto purge = [&] {
      for (size_t i = 0; i < buffer.size(); i += 2) {
        if (!write(buffer[i], buffer[i + 1])) return false;
      }
      buffer.clear();
      return true;
    };
    for (const uint32_t item : marks_.items) {
      const uint32_t c = item & kMarkCodePoint;
      const uint32_t combining_class = mark_class(item);
      const uint32_t consumed = (item & kMarkFirst) != 0 ? 1 : 0;
      if (!has_starter) {
        if (combining_class != 0) {
          if (!write(c, consumed)) return false;
          continue;
        }
        starter = c;
        starter_consumed = consumed;
        has_starter = true;
        continue;
      }
      const bool blocked = last_class != 0 && last_class >= combining_class;
      const uint32_t composite = blocked ? 0 : compose(starter, c);
      if (composite != 0) {
        starter = composite;
        starter_consumed += consumed;
        continue;
      }
      if (combining_class == 0) {
        if (!write(starter, starter_consumed) || !purge()) return false;
        starter = c;
        starter_consumed = consumed;
        last_class = 0;
        continue;
      }
      if (!buffer.push_back(c) || !buffer.push_back(consumed)) return false;
      last_class = combining_class;
    }
    return (!has_starter || write(starter, starter_consumed)) && purge();
  }

  const bool compatibility_;
  const bool compose_;
  PendingMarks& marks_;
  TextWriter out_;
  size_t order_from_ = 0;  // the items from here on are marks that are not in order yet
  size_t next_source_ = 0;
};

}  // namespace

Change normalize_unicode(const NormalizerStep& step, std::string_view text, EncodeScratch& scratch,
                         DerivedText& out) noexcept {
  UnicodeNormalizer normalizer(step.kind, scratch.marks, out);
  const size_t first = normalizer.skip_inert(text, 0);
  if (first == text.size()) return Change::none;
  return normalizer.run(text, first) ? Change::done : Change::no_memory;
}

}  // namespace onepass
