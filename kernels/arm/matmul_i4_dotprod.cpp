// sdot takes nibbles as signed bytes, 0..15, and the activations as its broadcast operand, one lane of a register that
// holds sixteen inputs of a row: 8 rows by 8 channels are 16 accumulators, 8 registers of activations and 2 of weights.
#include "kernels/arm/tile_i4.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct SdotNibbles {
  static constexpr size_t rows = 8;

  // sum += the four inputs of `codes`; x[i] holds sixteen of row i.
  template <int lane, size_t count, bool spread>
  ONEPASS_INLINE static void add_lane(int32x4_t (&sum)[count][2], const int8x16_t (&x)[count], const uint8_t* codes,
                                      int8x16_t shift) {
#pragma GCC unroll 16
    for (size_t j = 0; j < 2; ++j) {
      const int8x16_t w = load_nibbles<spread>(codes + lane * 128 + j * 16, shift);
#pragma GCC unroll 16
      for (size_t i = 0; i < count; ++i) sum[i][j] = vdotq_laneq_s32(sum[i][j], w, x[i], lane);
    }
  }

  template <size_t count, bool spread>
  ONEPASS_INLINE static void add_group(int32x4_t (&sum)[count][2], const int8_t* a, size_t a_stride,
                                       const uint8_t* codes, int8x16_t shift, size_t inputs) {
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) sum[i][0] = sum[i][1] = vdupq_n_s32(0);
    size_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
      int8x16_t x[count];
#pragma GCC unroll 16
      for (size_t i = 0; i < count; ++i) x[i] = vld1q_s8(a + i * a_stride + k);
      add_lane<0, count, spread>(sum, x, codes + k * 32, shift);
      add_lane<1, count, spread>(sum, x, codes + k * 32, shift);
      add_lane<2, count, spread>(sum, x, codes + k * 32, shift);
      add_lane<3, count, spread>(sum, x, codes + k * 32, shift);
    }
    for (; k < inputs; k += 4) {
      int8x16_t x[count];
#pragma GCC unroll 16
      for (size_t i = 0; i < count; ++i) x[i] = broadcast_four(a + i * a_stride + k);
      add_lane<0, count, spread>(sum, x, codes + k * 32, shift);
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_dotprod(const MatmulI4& op) noexcept { multiply_i4<ArmLevel<SdotNibbles>>(op); }

}  // namespace onepass::kernels
