#include <cstdlib>

#include "engine/core/array.h"

namespace onepass {

void* allocate_aligned(size_t bytes) noexcept {
  if (bytes > SIZE_MAX - 64) return nullptr;
  const size_t rounded = (bytes + 63) / 64 * 64;
  return std::aligned_alloc(64, rounded == 0 ? 64 : rounded);
}

void free_aligned(void* block) noexcept { std::free(block); }

}  // namespace onepass
