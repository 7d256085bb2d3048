// Models of a known shape with random weights, made in memory: the arithmetic of a pass does not depend on the values.
#pragma once

#include <string>

#include "engine/core/result.h"
#include "formats/onepass/writer.h"
#include "tools/convert/convert.h"

namespace onepass::bench {

// "minilm-l6", "bert-base". Empty result: no such shape.
Result<ModelContent> synthetic_model(const std::string& shape, convert::WeightType weights);

}  // namespace onepass::bench
