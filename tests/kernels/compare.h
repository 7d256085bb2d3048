// Comparers of kernel results, and what the tests fill operands with. compare_test.cpp shows that they can fail.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace onepass::test {

// Fills outputs before a kernel runs: a NaN that no arithmetic produces, and a code that no test expects.
constexpr uint32_t kPoisonBits = 0x7fa5a5a5;
constexpr int8_t kPoisonCode = -128;

// The same bits; any NaN equals any NaN, since its payload is the one thing that instruction sets may choose.
inline bool same_bits(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Error of `value` in units in the last place of `exact` rounded to f32. Infinite when only one is a NaN, or an
// infinity, or when the signs of two non-zero values differ.
inline double ulp_error(float value, long double exact) {
  const auto rounded = static_cast<float>(exact);
  if (std::isnan(value) || std::isnan(rounded)) {
    return std::isnan(value) && std::isnan(rounded) ? 0.0 : std::numeric_limits<double>::infinity();
  }
  if (std::isinf(value) || std::isinf(rounded)) {
    return value == rounded ? 0.0 : std::numeric_limits<double>::infinity();
  }
  if (value != 0.0f && rounded != 0.0f && std::signbit(value) != std::signbit(rounded)) {
    return std::numeric_limits<double>::infinity();
  }
  int exponent = 0;
  std::frexp(rounded, &exponent);
  const int unit = rounded == 0.0f || exponent - 24 < -149 ? -149 : exponent - 24;
  return static_cast<double>(std::fabs(static_cast<long double>(value) - exact) / std::ldexp(1.0L, unit));
}

// |value - exact| <= bound. False when either is a NaN.
inline bool within(double value, double exact, double bound) { return std::fabs(value - exact) <= bound; }

// A small generator, so that inputs are the same on every C++ library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x1234567u) {}
  uint64_t bits() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return static_cast<size_t>(bits() % n); }
  float uniform(float low, float high) { return low + (high - low) * (static_cast<float>(bits() >> 40) * 0x1p-24f); }
  // Any float: every exponent, zeros, denormals, infinities, NaNs.
  float any() { return std::bit_cast<float>(static_cast<uint32_t>(bits())); }
  int8_t code() { return static_cast<int8_t>(static_cast<int>(below(255)) - 127); }

 private:
  uint64_t state_;
};

}  // namespace onepass::test
