#include "kernels/arm/tile_i8_neon.h"
#include "kernels/kernels.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_neon(const MatmulI8& op) noexcept { multiply_panels<Neon>(op); }

}  // namespace onepass::kernels
