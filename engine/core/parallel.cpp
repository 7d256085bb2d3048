#include "engine/core/parallel.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace onepass {

#ifdef _OPENMP

namespace {

void run_openmp(void*, size_t count, void (*task)(void*, size_t), void* argument) {
  const int n = static_cast<int>(count);
  // One iteration a thread; a team that came out smaller than asked for still runs every index.
#pragma omp parallel for schedule(static, 1) num_threads(n)
  for (int i = 0; i < n; ++i) task(argument, static_cast<size_t>(i));
}

}  // namespace

Executor openmp_executor(unsigned threads) noexcept { return {run_openmp, nullptr, threads == 0 ? 1 : threads}; }

#else

Executor openmp_executor(unsigned) noexcept { return {}; }

#endif

}  // namespace onepass
