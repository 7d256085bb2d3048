#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "engine/core/platform.h"

namespace onepass {

uint64_t monotonic_nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

void yield_thread() noexcept { sched_yield(); }

size_t mapping_granularity() noexcept {
  const long size = sysconf(_SC_PAGESIZE);
  return size > 0 ? static_cast<size_t>(size) : 65536;
}

}  // namespace onepass
