// The sign trick: |w| is the unsigned operand of vpmaddubsw, and a takes the sign of w. Two products are at most
// 2 * 128 * 127 = 32512, so its 16-bit sums never saturate, and the result is exact for every weight byte.
//
// A tile is 4 rows by 16 channels: 8 accumulators, two weight vectors with their magnitudes, the ones, and three
// temporaries make 16 registers.
#include "kernels/kernels.h"
#include "kernels/x86/tile_i8_256.h"

namespace onepass::kernels {
namespace {

struct SignTrick {
  struct Weights {
    __m256i signed_codes, magnitudes;
  };
  ONEPASS_INLINE static Weights weights(const uint8_t* codes) {
    const __m256i stored = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes));
    const __m256i signed_codes = _mm256_xor_si256(stored, _mm256_set1_epi8(static_cast<char>(0x80)));
    return {signed_codes, _mm256_abs_epi8(signed_codes)};
  }
  ONEPASS_INLINE static __m256i add(__m256i sum, const Weights& w, __m256i a) {
    const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(a, w.signed_codes));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

struct Avx2 {
  static constexpr size_t rows = 4;
  ONEPASS_INLINE static void panel(const PanelI8& part) { multiply_panel<Avx2>(part); }
  ONEPASS_INLINE static int32_t start(const int8_t*, size_t) { return 0; }
  template <size_t count>
  ONEPASS_INLINE static void tile_of(const MatmulI8& op, size_t m, const Panel& panel, const int32_t* start) {
    tile_256<SignTrick, count, 1>(op, m, panel, start);
  }
};

}  // namespace

[[gnu::flatten]] void matmul_i8_avx2(const MatmulI8& op) noexcept { multiply_panels<Avx2>(op); }

}  // namespace onepass::kernels
