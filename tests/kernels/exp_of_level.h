// exp as the elementwise kernels of each level compute it. count % 16 == 0; y may be x.
#pragma once

#include <stddef.h>

namespace onepass::kernels {

using ExpOfFn = void (*)(const float* x, float* y, size_t count) noexcept;

void exp_of_avx2(const float* x, float* y, size_t count) noexcept;
void exp_of_avx512(const float* x, float* y, size_t count) noexcept;
void exp_of_neon(const float* x, float* y, size_t count) noexcept;

}  // namespace onepass::kernels
