// Heads whose classes are words: rows of a language model's output matrix, several to a class.
#include <bit>

#include "engine/blocks/blocks.h"
#include "kernels/ref/math_ref.h"

namespace onepass {

namespace {

// log(x) for finite x >= 1, in one order of IEEE operations: 2 artanh((m - 1) / (m + 1)) of the mantissa m in
// [sqrt 1/2, sqrt 2), to within 1e-13, rounded.
float log_f32(float x) noexcept {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  int exponent = static_cast<int>(bits >> 23) - 127;
  double m = static_cast<double>(std::bit_cast<float>((bits & 0x7fffffu) | 0x3f800000u));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double sum = 0;
  for (int k = 15; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
  return static_cast<float>(exponent * 0.6931471805599453 + 2.0 * s * sum);
}

}  // namespace

void word_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix logits, const RowScratch& scratch, Crew& crew) noexcept {
  const Matrix all{scratch.wide, head.n};
  Linear plain = head;
  plain.bias = nullptr;
  linear_rows(kernels, plain, pooled, rows, all, scratch, crew);
  const Range own = crew.share(rows);
  if (config.logit_softcap != 0 && !own.empty()) {
    kernels.softcap({.x = all.row(own.begin),
                     .rows = own.end - own.begin,
                     .width = head.n,
                     .stride = all.stride,
                     .cap = static_cast<float>(config.logit_softcap)});
  }
  const size_t words = config.words;
  for (size_t r = own.begin; r < own.end; ++r) {
    for (size_t c = 0; c < head.n / words; ++c) {
      const float* row = all.row(r) + c * words;
      const float* bias = head.bias + c * words;
      float top = row[0] + bias[0];
      for (size_t w = 1; w < words; ++w) top = row[w] + bias[w] > top ? row[w] + bias[w] : top;
      float sum = 0;
      for (size_t w = 0; w < words; ++w) sum += kernels::ref::exp_f32(row[w] + bias[w] - top);
      // One word is itself, a NaN stays one.
      logits.row(r)[c] = words == 1 ? top : sum >= 1 ? top + log_f32(sum) : top * sum;
    }
  }
}

}  // namespace onepass
