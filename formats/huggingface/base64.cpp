#include "formats/huggingface/base64.h"

#include <cstdint>

namespace onepass {

std::optional<std::string> decode_base64(std::string_view text) {
  const auto value_of = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t pos = 0; pos < text.size(); pos += 4) {
    size_t digits = 4;
    if (pos + 4 == text.size() && text[pos + 3] == '=') digits = text[pos + 2] == '=' ? 2 : 3;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; ++i) {
      const int value = value_of(text[pos + i]);
      if (value < 0) return std::nullopt;
      bits |= static_cast<uint32_t>(value) << (18 - 6 * i);
    }
    const size_t bytes = digits - 1;
    if ((bits & ((1u << (24 - 8 * bytes)) - 1)) != 0) return std::nullopt;
    for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(bits >> (16 - 8 * i) & 0xFF));
  }
  return out;
}

}  // namespace onepass
