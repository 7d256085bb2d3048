#include "kernels/arm/tile_i8_dotprod.h"
#include "kernels/kernels.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_dotprod(const MatmulI8& op) noexcept { multiply_panels<Dotprod>(op); }

}  // namespace onepass::kernels
