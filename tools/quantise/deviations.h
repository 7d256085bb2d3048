// What a file holds otherwise than was asked for.
#pragma once

#include <string>
#include <vector>

#include "tools/convert/convert.h"

namespace onepass::quantise {

// A line for each tensor whose type, or whose groups, are not those of the options. What every file of these options
// has (heads, norms and biases in f32) is none.
std::vector<std::string> deviations(const convert::Options& options, const ModelContent& content);

}  // namespace onepass::quantise
