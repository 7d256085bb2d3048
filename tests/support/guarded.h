// Guarded<T>: an array between two unreadable pages, so that any access beyond it faults, and with a known pattern in
// what its own pages have to spare, so that a stray write there is found too. A size that is no multiple of the page
// touches only one of the two: run with Flush::front and with Flush::back.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <type_traits>

namespace onepass::test {

enum class Flush { front, back };

template <class T>
class Guarded {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // With Flush::back the end touches the guard page only when `alignment` divides the size; it is short of it by less
  // than `alignment` bytes otherwise.
  Guarded(size_t count, Flush flush, size_t alignment = alignof(T)) : count_(count) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = count * sizeof(T);
    inner_bytes_ = (bytes + page - 1) / page * page;
    if (inner_bytes_ == 0) inner_bytes_ = page;
    map_bytes_ = inner_bytes_ + 2 * page;
    void* map = mmap(nullptr, map_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) abort();
    map_ = static_cast<uint8_t*>(map);
    inner_ = map_ + page;
    if (mprotect(inner_, inner_bytes_, PROT_READ | PROT_WRITE) != 0) abort();
    std::memset(inner_, kPattern, inner_bytes_);
    const size_t offset = flush == Flush::front ? 0 : (inner_bytes_ - bytes) / alignment * alignment;
    data_ = reinterpret_cast<T*>(inner_ + offset);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  Guarded(Guarded&& other) noexcept
      : map_(other.map_),
        inner_(other.inner_),
        data_(other.data_),
        count_(other.count_),
        inner_bytes_(other.inner_bytes_),
        map_bytes_(other.map_bytes_) {
    other.map_ = nullptr;
  }
  ~Guarded() {
    if (map_ != nullptr) munmap(map_, map_bytes_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }
  std::span<const T> span() const { return {data_, count_}; }

  // True while nothing has written beside the array.
  bool intact() const {
    const auto* first = reinterpret_cast<const uint8_t*>(data_);
    const auto* last = first + count_ * sizeof(T);
    for (const uint8_t* p = inner_; p != inner_ + inner_bytes_; ++p) {
      if ((p < first || p >= last) && *p != kPattern) return false;
    }
    return true;
  }

 private:
  static constexpr uint8_t kPattern = 0xC3;
  uint8_t* map_ = nullptr;
  uint8_t* inner_ = nullptr;
  T* data_ = nullptr;
  size_t count_ = 0;
  size_t inner_bytes_ = 0;
  size_t map_bytes_ = 0;
};

}  // namespace onepass::test
