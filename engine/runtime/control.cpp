#include "engine/runtime/control.h"

#include "engine/core/platform.h"

namespace onepass {

Status PassControl::check() const noexcept {
  if (cancel != nullptr && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0) {
    return make_error(Code::cancelled, Error::no_offset, "call", "the caller's flag stopped it; the session can go on");
  }
  if (deadline != 0 && monotonic_nanoseconds() >= deadline) {
    return make_error(Code::deadline_exceeded, Error::no_offset, "call",
                      "it took longer than it may: allow more time, or pass fewer or shorter texts");
  }
  if (yield) yield_thread();
  return {};
}

unsigned threads_at(Power power, unsigned threads) noexcept {
  switch (power) {
    case Power::low:
      return (threads + 1) / 2;
    case Power::critical:
      return 1;
    default:
      return threads;
  }
}

}  // namespace onepass
