// The machine's own limit, measured in the same run as what is compared with it.
#pragma once

#include "kernels/table.h"

namespace onepass::bench {

enum class Arithmetic { int8, f32 };

// 10^9 operations a second (a multiply and an add are two) of one thread in a loop that touches registers alone, with
// the instructions that `isa` has for the arithmetic. 0 where this build has no loop for the level.
double peak_gops(kernels::Isa isa, Arithmetic arithmetic);

}  // namespace onepass::bench
