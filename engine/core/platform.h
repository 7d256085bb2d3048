// The little that is asked of the operating system besides memory and files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onepass {

// Nanoseconds on a clock that never goes back.
uint64_t monotonic_nanoseconds() noexcept;

// Lets another thread that is ready run first.
void yield_thread() noexcept;

// What the offset of a file mapping is a multiple of.
size_t mapping_granularity() noexcept;

}  // namespace onepass
