// Every small damage to a file: each truncation, and each byte with each of its bits flipped, as 00 and as FF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace onepass::test {

// Calls visit(std::span<const uint8_t> damaged, size_t position) for each. Every input is a heap block of exactly its
// size, so that AddressSanitizer sees a read behind its end. Returns how many there were.
template <class Visit>
size_t for_each_mutation(std::span<const uint8_t> bytes, Visit&& visit) {
  size_t count = 0;
  for (size_t n = 0; n < bytes.size(); ++n) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    visit(std::span<const uint8_t>(cut), n);
    ++count;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<uint8_t> damaged(bytes.begin(), bytes.end());
    for (uint32_t k = 0; k < 10; ++k) {
      const uint8_t value = k < 8 ? static_cast<uint8_t>(bytes[i] ^ (1u << k)) : k == 8 ? uint8_t{0} : uint8_t{0xFF};
      if (value == bytes[i]) continue;
      damaged[i] = value;
      visit(std::span<const uint8_t>(damaged), i);
      ++count;
    }
  }
  return count;
}

}  // namespace onepass::test
