/* SHA-256 by the Armv8 cryptography extension. Compiled with -march=armv8-a+crypto: nothing in here but
   this function has external linkage. */
#include <arm_neon.h>

#include "engine/core/sha256_blocks.h"

namespace onepass {

void sha256_blocks_armv8(uint32_t* state, const uint8_t* data, size_t count) noexcept {
  uint32x4_t abcd = vld1q_u32(state);
  uint32x4_t efgh = vld1q_u32(state + 4);

  for (; count != 0; --count, data += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];  // the last sixteen words of the message schedule
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {  // four rounds each
      uint32x4_t& now = w[group % 4];
      if (group < 4) {
        now = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * group)));
      } else {
        const uint32x4_t minus12 = w[(group + 1) % 4], minus8 = w[(group + 2) % 4], minus4 = w[(group + 3) % 4];
        now = vsha256su1q_u32(vsha256su0q_u32(now, minus12), minus8, minus4);
      }
      const uint32x4_t keyed = vaddq_u32(now, vld1q_u32(kSha256Rounds + 4 * group));
      const uint32x4_t abcd_old = abcd;
      abcd = vsha256hq_u32(abcd, efgh, keyed);
      efgh = vsha256h2q_u32(efgh, abcd_old, keyed);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace onepass
