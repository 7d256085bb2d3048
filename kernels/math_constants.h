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

// GELU as max(x, 0) - t r(t)^4, t = min(|x|, end): r^4 is the share of the distribution that gelu cuts off, for erf
// erfc(t / sqrt 2) / 2, for tanh (1 - tanh(u)) / 2 with u = sqrt(2 / pi) (t + 0.044715 t^3). The fourth root is smooth
// enough for one polynomial where the share itself is not, and squaring twice costs less than an exponential.
constexpr float gelu_erf_end = 5.75f;
constexpr float gelu_erf_poly[11] = {0x1.ae89fap-1f, -0x1.57851p-3f,   -0x1.9b2c46p-5f,  0x1.2e9a8ep-8f,
                                     0x1.fbd19ep-9f, -0x1.1d058ap-13f, -0x1.ea10b4p-13f, 0x1.bdc84cp-16f,
                                     0x1.333e3p-18f, -0x1.1eae9ap-20f, 0x1.f97b3p-25f};
constexpr float gelu_tanh_end = 5.4f;
constexpr float gelu_tanh_poly[13] = {0x1.ae89fap-1f,  -0x1.5785dp-3f,   -0x1.9affaep-5f, 0x1.2fefbap-8f,
                                      0x1.19d2p-8f,    -0x1.950994p-11f, 0x1.a89f18p-12f, -0x1.e5b61ep-12f,
                                      0x1.e0f9e2p-13f, -0x1.fbfc24p-15f, 0x1.30c628p-17f, -0x1.898922p-21f,
                                      0x1.a9cdc6p-26f};

// tanh(t) = t + t s Q(s), s = t^2, up to tanh_split; 1 - 2 / (exp(2 t) + 1) beyond, 1 from tanh_end on.
constexpr float tanh_split = 0.625f;
constexpr float tanh_end = 10.0f;
constexpr float tanh_poly[5] = {-0x1.555534p-2f, 0x1.11075ep-3f, -0x1.b842c8p-5f, 0x1.524c80p-6f, -0x1.767bf0p-8f};

}  // namespace onepass::kernels
