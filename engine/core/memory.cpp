#include <cstdlib>
#ifdef _WIN32
#include <malloc.h>
#endif

#include "engine/core/array.h"

namespace onepass {

void* allocate_aligned(size_t bytes) noexcept {
  if (bytes > SIZE_MAX - 64) return nullptr;
  const size_t rounded = (bytes + 63) / 64 * 64;
#ifdef _WIN32
  return _aligned_malloc(rounded == 0 ? 64 : rounded, 64);
#elif defined(__ANDROID__)
  // aligned_alloc came with API level 28.
  void* block = nullptr;
  return posix_memalign(&block, 64, rounded == 0 ? 64 : rounded) == 0 ? block : nullptr;
#else
  return std::aligned_alloc(64, rounded == 0 ? 64 : rounded);
#endif
}

void free_aligned(void* block) noexcept {
#ifdef _WIN32
  _aligned_free(block);
#else
  std::free(block);
#endif
}

}  // namespace onepass
