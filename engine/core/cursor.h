// Cursor: the only way that bytes of a file are read. Every read checks `need <= len - pos`
// (rule G1); integers are little-endian whatever the host is.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace onepass {

// Checked arithmetic on integers that come from a file (rule G2). False on overflow.
[[nodiscard]] inline bool checked_add(uint64_t a, uint64_t b, uint64_t* out) noexcept {
  return !__builtin_add_overflow(a, b, out);
}
[[nodiscard]] inline bool checked_mul(uint64_t a, uint64_t b, uint64_t* out) noexcept {
  return !__builtin_mul_overflow(a, b, out);
}
// `alignment` is a power of two.
[[nodiscard]] inline bool checked_align(uint64_t a, uint64_t alignment, uint64_t* out) noexcept {
  if (!checked_add(a, alignment - 1, out)) return false;
  *out &= ~(alignment - 1);
  return true;
}

// A sticky failure: after the first read past the end every read gives zero and ok() is false,
// so a parser checks once per record.
class Cursor {
 public:
  // `base` is the offset of bytes[0] in the file, for error messages.
  explicit Cursor(std::span<const uint8_t> bytes, uint64_t base = 0) noexcept : bytes_(bytes), base_(base) {}

  bool ok() const noexcept { return ok_; }
  size_t remaining() const noexcept { return bytes_.size() - pos_; }
  uint64_t offset() const noexcept { return base_ + pos_; }  // of the next byte, in the file

  uint8_t u8() noexcept { return static_cast<uint8_t>(little_endian(1)); }
  uint16_t u16() noexcept { return static_cast<uint16_t>(little_endian(2)); }
  uint32_t u32() noexcept { return static_cast<uint32_t>(little_endian(4)); }
  uint64_t u64() noexcept { return little_endian(8); }
  float f32() noexcept { return std::bit_cast<float>(u32()); }
  double f64() noexcept { return std::bit_cast<double>(u64()); }

  // The next n bytes, or an empty span (and a failure) when fewer remain.
  std::span<const uint8_t> bytes(uint64_t n) noexcept {
    if (!take(n)) return {};
    return bytes_.subspan(pos_ - static_cast<size_t>(n), static_cast<size_t>(n));
  }
  // A u32 length followed by that many bytes.
  std::string_view string() noexcept {
    const auto b = bytes(u32());
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }

 private:
  bool take(uint64_t n) noexcept {
    if (!ok_ || n > bytes_.size() - pos_) {
      ok_ = false;
      return false;
    }
    pos_ += static_cast<size_t>(n);
    return true;
  }
  uint64_t little_endian(size_t n) noexcept {
    if (!take(n)) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < n; ++i) value |= uint64_t{bytes_[pos_ - n + i]} << (8 * i);
    return value;
  }

  std::span<const uint8_t> bytes_;
  uint64_t base_;
  size_t pos_ = 0;
  bool ok_ = true;
};

}  // namespace onepass
