#include "kernels/arm/tile_i8_i8mm.h"
#include "kernels/kernels.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_i8mm(const MatmulI8& op) noexcept { multiply_panels<I8mm>(op); }

}  // namespace onepass::kernels
