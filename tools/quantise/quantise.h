// Quantisation by calibration: the codes of a model's products chosen by what flows into them on real texts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"

namespace onepass::quantise {

enum class Quantiser {
  rtn,   // to the nearest code; groups fitted by the inputs' mean squares
  gptq,  // gptq.h
};

struct Options {
  Quantiser quantiser = Quantiser::gptq;
  bool scale_inputs = false;       // product.h: choose_scales, where a norm directly precedes the product
  std::vector<std::string> texts;  // not empty
};

// done of total units of work, about equal ones.
using WorkDone = std::function<void(size_t done, size_t total)>;

struct ProductReport {
  std::string name;
  kernels::Layout layout{};
  double error = 0;     // of its outputs on the calibration texts, as a share of their mean square
  bool scaled = false;  // its inputs
};

struct Report {
  std::vector<ProductReport> products;
  std::vector<std::string> deviations;  // what was asked for and could not be done
};

// Replaces the codes of content's int8 and int4 products, and what goes with them (biases that take up mean errors,
// norms that scaled inputs are folded into). `f32` is the same model with f32 weights. Layer by layer: the layers
// before are as they will be, and memory holds the moments of one layer.
Result<Report> quantise(const ModelContent& f32, const Options& options, ModelContent& content,
                        const WorkDone& work_done);

}  // namespace onepass::quantise
