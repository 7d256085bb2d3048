// Executors for tests: a std::thread a slot, so that a thread sanitizer sees every wait.
#pragma once

#include <thread>
#include <vector>

#include "engine/core/parallel.h"

namespace onepass::test {

inline void run_on_threads(void*, size_t count, void (*task)(void*, size_t), void* argument) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i) threads.emplace_back(task, argument, i);
  for (std::thread& thread : threads) thread.join();
}

// As many as asked for.
inline void run_threads_together(void*, size_t most, void (*task)(void*, size_t, size_t), void* argument) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < most; ++i) threads.emplace_back(task, argument, i, most);
  for (std::thread& thread : threads) thread.join();
}

// One fewer, as a busy system may start.
inline void run_fewer_together(void*, size_t most, void (*task)(void*, size_t, size_t), void* argument) {
  run_threads_together(nullptr, most - 1, task, argument);
}

// Threads that may wait for one another.
inline Executor together(unsigned threads) { return {run_on_threads, nullptr, threads, run_threads_together}; }

}  // namespace onepass::test
