// Messages of protocol buffers, for models of SentencePiece.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace onepass::test {

class Proto {
 public:
  Proto& varint(uint32_t field, uint64_t value) {
    put(uint64_t{field} << 3);
    put(value);
    return *this;
  }
  Proto& bytes(uint32_t field, std::string_view value) {
    put(uint64_t{field} << 3 | 2);
    put(value.size());
    text += value;
    return *this;
  }
  Proto& f32(uint32_t field, float value) {
    put(uint64_t{field} << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i) text.push_back(static_cast<char>(bits >> (8 * i) & 0xFF));
    return *this;
  }

  std::string text;

 private:
  void put(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text.push_back(static_cast<char>((value & 0x7F) | 0x80));
    text.push_back(static_cast<char>(value));
  }
};

inline std::string spm_piece(std::string_view content, float score, uint32_t type = 1) {
  Proto piece;
  piece.bytes(1, content).f32(2, score);
  if (type != 1) piece.varint(3, type);
  return piece.text;
}

}  // namespace onepass::test
