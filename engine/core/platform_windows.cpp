#include <windows.h>

#include "engine/core/platform.h"

namespace onepass {

uint64_t monotonic_nanoseconds() noexcept {
  LARGE_INTEGER frequency, now;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&now);
  const auto per_second = static_cast<uint64_t>(frequency.QuadPart), ticks = static_cast<uint64_t>(now.QuadPart);
  return ticks / per_second * 1'000'000'000u + ticks % per_second * 1'000'000'000u / per_second;
}

void yield_thread() noexcept { SwitchToThread(); }

size_t mapping_granularity() noexcept {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwAllocationGranularity;
}

}  // namespace onepass
