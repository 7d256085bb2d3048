#include "engine/text/grapheme.h"

namespace onepass {

namespace {

// A code point's class is kLeaf[leaf]: kTop by its high bits, kMiddle by the next five, kLeaf by the last four, equal
// blocks stored once.
#include "engine/text/grapheme_tables.inc"

}  // namespace

uint8_t grapheme_class(uint32_t code_point) noexcept {
  const uint32_t middle = uint32_t{kTop[code_point >> 9]} << 5 | (code_point >> 4 & 31);
  return kLeaf[uint32_t{kMiddle[middle]} << 4 | (code_point & 15)];
}

}  // namespace onepass
