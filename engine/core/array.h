// Array: an owning, growable block of trivially copyable elements whose growth can fail.
// The runtime uses it in place of std::vector, which reports failure by an exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace onepass {

// 64-byte aligned memory, or null. Freed with free_aligned.
void* allocate_aligned(size_t bytes) noexcept;
void free_aligned(void* block) noexcept;

template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() noexcept = default;
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    swap(other);
    return *this;
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { free_aligned(data_); }

  // Makes room for `capacity` elements; false when out of memory (the content is then unchanged).
  [[nodiscard]] bool reserve(size_t capacity) noexcept {
    if (capacity <= capacity_) return true;
    if (capacity > SIZE_MAX / sizeof(T) / 2) return false;
    auto* fresh = static_cast<T*>(allocate_aligned(capacity * sizeof(T)));
    if (fresh == nullptr) return false;
    if (size_ != 0) std::memcpy(static_cast<void*>(fresh), data_, size_ * sizeof(T));
    free_aligned(data_);
    data_ = fresh;
    capacity_ = capacity;
    return true;
  }
  // New elements are zero bytes.
  [[nodiscard]] bool resize(size_t size) noexcept {
    if (!grow_to(size)) return false;
    if (size > size_) std::memset(static_cast<void*>(data_ + size_), 0, (size - size_) * sizeof(T));
    size_ = size;
    return true;
  }
  // New elements are indeterminate.
  [[nodiscard]] bool resize_uninitialized(size_t size) noexcept {
    if (!grow_to(size)) return false;
    size_ = size;
    return true;
  }
  [[nodiscard]] bool push_back(const T& value) noexcept {
    const T copy = value;
    if (!grow_to(size_ + 1)) return false;
    data_[size_++] = copy;
    return true;
  }
  void clear() noexcept { size_ = 0; }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](size_t i) noexcept { return data_[i]; }
  const T& operator[](size_t i) const noexcept { return data_[i]; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }
  std::span<T> span() noexcept { return {data_, size_}; }
  std::span<const T> span() const noexcept { return {data_, size_}; }

 private:
  bool grow_to(size_t size) noexcept {
    if (size <= capacity_) return true;
    const size_t doubled = capacity_ < 8 ? 8 : capacity_ * 2;
    return reserve(size > doubled ? size : doubled);
  }
  void swap(Array& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace onepass
