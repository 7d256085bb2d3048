// As matmul_i4_avx512vnni.cpp, in 256-bit registers: a tile is 6 rows by 16 channels, 12 accumulators, 2 weight vectors
// and a mask of 16 registers.
#include "kernels/kernels.h"
#include "kernels/x86/tile_i4_256.h"

namespace onepass::kernels {
namespace {

struct NibbleDot {
  static constexpr int32_t high_factor = 16;
  __m256i mask;

  ONEPASS_INLINE explicit NibbleDot(bool high) : mask(_mm256_set1_epi8(static_cast<char>(high ? 0xf0 : 0x0f))) {}
  ONEPASS_INLINE __m256i nibbles(__m256i both) const { return _mm256_and_si256(both, mask); }

  template <size_t rows, bool spread>
  ONEPASS_INLINE void add_four(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes) const {
    __m256i w0 = load_codes(codes), w1 = load_codes(codes + 32);
    if constexpr (!spread) {
      w0 = nibbles(w0);
      w1 = nibbles(w1);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      const __m256i x = _mm256_set1_epi32(load_four(a + i * a_stride));
      sum[i][0] = as_sums(_mm256_dpbusd_avx_epi32(as_register(sum[i][0]), w0, x));
      sum[i][1] = as_sums(_mm256_dpbusd_avx_epi32(as_register(sum[i][1]), w1, x));
    }
  }

  template <size_t rows, bool spread>
  ONEPASS_INLINE void add_group(Sums (&sum)[rows][2], const int8_t* a, size_t a_stride, const uint8_t* codes,
                                size_t inputs) const {
    size_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
#pragma GCC unroll 16
      for (size_t step = 0; step < 16; step += 4) {
        add_four<rows, spread>(sum, a + k + step, a_stride, codes + (k + step) * 32);
      }
    }
    for (; k < inputs; k += 4) add_four<rows, spread>(sum, a + k, a_stride, codes + k * 32);
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i4_avxvnni(const MatmulI4& op) noexcept { multiply_i4<Level256<NibbleDot, 6>>(op); }

}  // namespace onepass::kernels
