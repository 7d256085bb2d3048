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

// The product and the cap; bias is not added.
void capped_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
                 ConstMatrix pooled, Matrix out, const RowScratch& scratch, Crew& crew) noexcept {
  Linear plain = head;
  plain.bias = nullptr;
  linear_rows(kernels, plain, pooled, rows, out, scratch, crew);
  const Range own = crew.share(rows);
  if (config.logit_softcap == 0 || own.empty()) return;
  kernels.softcap({.x = out.row(own.begin),
                   .rows = own.end - own.begin,
                   .width = head.n,
                   .stride = out.stride,
                   .cap = static_cast<float>(config.logit_softcap)});
}

// log(sum(exp)) of value(0), ..., value(count - 1) in that order; one is itself, and a NaN stays one.
template <class F>
float log_sum_exp(size_t count, F&& value) noexcept {
  float top = value(0);
  for (size_t i = 1; i < count; ++i) top = value(i) > top ? value(i) : top;
  if (count == 1) return top;
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += kernels::ref::exp_f32(value(i) - top);
  return sum >= 1 ? top + log_f32(sum) : top * sum;
}

}  // namespace

void word_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix logits, const RowScratch& scratch, Crew& crew) noexcept {
  const Matrix all{scratch.wide, head.n};
  capped_rows(config, head, kernels, rows, pooled, all, scratch, crew);
  const Range own = crew.share(rows);
  const size_t words = config.words;
  for (size_t r = own.begin; r < own.end; ++r) {
    for (size_t c = 0; c < head.n / words; ++c) {
      const float* row = all.row(r) + c * words;
      const float* bias = head.bias + c * words;
      logits.row(r)[c] = log_sum_exp(words, [&](size_t w) { return row[w] + bias[w]; });
    }
  }
}

void edge_rows(const Config& config, const Linear& head, const kernels::KernelTable& kernels, size_t rows,
               ConstMatrix pooled, Matrix edges, const RowScratch& scratch, Crew& crew) noexcept {
  capped_rows(config, head, kernels, rows, pooled, edges, scratch, crew);
}

void word_logits(const WordTree& tree, const float* bias, Matrix edges, float* logits) noexcept {
  float* scores = edges.row(0);
  for (size_t node = 0; node <= tree.branches(); ++node) {
    const size_t begin = tree.edge_starts[node], count = tree.edge_starts[node + 1] - begin;
    const float* row = edges.row(node) + begin;
    // Of a root that one edge leaves, the logit says nothing; it is kept, as another root's is.
    const float before = node == 0 ? 0 : scores[tree.parents[node]];
    const float all = node == 0 ? 0 : log_sum_exp(count, [&](size_t e) { return row[e]; });
    for (size_t e = 0; e < count; ++e) scores[begin + e] = before + (row[e] - all) + bias[begin + e];
  }
  for (size_t c = 0; c < tree.classes(); ++c) {
    const uint32_t* leaves = tree.leaves.data() + tree.leaf_starts[c];
    logits[c] = log_sum_exp(tree.leaf_starts[c + 1] - tree.leaf_starts[c], [&](size_t i) { return scores[leaves[i]]; });
  }
}

}  // namespace onepass
