/* SHA-256 by the SHA extensions of x86. Source: Intel, "Intel SHA Extensions", 2013, section 4.
   Compiled with -msha -msse4.1: nothing in here but this function has external linkage. */
#include <immintrin.h>

#include "engine/core/sha256_blocks.h"

namespace onepass {

void sha256_blocks_shani(uint32_t* state, const uint8_t* data, size_t count) noexcept {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions want the words as ABEF and CDGH.
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
  const auto* rounds = reinterpret_cast<const __m128i*>(kSha256Rounds);

  for (; count != 0; --count, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];  // the last sixteen words of the message schedule
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {  // four rounds each
      __m128i& now = w[group % 4];
      if (group < 4) {
        now = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + group);
        now = _mm_shuffle_epi8(now, big_endian);
      } else {
        const __m128i minus12 = w[(group + 1) % 4], minus8 = w[(group + 2) % 4], minus4 = w[(group + 3) % 4];
        now = _mm_add_epi32(_mm_sha256msg1_epu32(now, minus12), _mm_alignr_epi8(minus4, minus8, 4));
        now = _mm_sha256msg2_epu32(now, minus4);
      }
      const __m128i keyed = _mm_add_epi32(now, _mm_load_si128(rounds + group));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

}  // namespace onepass
