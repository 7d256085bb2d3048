// The canonical order of combining marks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/core/array.h"

namespace onepass {

// An item: the character, its combining class, and whether it is the first of its source character. The library
// aligns the i-th first character of a reordered run with the run's i-th source character, and the others with the one
// before them; hence a separate list of sources.
constexpr uint32_t kMarkClassShift = 21;
constexpr uint32_t kMarkFirst = 1u << 29;
constexpr uint32_t kMarkCodePoint = (1u << kMarkClassShift) - 1;
inline uint32_t mark_class(uint32_t item) noexcept { return item >> kMarkClassShift & 0xFF; }

// Sorts items[begin, size) by class, stably, in linear time. `spare` is overwritten. False when out of memory.
inline bool order_marks(Array<uint32_t>& items, size_t begin, Array<uint32_t>& spare) noexcept {
  constexpr size_t kInsertionSortLimit = 24;
  const size_t count = items.size() - begin;
  uint32_t* item = items.data() + begin;
  if (count <= kInsertionSortLimit) {
    for (size_t i = 1; i < count; ++i) {
      const uint32_t moved = item[i];
      size_t j = i;
      for (; j > 0 && mark_class(item[j - 1]) > mark_class(moved); --j) item[j] = item[j - 1];
      item[j] = moved;
    }
    return true;
  }
  size_t starts[256] = {};
  for (size_t i = 0; i < count; ++i) ++starts[mark_class(item[i])];
  size_t sum = 0;
  for (size_t& start : starts) sum += std::exchange(start, sum);
  if (!spare.resize_uninitialized(count)) return false;
  for (size_t i = 0; i < count; ++i) spare[starts[mark_class(item[i])]++] = item[i];
  for (size_t i = 0; i < count; ++i) item[i] = spare[i];
  return true;
}

}  // namespace onepass
