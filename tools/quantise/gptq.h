// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv:2210.17323): codes one input at a time, what each loses made
// up for by those that are still to come, as the inputs of calibration texts say that it can be.
//
// As published: the damped matrix's Cholesky factor, the inputs with the largest activations first. Different: fits
// weigh the inputs by what their errors will cost; groups are fitted from their weights as they were and filled in any
// order, or stay together and are fitted when they are reached, and each channel takes what is better; once all codes
// are chosen, each is tried one step up and down until none gets better (coordinate descent), and a channel's scale,
// where it has one, is fitted to its codes. No layout needs a permutation.
#pragma once

#include <span>

#include "engine/core/result.h"
#include "tools/quantise/coded_matrix.h"

namespace onepass::quantise {

enum class Order {
  as_they_are,
  by_group,  // by falling activation, groups together
  by_input,  // by falling activation
  best,      // by_group or by_input, for each channel
};

struct GptqOptions {
  double damping = 0.01;  // of the mean of the diagonal, added to it
  Order order = Order::best;
  int sweeps = 4;  // of coordinate descent at most; 0: the codes of GPTQ itself
};

// w [n,k]; second [k,k], the mean of x x^T over inputs x, symmetric. non_finite where it has no factor.
Result<CodedMatrix> gptq(kernels::Layout layout, const float* w, size_t n, size_t k, std::span<const float> second,
                         const GptqOptions& options);

// The mean square of what the outputs lose: mean over channels of (w - q) second (w - q)^T.
double output_error(const float* w, const float* q, size_t n, size_t k, std::span<const float> second);

}  // namespace onepass::quantise
