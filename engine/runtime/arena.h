// Arena: the buffers of a pass, laid out one behind the other in one block. A Plan is laid out twice by the same
// code: once with a null base to learn the size, once on the real block.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onepass {

class Arena {
 public:
  explicit Arena(uint8_t* base) noexcept : base_(base) {}

  // `count` elements, 64-byte aligned, uninitialised. Null while only measuring.
  template <class T>
  T* take(size_t count) noexcept {
    T* result = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return result;
  }
  size_t used() const noexcept { return used_; }

 private:
  uint8_t* base_;
  size_t used_ = 0;
};

}  // namespace onepass
