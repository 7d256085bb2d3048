// The products of a model in the order in which texts reach them, and the norms before them.
#pragma once

#include <string>
#include <vector>

#include "tools/quantise/product.h"
#include "tools/quantise/workbench.h"

namespace onepass::quantise {

// Tensors, by their numbers in the workbench; `none` where there is none.
struct StageProduct {
  static constexpr size_t none = SIZE_MAX;
  size_t weights = none, bias = none;
  // The norm whose output is this product's input and nothing else's.
  size_t norm_weight = none, norm_bias = none;
};

// Products whose moments one pass over the texts collects: those of a layer; what is before the layers, and behind.
struct Stage {
  std::vector<StageProduct> products;
};
// Of the products whose weights `wanted` accepts. Heads are none of them.
std::vector<Stage> stages_of(const Workbench& bench, const std::function<bool(size_t tensor)>& wanted);

Product read_product(const Workbench& bench, const StageProduct& at);

// Scales the inputs of a product where that loses less in `layout`: its weights, the norm and the moments change. False
// where nothing did.
Result<bool> scale_product(Workbench& bench, const StageProduct& at, kernels::Layout layout, Product& product,
                           Moments& moments);

// Why the inputs of a product cannot be scaled.
const char* why_not_scaled(const Workbench& bench, const StageProduct& at);

}  // namespace onepass::quantise
