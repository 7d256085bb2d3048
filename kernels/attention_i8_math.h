// The numbers of attention_i8: the integer exponential of its codes.
#pragma once

#include <stdint.h>

namespace onepass::kernels {

// 255/256 * 2^-f in units of 2^-15, f in units of 2^-16: c0 - f (c1 - f (c2 - f c3)), every product rounded down to
// those units. Relative error at most 1.28e-4 over the multiples of 16 that occur.
constexpr uint16_t exp_code_poly[4] = {32638, 22553, 7496, 1262};

// The largest step between two scores, in units of 2^-12 of a power of two: keeps differences of scores, which are
// below 2^23, within 32 bits.
constexpr float attention_largest_unit = 255.0f;
// log2(e) * 4096, and ln(2) / 4096.
constexpr float attention_unit = 0x1.715476p+12f;
constexpr float attention_unit_in_e = 0x1.62e430p-13f;
// y of a key that is not seen: code 0.
constexpr float attention_unseen = 65535.0f;
// Bound of the factors of relative terms: with sums below 2^22 their scores are finite numbers. Then that of the
// scores, whose differences stay within 32 bits.
constexpr float attention_largest_factor = 0x1p50f;
constexpr float attention_largest_score = 0x1p29f;

}  // namespace onepass::kernels
