// What an app may say about a call while it runs: stop, be done by then, be gentle.
#pragma once

#include <cstdint>

#include "engine/core/result.h"

namespace onepass {

// Looked at between the layers of a pass, on the thread that called.
struct PassControl {
  const uint32_t* cancel = nullptr;  // stops the call once another thread has stored something else than 0
  uint64_t deadline = 0;             // in monotonic_nanoseconds; 0: none
  bool yield = false;                // let other threads run between layers

  // cancelled, deadline_exceeded or ok.
  Status check() const noexcept;
};

// What the app knows of battery and heat. The library reads no sensor.
enum class Power : uint8_t {
  normal,
  low,       // half the threads, and other work first between layers
  critical,  // one thread, likewise
};
constexpr uint32_t power_count = 3;

unsigned threads_at(Power power, unsigned threads) noexcept;

}  // namespace onepass
