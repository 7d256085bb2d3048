// Processors without sdot: smull and smlal give products of nibbles and activations in 16 bits, of which 16 add up,
// the 64 inputs of the largest group: 16 * 15 * 127 = 30480. sadalp then makes 32-bit sums, once a group. A channel's
// four inputs end in neighbouring lanes, which are added last.
//
// A tile is 4 rows by 8 channels: 16 accumulators of 32 registers.
#include "kernels/arm/tile_i4.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct SmlalNibbles {
  static constexpr size_t rows = 4;

  template <size_t count, bool spread>
  ONEPASS_INLINE static void add_group(int32x4_t (&sum)[count][2], const int8_t* a, size_t a_stride,
                                       const uint8_t* codes, int8x16_t shift, size_t inputs) {
    int16x8_t low[count][2], high[count][2];
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < 2; ++j) low[i][j] = high[i][j] = vdupq_n_s16(0);
    }
    for (size_t k = 0; k < inputs; k += 4) {
#pragma GCC unroll 16
      for (size_t j = 0; j < 2; ++j) {
        const int8x16_t w = load_nibbles<spread>(codes + k * 32 + j * 16, shift);
#pragma GCC unroll 16
        for (size_t i = 0; i < count; ++i) {
          const int8x16_t x = broadcast_four(a + i * a_stride + k);
          low[i][j] = vmlal_s8(low[i][j], vget_low_s8(w), vget_low_s8(x));
          high[i][j] = vmlal_high_s8(high[i][j], w, x);
        }
      }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < 2; ++j) sum[i][j] = vpaddq_s32(vpaddlq_s16(low[i][j]), vpaddlq_s16(high[i][j]));
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_neon(const MatmulI4& op) noexcept { multiply_i4<ArmLevel<SmlalNibbles>>(op); }

}  // namespace onepass::kernels
