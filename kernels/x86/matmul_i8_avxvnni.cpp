#include "kernels/kernels.h"
#include "kernels/x86/tile_i8_avxvnni.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i8_avxvnni(const MatmulI8& op) noexcept { multiply_panels<AvxVnni>(op); }

}  // namespace onepass::kernels
