#include "kernels/kernels.h"
#include "kernels/x86/few_rows_i4z_512.h"
#include "kernels/x86/tile_i4z_512.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i4z_avx512vnni(const MatmulI4Z& op) noexcept {
  if (op.m <= few_rows) return multiply_few_rows<FewRows512>(op);
  multiply_i4z_ahead<ExpandingAvx512Vnni>(
      op, [](const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) { expand_pair(pair, group, low, high); });
}

}  // namespace onepass::kernels
