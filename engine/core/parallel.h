// Threads: an Executor runs the same function once per thread slot and returns when all are done. Work is split
// by outputs, statically, so results never depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/fp_environment.h"

namespace onepass {

struct Executor {
  // Runs task(argument, i) for i in [0, count), each exactly once, possibly at the same time; returns after the
  // last. Null: one after another, on the calling thread.
  void (*run)(void* context, size_t count, void (*task)(void* argument, size_t index), void* argument) = nullptr;
  void* context = nullptr;
  unsigned threads = 1;  // how many slots a parallel section uses
  // Runs task(argument, i, count) for i in [0, count), all at the same time, so that they may wait for one another;
  // count is at most `most`. Null where that cannot be promised.
  void (*run_together)(void* context, size_t most, void (*task)(void* argument, size_t index, size_t count),
                       void* argument) = nullptr;
};

// For loops that wait for another thread: pauses, and from some microseconds on lets other threads run.
void wait_a_little(size_t times_waited) noexcept;

// On OpenMP, where the build has it; else serial (threads = 1).
Executor openmp_executor(unsigned threads) noexcept;

struct Range {
  size_t begin, end;
  bool empty() const noexcept { return begin >= end; }
};

// Part `i` of `parts` of [0, count).
inline Range split_range(size_t count, size_t i, size_t parts) noexcept {
  return {count * i / parts, count * (i + 1) / parts};
}

// Calls f(slot, slots) on every slot of an executor that has run_together.
template <class F>
void run_all_together(const Executor& executor, F&& f) noexcept {
  struct Shared {
    F& f;
  } shared{f};
  executor.run_together(
      executor.context, executor.threads,
      [](void* argument, size_t index, size_t count) {
        const FpEnvironment guard;
        static_cast<Shared*>(argument)->f(index, count);
      },
      &shared);
}

// Calls f(slot, slots) on every slot. `f` runs with the default floating-point environment, whatever the app has set.
template <class F>
void run_on_all(const Executor& executor, F&& f) noexcept {
  if (executor.run == nullptr || executor.threads <= 1) {
    const FpEnvironment guard;
    f(size_t{0}, size_t{1});
    return;
  }
  struct Shared {
    F& f;
    size_t slots;
  } shared{f, executor.threads};
  executor.run(
      executor.context, executor.threads,
      [](void* argument, size_t index) {
        const FpEnvironment guard;
        auto* s = static_cast<Shared*>(argument);
        s->f(index, s->slots);
      },
      &shared);
}

}  // namespace onepass
