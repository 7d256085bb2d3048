// smmla multiplies two rows by two channels, eight inputs each, into 2 x 2 sums. Two steps of a panel interleave, by
// zip, into the two channels by eight inputs that it wants; the activations of two rows lie side by side already.
//
// A tile is 8 rows by 8 channels: 16 accumulators, 4 registers of weights and 1 of activations.
#include "kernels/arm/tile_i4.h"
#include "kernels/kernels.h"

namespace onepass::kernels {
namespace {

struct SmmlaNibbles {
  static constexpr size_t rows = 8;

  // Inputs 0..7 of channels 0..1 and 2..3, from inputs 0..3 and 4..7 of four channels.
  ONEPASS_INLINE static int8x16_t first_two(int8x16_t low, int8x16_t high) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(low), vreinterpretq_s32_s8(high)));
  }
  ONEPASS_INLINE static int8x16_t last_two(int8x16_t low, int8x16_t high) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(low), vreinterpretq_s32_s8(high)));
  }

  template <size_t count, bool spread>
  ONEPASS_INLINE static void add_group(int32x4_t (&sum)[count][2], const int8_t* a, size_t a_stride,
                                       const uint8_t* codes, int8x16_t shift, size_t inputs) {
    constexpr size_t pairs = (count + 1) / 2;  // of rows; the last row of an odd count is its own partner
    int32x4_t square[pairs][4];
#pragma GCC unroll 16
    for (size_t i = 0; i < pairs; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < 4; ++j) square[i][j] = vdupq_n_s32(0);
    }
    for (size_t k = 0; k < inputs; k += 8) {
      const bool whole = k + 8 <= inputs;
      int8x16_t w[4];
#pragma GCC unroll 16
      for (size_t j = 0; j < 2; ++j) {
        const int8x16_t low = load_nibbles<spread>(codes + k * 32 + j * 16, shift);
        const int8x16_t high = whole ? load_nibbles<spread>(codes + (k + 4) * 32 + j * 16, shift) : vdupq_n_s8(0);
        w[j * 2] = first_two(low, high);
        w[j * 2 + 1] = last_two(low, high);
      }
#pragma GCC unroll 16
      for (size_t i = 0; i < pairs; ++i) {
        const int8_t* first = a + i * 2 * a_stride + k;
        const int8_t* second = i * 2 + 1 < count ? first + a_stride : first;
        const int8x8_t x0 = whole ? vld1_s8(first) : vget_low_s8(broadcast_four(first));
        const int8x8_t x1 = whole ? vld1_s8(second) : vget_low_s8(broadcast_four(second));
        const int8x16_t x = vcombine_s8(x0, x1);  // its last four are multiplied by 0 where they do not exist
#pragma GCC unroll 16
        for (size_t j = 0; j < 4; ++j) square[i][j] = vmmlaq_s32(square[i][j], x, w[j]);
      }
    }
    // A square is row 0 by two channels, then row 1.
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
      for (size_t j = 0; j < 2; ++j) {
        const int64x2_t left = vreinterpretq_s64_s32(square[i / 2][j * 2]);
        const int64x2_t right = vreinterpretq_s64_s32(square[i / 2][j * 2 + 1]);
        sum[i][j] = vreinterpretq_s32_s64(i % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right));
      }
    }
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_i8mm(const MatmulI4& op) noexcept { multiply_i4<ArmLevel<SmmlaNibbles>>(op); }

}  // namespace onepass::kernels
