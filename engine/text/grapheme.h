// Grapheme clusters (UAX 29, extended) as the tokenizers library sees them; the classes are measured on it
// (tools/dev/grapheme_tables.py).
#pragma once

#include <cstdint>

namespace onepass {

enum GraphemeClass : uint8_t {
  grapheme_other,
  grapheme_cr,
  grapheme_lf,
  grapheme_control,
  grapheme_extend,
  grapheme_zwj,
  grapheme_prepend,
  grapheme_spacing,
  grapheme_pictograph,
  grapheme_l,
  grapheme_v,
  grapheme_t,
  grapheme_lv,
  grapheme_lvt,
  grapheme_class_mask = 15,
  // Its part in a conjunct of Indic consonants, beside the class.
  conjunct_consonant = 16,
  conjunct_extend = 32,
  conjunct_linker = 48,
  conjunct_mask = 48,
};

// `code_point` <= 0x10FFFF. A value of GraphemeClass, with a conjunct's part.
uint8_t grapheme_class(uint32_t code_point) noexcept;

// Walks over the characters of one cluster. Pairs of regional indicators are left apart: nothing here asks for them.
class GraphemeBreaker {
 public:
  // Takes the cluster's first character.
  void start(uint8_t character) noexcept {
    pictograph_ = conjunct_ = 0;
    accept(character);
  }
  // Takes the character and gives true if it belongs to the cluster.
  bool join(uint8_t character) noexcept {
    if (!joins(character)) return false;
    accept(character);
    return true;
  }

 private:
  bool joins(uint8_t character) const noexcept {
    const unsigned now = character & grapheme_class_mask;
    if (last_ == grapheme_cr && now == grapheme_lf) return true;
    if (is_control(last_) || is_control(now)) return false;
    if (now == grapheme_extend || now == grapheme_zwj || now == grapheme_spacing || last_ == grapheme_prepend)
      return true;
    switch (last_) {
      case grapheme_l:
        if (now == grapheme_l || now == grapheme_v || now == grapheme_lv || now == grapheme_lvt) return true;
        break;
      case grapheme_v:
      case grapheme_lv:
        if (now == grapheme_v || now == grapheme_t) return true;
        break;
      case grapheme_t:
      case grapheme_lvt:
        if (now == grapheme_t) return true;
        break;
      default:
        break;
    }
    return (now == grapheme_pictograph && pictograph_ == 2) ||
           ((character & conjunct_mask) == conjunct_consonant && conjunct_ == 2);
  }
  void accept(uint8_t character) noexcept {
    const unsigned now = character & grapheme_class_mask;
    const unsigned part = character & conjunct_mask;
    if (now == grapheme_pictograph) {
      pictograph_ = 1;
    } else if (now == grapheme_zwj && pictograph_ == 1) {
      pictograph_ = 2;
    } else if (now != grapheme_extend || pictograph_ != 1) {
      pictograph_ = 0;
    }
    if (part == conjunct_consonant) {
      conjunct_ = 1;
    } else if (part == conjunct_linker && conjunct_ != 0) {
      conjunct_ = 2;
    } else if (part != conjunct_extend) {
      conjunct_ = 0;
    }
    last_ = now;
  }
  static bool is_control(unsigned character) noexcept {
    return character == grapheme_cr || character == grapheme_lf || character == grapheme_control;
  }

  unsigned last_ = grapheme_other;
  unsigned pictograph_ = 0;  // 1 after a pictograph and its extensions, 2 when a joiner follows
  unsigned conjunct_ = 0;    // 1 after a consonant, 2 when a linker follows
};

}  // namespace onepass
