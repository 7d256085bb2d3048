// What convert's options of calibration ask for, done between the conversion of the tensors and the writing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/convert/convert.h"

namespace onepass::cli {

struct ConvertOptions;

// What was done, for the report.
struct QuantisationReport {
  std::vector<std::string> lines;
  std::vector<std::string> deviations;
};

// A function for convert::Options::adjust, empty where nothing is asked for. Reads the texts at once and throws Failed
// or Misused where they, or the options, are at fault. `options` are those of the conversion; `report` outlives the
// function.
std::function<Status(ModelContent&)> quantisation(const ConvertOptions& o, const convert::Options& options,
                                                  QuantisationReport& report);

}  // namespace onepass::cli
