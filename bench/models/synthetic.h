// Models of a known shape with random weights: the arithmetic of a pass does not depend on the values.
#pragma once

#include <string>
#include <vector>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"

namespace onepass::bench {

std::vector<std::string> shape_names();
std::vector<std::string> weight_names();

// The tensors are made while the content is written, one at a time.
Result<ModelContent> synthetic_model(const std::string& shape, const std::string& weights);

}  // namespace onepass::bench
