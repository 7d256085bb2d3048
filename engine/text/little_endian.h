// Integers of a section, read where they lie: little-endian, unaligned.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace onepass {

inline uint32_t load_u32(const uint8_t* p) noexcept {
  uint32_t value;
  std::memcpy(&value, p, sizeof(value));
  if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap32(value);
  return value;
}
inline uint64_t load_u64(const uint8_t* p) noexcept {
  uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
  return value;
}

inline uint64_t load_u64(const char* p) noexcept { return load_u64(reinterpret_cast<const uint8_t*>(p)); }

}  // namespace onepass
