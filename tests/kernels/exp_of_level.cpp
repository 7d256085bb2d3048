// exp of one level's lanes on an array, for whole_range.cpp: no kernel gives it alone.
#include "tests/kernels/exp_of_level.h"
#include "kernels/wide/math.h"

namespace onepass::kernels {

[[gnu::flatten]] void ONEPASS_NAME(exp_of)(const float* x, float* y, size_t count) noexcept {
  for (size_t i = 0; i < count; i += 16) store(y + i, exp_f32(load(x + i)));
}

}  // namespace onepass::kernels
