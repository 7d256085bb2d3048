// Channels of a tensor that is packed, on all cores where OpenMP is there: each has bytes of its own, so how many
// threads there are changes nothing.
#pragma once

#include <stddef.h>

#include <exception>

namespace onepass::kernels {

// f(channel) for each of n. What f throws is thrown from here, once all threads are done.
template <class F>
void over_channels(size_t n, F&& f) {
  std::exception_ptr failure;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 16)
#endif
  for (size_t channel = 0; channel < n; ++channel) {
    try {
      f(channel);
    } catch (...) {
#ifdef _OPENMP
#pragma omp critical(onepass_over_channels)
#endif
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace onepass::kernels
