// Decimal numbers as serde_json reads them without its feature float_roundtrip: the digits as an integer of 64 bits,
// then one multiplication or division by a power of ten. About a quarter of all scores come out one unit in the last
// place beside the nearest double, and the tokenizers library computes with those.
#pragma once

#include <string_view>

namespace onepass {

// `text` follows the grammar of JSON and lies in the range of double.
double serde_number(std::string_view text);

}  // namespace onepass
