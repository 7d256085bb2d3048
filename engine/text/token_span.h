// TokenSpan: where a token comes from.
#pragma once

#include <cstdint>

namespace onepass {

// Bytes [begin, end) of the original text; {0, 0} for the tokens of the template.
struct TokenSpan {
  uint32_t begin;
  uint32_t end;
  bool operator==(const TokenSpan&) const = default;
};

}  // namespace onepass
