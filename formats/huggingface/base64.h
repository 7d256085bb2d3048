// Base64 of RFC 4648, strict: padded, no other character, no stray bits.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace onepass {

std::optional<std::string> decode_base64(std::string_view text);

}  // namespace onepass
