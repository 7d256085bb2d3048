// What a pass computes, counted from the architecture.
#pragma once

#include <cstddef>

#include "engine/arch/arch.h"

namespace onepass::bench {

// Multiplications and additions of a pass over one text, as it is computed here: the last layer of a model that pools
// its first token computes queries, output and feed-forward for that token alone. Norms, activations and softmax are
// not counted.
double pass_operations(const Config& config, size_t tokens, size_t classes);

}  // namespace onepass::bench
