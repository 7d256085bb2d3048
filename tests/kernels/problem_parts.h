// What the problems are made of: operands that are filled, strided and named, and lists of cases.
#pragma once

#include <bit>
#include <vector>

#include "tests/kernels/problems.h"

namespace onepass::test {

inline void fill_uniform(Guarded<float>& out, Random& random, float low = -2.0f, float high = 2.0f) {
  for (float& x : out) x = random.uniform(low, high);
}
inline void fill_any(Guarded<float>& out, Random& random) {
  for (float& x : out) x = random.any();
}
inline void poison(Guarded<float>& out) {
  for (float& x : out) x = std::bit_cast<float>(kPoisonBits);
}

// The pattern that must survive between the rows of a matrix that is written.
inline void poison_between(float* data, size_t rows, size_t width, size_t stride) {
  for (size_t row = 0; row + 1 < rows; ++row) {
    for (size_t i = width; i < stride; ++i) data[row * stride + i] = std::bit_cast<float>(kPoisonBits);
  }
}

// Elements of a matrix whose last row ends with its last element, so that it can lie against a guard page.
inline size_t strided(size_t rows, size_t width, size_t stride) { return rows == 0 ? 0 : (rows - 1) * stride + width; }

inline bool has(const Case& c, unsigned bit) { return (c.variant & bit) != 0; }

inline Output f32_output(const char* name, const Guarded<float>& data, size_t rows, size_t width, size_t stride) {
  return {name, data.data(), rows, width, stride, sizeof(float), data.intact()};
}

// Every pair of a and b, each with two values of c, and every c with one pair; the variants take turns.
inline std::vector<Case> combine(const std::vector<size_t>& as, const std::vector<size_t>& bs,
                                 const std::vector<size_t>& cs, const std::vector<unsigned>& variants) {
  std::vector<Case> cases;
  size_t turn = 0;
  const auto next = [&](size_t a, size_t b, size_t c) {
    cases.push_back({a, b, c, variants[turn++ % variants.size()]});
  };
  for (size_t i = 0; i < as.size(); ++i) {
    for (size_t j = 0; j < bs.size(); ++j) {
      next(as[i], bs[j], cs[(i * 5 + j) % cs.size()]);
      next(as[i], bs[j], cs[(i * 5 + j * 3 + 1) % cs.size()]);
    }
  }
  for (size_t k = 0; k < cs.size(); ++k) next(as[k % as.size()], bs[(k * 3 + 1) % bs.size()], cs[k]);
  return cases;
}

}  // namespace onepass::test
