#include "kernels/arm/expand_i4z.h"
#include "kernels/arm/tile_i8_neon.h"
#include "kernels/kernels.h"
#include "kernels/matmul_i4z_blocks.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i4z_neon(const MatmulI4Z& op) noexcept {
  multiply_i4z<RowGroups<Neon>>(
      op, [](const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) { expand_pair(pair, group, low, high); });
}

}  // namespace onepass::kernels
