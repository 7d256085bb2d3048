#include "kernels/kernels.h"
#include "kernels/x86/tile_i8_512.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_avx512vnni(const MatmulI8& op) noexcept { multiply_panels<Avx512Vnni>(op); }

}  // namespace onepass::kernels
