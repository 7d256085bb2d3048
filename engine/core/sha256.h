// SHA-256 (FIPS 180-4). The implementation is chosen once, from what the processor has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace onepass {

class Sha256 {
 public:
  Sha256() noexcept;
  void update(std::span<const uint8_t> bytes) noexcept;
  // The digest of everything given to update(). The object is used up.
  std::array<uint8_t, 32> finish() noexcept;

 private:
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> block_;  // the first length_ % 64 bytes await the rest of their block
  uint64_t length_ = 0;
};

inline std::array<uint8_t, 32> sha256(std::span<const uint8_t> bytes) noexcept {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace onepass
