// One matrix to its codes, by what is known of its inputs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "kernels/layouts.h"
#include "tools/quantise/gptq.h"
#include "tools/quantise/workbench.h"

namespace onepass::quantise {

struct Product {
  std::string name;
  std::vector<float> w;     // [n,k]
  std::vector<float> bias;  // [n], or empty
  size_t n = 0, k = 0;
};

struct Packed {
  kernels::Layout layout{};
  std::vector<uint8_t> bytes;
  std::vector<float> bias;  // what the mean of the inputs loses is added to it; empty as the product's
  double error = 0;         // of the outputs, as a share of their mean square; 0 without moments
};

// moments may be null: rounding to nearest, every input alike. Else rounding to nearest by the inputs' mean squares, or
// GPTQ. With a bias, errors that are the same for every input are not errors: they go into it.
Result<Packed> quantise_product(const Product& product, kernels::Layout layout, const Moments* moments,
                                const GptqOptions* gptq_options);

// Scales of the inputs, whose product's weights are multiplied by them and whose inputs are divided by them, under
// which codes of both lose least, among those that grow with the mean |x| (AWQ: Lin et al. 2023, arXiv:2306.00978) and
// those that share the ranges of weights and inputs (SmoothQuant: Xiao et al. 2022, arXiv:2211.10438). Empty: none is
// better than 1.
std::vector<float> choose_scales(const Product& product, kernels::Layout layout, const Moments& moments);
// What choose_scales chose, of weights and of moments.
void scale_inputs(std::span<const float> scales, Product& product, Moments& moments);

}  // namespace onepass::quantise
