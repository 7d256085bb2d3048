#include "engine/core/parallel.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#include "engine/core/platform.h"

namespace onepass {

#ifdef _OPENMP

namespace {

void run_openmp(void*, size_t count, void (*task)(void*, size_t), void* argument) {
  const int n = static_cast<int>(count);
  // One iteration a thread; a team that came out smaller than asked for still runs every index.
#pragma omp parallel for schedule(static, 1) num_threads(n)
  for (int i = 0; i < n; ++i) task(argument, static_cast<size_t>(i));
}

// However many threads the team came out with: they are the ones that run together.
void run_openmp_together(void*, size_t most, void (*task)(void*, size_t, size_t), void* argument) {
  const int n = static_cast<int>(most);
#pragma omp parallel num_threads(n)
  task(argument, static_cast<size_t>(omp_get_thread_num()), static_cast<size_t>(omp_get_num_threads()));
}

}  // namespace

Executor openmp_executor(unsigned threads) noexcept {
  return {run_openmp, nullptr, threads == 0 ? 1 : threads, run_openmp_together};
}

#else

Executor openmp_executor(unsigned) noexcept { return {}; }

#endif

void wait_a_little(size_t times_waited) noexcept {
  // A pause is 10 to 50 ns. A thread that is waited for longer than a step takes may be waiting for this core.
  constexpr size_t most_pauses = 1000;
  if (times_waited >= most_pauses) return yield_thread();
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace onepass
