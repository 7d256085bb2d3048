// The numbers behind exp, tanh and the two GELUs, shared by the reference and the vector kernels, so that both
// evaluate the same polynomials. docs/numerics.md says how they were found and what error they leave.
// Polynomials are listed from the constant term up.
#pragma once

namespace onepass::kernels {

// Adding 1.5 * 2^23 rounds to an integer, half to even, and leaves that integer in the low bits of the sum.
constexpr float round_magic = 12582912.0f;
// The same plus 126: the low bits then hold the exponent field of 2^(n-1).
constexpr float exponent_magic = 12583038.0f;

// quantize_rows: a row whose largest magnitude is below this has scale 0. Above it 127 / m cannot overflow.
constexpr float quantize_smallest = 1e-30f;

// exp(x) = 2^(n-1) * P(x - n ln 2), P = 2 exp on [-ln 2 / 2, ln 2 / 2].
constexpr float log2_e = 0x1.715476p+0f;
constexpr float ln2_high = 0x1.62e430p-1f;
constexpr float ln2_low = -0x1.05c610p-29f;
constexpr float exp_lowest = -86.9f;  // below: exactly 0
constexpr float exp_highest = 89.0f;  // taken in place of anything larger; overflows to infinity
constexpr float exp_poly[7] = {2 * 1.0f,           2 * 1.0f,           2 * 0x1.fffffcp-2f, 2 * 0x1.555492p-3f,
                               2 * 0x1.5558b4p-5f, 2 * 0x1.1239a0p-7f, 2 * 0x1.6a4960p-10f};

// 2^r on [-1/2, 1/2], times 2.
constexpr float exp2_poly[7] = {2 * 1.0f,           2 * 0x1.62e430p-1f,  2 * 0x1.ebfbdcp-3f, 2 * 0x1.c6af7cp-5f,
                                2 * 0x1.3b2de0p-7f, 2 * 0x1.5f082ep-10f, 2 * 0x1.416b52p-13f};

// log2(erfc(t / sqrt 2) / 2) on [0, 8]: the logarithm of the normal distribution's tail.
constexpr float normal_tail_end = 8.0f;
constexpr float normal_tail_poly[13] = {-0x1.000000p+0f,  -0x1.26aecep+0f, -0x1.d63cd6p-2f,  -0x1.ada5fcp-5f,
                                        0x1.c6a9f6p-8f,   0x1.00ce02p-15f, -0x1.46b902p-12f, 0x1.898d50p-14f,
                                        -0x1.144308p-16f, 0x1.fc3cd0p-20f, -0x1.2d59eap-23f, 0x1.a2ac5ep-28f,
                                        -0x1.02f556p-33f};

// gelu_tanh(x) = x / (1 + exp(x (a + b x^2))).
constexpr float gelu_tanh_a = -0x1.988454p+0f;  // -2 sqrt(2 / pi)
constexpr float gelu_tanh_b = -0x1.2444f2p-4f;  // that times 0.044715

// tanh(t) = t + t s Q(s), s = t^2, up to tanh_split; 1 - 2 / (exp(2 t) + 1) beyond, 1 from tanh_end on.
constexpr float tanh_split = 0.625f;
constexpr float tanh_end = 10.0f;
constexpr float tanh_poly[5] = {-0x1.555534p-2f, 0x1.11075ep-3f, -0x1.b842c8p-5f, 0x1.524c80p-6f, -0x1.767bf0p-8f};

}  // namespace onepass::kernels
