#include "kernels/kernels.h"
#include "kernels/x86/expand_i4z_256.h"
#include "kernels/x86/few_rows_i4z_256.h"

namespace onepass::kernels {

[[gnu::flatten]] void matmul_i4z_avxvnni(const MatmulI4Z& op) noexcept {
  const bool few = with_few_rows(op.m, [&]<size_t rows>() {
    multiply_rows<rows>(
        op, [](const MatmulI8& part, const Panel& panel, size_t group, size_t pair_bytes, const CodeSums& sums) {
          few_rows_half<rows>(part, panel, 0, group, pair_bytes, sums);
          if (panel.count > 16) few_rows_half<rows>(part, panel, 1, group, pair_bytes, sums);
        });
  });
  if (few) return;
  multiply_i4z<RowGroups<AvxVnni>>(
      op, [](const uint8_t* pair, size_t group, uint8_t* low, uint8_t* high) { expand_pair(pair, group, low, high); });
}

}  // namespace onepass::kernels
